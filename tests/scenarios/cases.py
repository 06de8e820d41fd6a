"""Short scenarios for rules, as text, made into recorded events. A file of cases:

    rule NAME                               the rule that the cases below are about; "none": ordinary life
      attack PLACE: CHAIN [==> RULE; ...]   must be found by the rule (and by the rules named, by no other)
      benign PLACE: CHAIN [==> RULE; ...]   must be found by none (but those named), and by no detector above low

PLACE is where it happens, with options NAME=VALUE behind it:

    task        an ECS task's container whose first process is "node server.js"; entry="...": another one
    docker-exec put into that container from outside, without a terminal (as health checks are)
    ecs-exec    in an ECS Exec session of that container
    agent       the ECS agent's container
    host        outside of containers

    entry="..." command of the first process, a chain as below        image=... family=...  facts about the container
    privileged=1   mounts=SOURCE:DESTINATION

CHAIN is "STEP => STEP ...": each a program that the one before starts, by its command line. {NAME=VALUE ...} in front of one:
exe=PATH, name=COMM, uid=N, ruid=N, tty (has a terminal), leader (of its session), stdin=LINK, cwd=PATH, env=A=B, caps=MASK, mode=OCTAL, mntns=host,
ino=N, dev=host, fresh (the file was changed just now), exec (the same process executes it, no fork).

" @ EVENT" behind a step is something it does:  write PATH, create PATH, empty PATH, read PATH, delete PATH, move OLD NEW, chmod MODE PATH,
symlink TARGET PATH, link OLD NEW, procfs PATH (a write), environ first|self|host, mem first|self|host, unix PATH,
unidentified PATH (as unix, by an unknown process), mount SOURCE TARGET TYPE, module NAME, syscall NAME [ARG ...], host-write PATH.
"""
import json
import re
import shlex

HOST_MNTNS, HOST_NETNS, HOST_PIDNS = 4026531840, 4026531992, 4026531836
HOST_DEV = 2049
DOCKERD, SHIM = 40, 50
SHELLS = {"sh", "bash", "dash", "ash", "zsh"}
SBIN = {"iptables", "ip6tables", "nft", "insmod", "modprobe", "useradd", "usermod", "nginx", "sshd", "auditctl", "setenforce", "chroot", "debugfs", "apache2", "setcap", "getcap"}


class Case:
    def __init__(self, rule, kind, place, chain, also, where):
        self.rule, self.kind, self.place, self.chain, self.also, self.where = rule, kind, place, chain, also, where

    def expected(self):
        return set(self.also) | ({self.rule} if self.kind == "attack" else set())


def parse(path):
    """The cases of a file; raises ValueError with file and line."""
    rule, cases = None, []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        text, where = line.strip(), f"{path.name}:{number}"
        if not text or text.startswith("#"):
            continue
        if text.startswith("rule "):
            rule = text[5:].strip()
            continue
        match = re.fullmatch(r'(attack|benign) ((?:[^"]|"[^"]*")*?): (.*?)(?: ==> (.*))?', text)
        if not match or not rule:
            raise ValueError(f"{where}: not a case: {text}")
        kind, place, chain, also = match.groups()
        cases.append(Case(rule, kind, place, chain, [a.strip() for a in (also or "").split(";") if a.strip()], where))
    return cases


def time_text(ms):
    return "2025-11-%02dT%02d:%02d:%02d.%03d000000Z" % (1 + ms // 86400000, ms // 3600000 % 24, ms // 60000 % 60, ms // 1000 % 60, ms % 1000)


def escaped(value):
    """A backslash stands as two in recorded texts."""
    if isinstance(value, list):
        return [escaped(v) for v in value]
    return value.replace("\\", "\\\\") if isinstance(value, str) else value


class Stage:
    """One case: its container, and its processes. Numbers keep the stages of one recording apart."""

    def __init__(self, place, number, start_ms):
        self.events, self.number, self.ms = [], number, start_ms
        words = shlex.split(place)
        self.place = words[0]
        self.options = dict(w.split("=", 1) for w in words[1:])
        self.in_container = self.place != "host"
        self.next_pid = self.first_pid = 100 + 20 * number
        self.container = "%064x" % (0xC0FFEE << 232 | number)
        self.task = "%032x" % (0x7A5C << 112 | number)
        self.root_dev = 10000 + number
        self.upper = f"/var/lib/docker/overlay2/{number}/diff"
        self.mntns, self.netns = 4026540000 + number, 4026560000 + number
        self.last, self.entered = 1, False
        if self.in_container:
            self.begin_container()
        if self.place in ("docker-exec", "ecs-exec"):
            self.last = None
        if self.place == "ecs-exec":
            for name in ("amazon-ssm-agent", "ssm-agent-worker", "ssm-session-worker"):
                self.run(f"{{dev=host}} /ecs-execute-command-6f9d/{name}")

    def emit(self, kind, source, **values):
        self.ms += 1
        self.events.append({"time": time_text(self.ms), "kind": kind, "source": source, **{k: escaped(v) for k, v in values.items()}})

    # ---- the container ----

    def cgroup(self):
        return f"/docker/{self.container}" if self.place == "agent" else f"/ecs/{self.task}/{self.container}"

    def begin_container(self):
        ids = {"container_id": self.container} if self.place == "agent" else {"container_id": self.container, "task_id": self.task}
        self.emit("container", "cgroup", container_phase="start", runtime="docker", pid=self.first_pid, root_dev=self.root_dev, upperdir=self.upper,
                  started=time_text(self.ms), cgroup=self.cgroup(), mntns=self.mntns, netns=self.netns, nsid=self.number + 1, **ids)
        self.emit("container", "docker", container_phase="facts", **self.facts(ids))
        self.last = SHIM
        for step in self.options.get("entry", "/agent" if self.place == "agent" else "node server.js").split(" => "):
            self.run(step)
        self.ms += 5000

    def facts(self, ids):
        agent = self.place == "agent"
        image = self.options.get("image", "amazon/amazon-ecs-agent:latest" if agent else "shop/app:8")
        facts = {**ids, "image": image, "image_id": "sha256:1", "src": f"172.17.{self.number >> 8}.{self.number & 255}",
                 "privileged": self.options.get("privileged") == "1", "docker_name": "ecs-agent" if agent else f"ecs-shop-8-app-{self.number}",
                 "container_role": "ecs-agent" if agent else "workload"}
        if not agent:
            facts.update(container_name="app", task_arn=f"arn:aws:ecs:eu-central-1:111122223333:task/prod/{self.task}", cluster="prod",
                         task_family=self.options.get("family", "shop"), task_revision="8")
        if "mounts" in self.options:
            facts["mounts"] = self.options["mounts"] + "::true:rprivate"
        return facts

    # ---- steps ----

    def run(self, text):
        options, command = {}, text.strip()
        if command.startswith("{"):
            inside, command = command[1:].split("}", 1)
            options = dict((o.split("=", 1) + ["1"])[:2] for o in shlex.split(inside))
        argv = shlex.split(command)
        if "exec" not in options:
            self.fork()
        if self.entered:  # by runc, which becomes the program: both tell their group
            self.emit("exec", "exec", pid=self.last, **self.image(["runc", "init"], {"exe": "/usr/bin/runc", "dev": "host", "mntns": "host"}))
        self.emit("exec", "exec", pid=self.last, **self.image(argv, options))

    def fork(self):
        pid, self.entered = self.next_pid, self.last is None
        self.next_pid += 1
        self.emit("fork", "proc", pid=pid, ppid=SHIM if self.entered else self.last)
        self.last = pid

    def image(self, argv, o):
        exe = o.get("exe") or self.path_of(argv[0])
        first = self.last == self.first_pid or self.entered
        image = {"comm": (o.get("name") or exe.rsplit("/", 1)[-1] if "name" in o or "/" in argv[0] else argv[0])[:15], "exe": exe, "cmdline": argv,
                 "stdin": o.get("stdin", "/dev/pts/0" if "tty" in o else "/dev/null"), "stdout": o.get("stdout", "/dev/pts/0" if "tty" in o else "pipe:[11]"),
                 "stderr": "pipe:[12]", "tty": 34816 if "tty" in o else 0, "cwd": o.get("cwd", "/"), "uid": int(o.get("ruid", o.get("uid", 0))),
                 "euid": int(o.get("uid", 0)), "gid": 0, "egid": 0, "dev": self.root_dev if self.in_container and "dev" not in o else HOST_DEV,
                 "ino": int(o.get("ino", 1000 + sum(exe.encode()))), "mode": o.get("mode", "0100755"), "file_uid": 0, "nlink": 1,
                 "file_ctime": time_text(self.ms) if "fresh" in o else "2025-10-21T00:00:00.000000000Z", "file_mtime": "2025-10-21T00:00:00.000000000Z",
                 "sid": self.last if "leader" in o or first else self.first_pid if self.in_container else 1,
                 "vpid": self.last - self.first_pid + 1 if self.in_container else self.last}
        inside = self.in_container and o.get("mntns") != "host"
        image["mntns"] = self.mntns if inside else HOST_MNTNS
        image["netns"] = self.netns if inside else HOST_NETNS
        if "env" in o:
            image["environ"] = ["PATH=/usr/bin"] + o["env"].split(",,")
        if "caps" in o:
            image["cap_effective"] = image["cap_permitted"] = int(o["caps"], 0)
        if first:
            image["cgroup"] = self.cgroup() if self.in_container else "/"
        return image

    @staticmethod
    def path_of(name):
        if "/" in name:
            return name
        return "/bin/" + name if name in SHELLS else ("/usr/sbin/" if name in SBIN else "/usr/bin/") + name

    # ---- what a step does ----

    def file(self, op, path, source="fid", **values):
        where = {"path": path}
        if self.in_container and source == "fid":
            where["host_path"] = self.upper + path
            where["dev"] = HOST_DEV
        self.emit("file", source, op=op, pid=self.last, **where, **values)

    def event(self, text):
        word, *args = shlex.split(text)
        getattr(self, "do_" + word.replace("-", "_"))(*args)

    def do_write(self, path):
        self.file("close_write", path, mode="0100644", file_uid=0, nlink=1, file_size=120)

    def do_host_write(self, path):
        self.emit("file", "fid", op="close_write", pid=self.last, path=path, mode="0100755", file_uid=0, nlink=1, file_size=120, dev=HOST_DEV)

    def do_create(self, path):
        self.file("create", path, mode="0100644", file_uid=0, nlink=1, file_size=0)

    def do_empty(self, path):
        self.file("close_write", path, mode="0100640", file_uid=0, nlink=1, file_size=0)

    def do_read(self, path):
        self.file("open", path, source="overlay", mode="0100600", file_uid=0, nlink=1, file_size=900, dev=self.root_dev if self.in_container else HOST_DEV)

    def do_delete(self, path):
        self.file("delete", path)

    def do_move(self, old, new):
        self.file("move", new, old_path=old, mode="0100755", file_uid=0, nlink=1, file_size=120)

    def do_chmod(self, mode, path):
        self.file("attrib", path, mode=mode, file_uid=0, nlink=1, file_size=120)

    def do_symlink(self, target, path):
        self.file("create", path, mode="0120777", file_uid=0, nlink=1, file_size=len(target), link_target=target)

    def do_link(self, old, new):
        self.file("create", new, mode="0100600", file_uid=0, nlink=2, file_size=900, old_path=old)

    def do_procfs(self, path):
        self.file("modify", path, source="procfs")

    def secret(self, name, whose):
        pid = {"self": self.last, "first": self.first_pid, "host": DOCKERD}[whose]
        self.file("open", f"/proc/{pid}/{name}", source="procfs", target_pid=pid)

    def do_environ(self, whose):
        self.secret("environ", whose)

    def do_mem(self, whose):
        self.secret("mem", whose)

    def do_unix(self, path):
        self.emit("unix", "unix", pid=self.last, path=path, fd=5)

    def do_unidentified(self, path):
        self.emit("unix", "unix", target_pid=self.first_pid, path=path)

    def do_mount(self, source, target, fs_type):
        self.emit("mount", "mount", pid=self.first_pid, path=target, mount_source=source, fs_type=fs_type, mntns=self.mntns)

    def do_module(self, name):
        self.emit("module", "uevent", module=name)

    def do_syscall(self, name, *args):
        self.emit("syscall", "tracefs", pid=self.last, syscall=name, **{f"arg{i}": int(a, 0) for i, a in enumerate(args)})


def record(cases):
    """The cases as one recording, and for each the first and last of its pids and its container. Those on the host should be alone: they share it."""
    events, whose, ms = [], [], 100
    for pid, comm, exe in ((1, "systemd", "/usr/lib/systemd/systemd"), (DOCKERD, "dockerd", "/usr/bin/dockerd"),
                           (SHIM, "containerd-shim", "/usr/bin/containerd-shim-runc-v2")):
        events.append({"time": time_text(pid), "kind": "process", "source": "scan", "pid": pid, "ppid": int(pid > 1), "comm": comm, "exe": exe,
                       "cmdline": [exe], "uid": 0, "euid": 0, "cgroup": "/", "mntns": HOST_MNTNS, "netns": HOST_NETNS, "pidns": HOST_PIDNS})
    for number, case in enumerate(cases):
        stage = Stage(case.place, number, ms)
        for text in case.chain.split(" => "):
            step, *done = text.split(" @ ")
            if step.strip():
                stage.run(step)
            for event in done:
                stage.event(event)
        events += stage.events
        whose.append((stage.first_pid, stage.next_pid - 1, stage.container))
        ms = stage.ms + 12000 # every decision that waits is over by then
    return "".join(json.dumps(e) + "\n" for e in events), whose
