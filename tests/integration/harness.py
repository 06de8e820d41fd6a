"""Real peers for the integration tests and benchmarks: a dockerd of our own, an image made from this machine's programs, and the agent.

Needs root. Everything lives in a temporary directory and is stopped at the end; nothing outside of it is changed.
"""

import json
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time

import docker_leftovers

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("ECSGUARD_BUILD", ROOT / "build"))

# Runs a command where tracefs is mounted, in a mount namespace of its own: the host's mounts stay as they are.
WITH_TRACEFS = ["unshare", "-m", "sh", "-c", 'mount -t tracefs none /sys/kernel/tracing && exec "$@"', "sh"]

# What the attacks and the ordinary work in the tests need.
PROGRAMS = ["bash", "cat", "cp", "mv", "rm", "ls", "id", "sleep", "mkfifo", "nc", "socat", "touch", "chmod", "env", "true", "sed", "head", "tee", "mkdir", "find", "kill"]


# What comes at once comes long before anything that is done now and then (a dump of all flows, an hour's end). How soon it comes is measured by
# tests/bench: a virtual machine can stand still for a second.
SOON = 5


def wait_for(condition, timeout=30.0, every=0.02):
    """Polls until the condition gives something true; returns it, or the last value after the timeout."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value or time.monotonic() > end:
            return value
        time.sleep(every)


def needed_libraries(program):
    out = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
    for word in out.split():
        if word.startswith("/"):
            yield word


def make_rootfs(path):
    """A small glibc root: programs of this machine with their libraries, busybox applets beside them, and Debian's python."""
    for d in ["bin", "usr/bin", "tmp", "proc", "dev", "sys", "etc", "root", "usr/local/bin"]:
        (path / d).mkdir(parents=True, exist_ok=True)
    os.chmod(path / "tmp", 0o1777)

    def add(source, target=None):
        target = path / (target or source).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            shutil.copy2(os.path.realpath(source), target)

    for name in PROGRAMS:
        found = next((f"{d}/{name}" for d in ("/usr/bin", "/bin", "/usr/sbin") if os.path.exists(f"{d}/{name}")), None)
        if not found:
            continue
        add(found, f"/bin/{name}")
        for lib in needed_libraries(os.path.realpath(found)):
            add(lib)
    os.symlink("bash", path / "bin/sh")
    shutil.copy2("/bin/busybox", path / "bin/busybox")
    python = "/usr/bin/python3.11" if os.path.exists("/usr/bin/python3.11") else os.path.realpath("/usr/bin/python3")
    add(python, "/usr/bin/python3")
    for lib in needed_libraries(python):
        add(lib)
    version = os.path.basename(python)
    stdlib = pathlib.Path("/usr/lib") / version
    shutil.copytree(stdlib, path / "usr/lib" / version, ignore=shutil.ignore_patterns("test", "idlelib", "tkinter", "config-*", "__pycache__"))
    for so in (stdlib / "lib-dynload").glob("*.so"):
        for lib in needed_libraries(so):
            add(lib)
    # a setuid-root program that no distribution ships, and two users
    shutil.copy2("/bin/busybox", path / "usr/local/bin/rootme")
    os.chmod(path / "usr/local/bin/rootme", 0o4755)
    (path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n")
    (path / "etc/group").write_text("root:x:0:\nuser:x:1000:\n")


RUNC_BOUNDED = """#!/bin/sh
# runc for privileged containers where this machine has no CAP_SYS_RESOURCE itself, as containers have not: asks for the rest
for word; do
    [ "$last" != --bundle ] || sed -i 's/"CAP_SYS_RESOURCE",//g' "$word/config.json"
    last=$word
done
exec runc "$@"
"""


# Not docker0: a dockerd without bridge, as other tests start, takes that away.
BRIDGE = "ecsguard-test0"


def bridge_make():
    subprocess.run(["ip", "link", "del", BRIDGE], stderr=subprocess.DEVNULL)  # of a run that was killed
    for command in (f"link add {BRIDGE} type bridge", f"addr add 172.31.253.1/24 dev {BRIDGE}", f"link set {BRIDGE} up"):
        subprocess.run(["ip", *command.split()], check=True)


class Docker:
    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.socket = str(self.path / "docker.sock")
        self.data = self.path / "data"
        self.process = None
        self.tasks = set()

    def start(self):
        self.log = open(self.path / "dockerd.log", "w")
        bridge_make()
        docker_leftovers.remove_groups_of_dead()
        bounded = self.path / "runc-bounded"
        bounded.write_text(RUNC_BOUNDED)
        bounded.chmod(0o755)
        self.process = subprocess.Popen(
            ["dockerd", f"--data-root={self.data}", f"--exec-root={self.path}/exec", f"--pidfile={self.path}/pid", "-H", f"unix://{self.socket}",
             f"--bridge={BRIDGE}", "--userland-proxy=false", f"--add-runtime=bounded={bounded}"], stdout=self.log, stderr=self.log, start_new_session=True)
        if not wait_for(lambda: subprocess.run(self.command("version"), capture_output=True).returncode == 0, 40, 0.2):
            raise AssertionError("dockerd did not start: " + (self.path / "dockerd.log").read_text()[-2000:])
        with tempfile.TemporaryDirectory(dir=self.path) as root:
            make_rootfs(pathlib.Path(root))
            subprocess.run(f"tar -C {root} -c . | docker -H unix://{self.socket} import - ecsguard-test:1 >/dev/null", shell=True, check=True)

    def remove_all(self):
        for cid in self("ps", "-aq").split():
            self("rm", "-f", cid)

    def stop(self):
        self.remove_all()
        self.process.terminate()
        self.process.wait(30)
        docker_leftovers.remove_groups(*self.tasks)
        docker_leftovers.unmount_below(self.path)
        subprocess.run(["ip", "link", "del", BRIDGE], check=True)
        self.log.close()

    def command(self, *args):
        return ["docker", "-H", f"unix://{self.socket}", *args]

    def __call__(self, *args, check=True, timeout=60):
        done = subprocess.run(self.command(*args), capture_output=True, text=True, timeout=timeout)
        if check and done.returncode:
            raise AssertionError(f"docker {' '.join(args)}: {done.stderr}")
        return done.stdout.strip()

    def run(self, *command, flags=(), labels=(), image="ecsguard-test:1", task=None):
        """Starts a container as the ECS agent does, of a task of its own unless it is given; returns a Container."""
        task = task or docker_leftovers.task_name(os.getpid(), len(self.tasks) + 1)
        self.tasks.add(task)
        args = ["run", "-d", f"--cgroup-parent=/ecs/{task}", *flags]
        for label in labels:
            args += ["--label", label]
        if not any(f.startswith("--net") for f in flags):
            args.append("--network=none")
        return Container(self, self(*args, image, *(command or ("sleep", "600"))), task)


class Container:
    def __init__(self, docker, cid, task):
        self.docker, self.id, self.task = docker, cid, task

    @property
    def pid(self):
        return int(self.docker("inspect", "-f", "{{.State.Pid}}", self.id))

    def exec(self, *command, user=None, check=False, detach=False, timeout=60):
        args = ["exec"] + (["-u", user] if user else []) + (["-d"] if detach else [])
        return self.docker(*args, self.id, *command, check=check, timeout=timeout)

    def sh(self, script, **kw):
        return self.exec("bash", "-c", script, **kw)

    def py(self, script, **kw):
        return self.exec("python3", "-c", script, **kw)

    def remove(self):
        self.docker("rm", "-f", self.id)


class Agent:
    def __init__(self, path, docker_socket="", layers=(), config="", prefix=()):
        self.path = pathlib.Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        self.db = self.path / "ecsguard.db"
        self.intel = self.path / "intel.d"
        self.intel.mkdir(exist_ok=True)
        self.config = self.path / "ecsguard.yaml"
        layer_list = "".join(f"\n    - {d}" for d in layers) or " []"
        if "rules:" not in config:
            config += f"rules:\n  shipped_dir: {ROOT}/agent/rules\n  dir: {self.path}/rules.d\n"
        if "sequences:" not in config:
            config += f"sequences:\n  shipped: {ROOT}/agent/rules/sequences/sequences.yaml\n  dir: {self.path}/sequences.d\n"
        self.config.write_text(
            f"storage:\n  path: {self.db}\nrun_dir: {self.path}/run\nintel:\n  shipped_dir: {ROOT}/agent/intel\n  dir: {self.intel}\ndocker:\n  socket: '{docker_socket}'\n"
            f"ecs:\n  introspection_url: ''\nfiles:\n  layers:{layer_list}\n{config}")
        self.prefix = list(prefix)
        self.process = None

    def start(self, ready=True):
        self.ready_lines = self.text().count("agent: ready") if (self.path / "agent.log").exists() else 0
        self.log = open(self.path / "agent.log", "a")
        self.process = subprocess.Popen([*self.prefix, BUILD / "ecsguardd", "--config", self.config], stdout=self.log, stderr=self.log, start_new_session=True)
        if ready and not wait_for(self.is_ready, 20, 0.05):
            raise AssertionError("the agent did not get ready: " + self.text()[-3000:])
        return self

    def text(self):
        return (self.path / "agent.log").read_text()

    def is_ready(self):
        if self.process.poll() is not None:
            raise AssertionError("the agent ended: " + self.text()[-3000:])
        return self.text().count("agent: ready") > self.ready_lines

    def stop(self, number=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(30)
        self.log.close()
        return self.process.returncode

    def query(self, sql, *args):
        if not self.db.exists():
            return []
        con = sqlite3.connect(f"file:{self.db}?mode=ro", uri=True, timeout=5)
        con.row_factory = sqlite3.Row
        try:
            return [dict(r) for r in con.execute(sql, args)]
        except sqlite3.OperationalError as e:
            if "no such table" in str(e):
                return []
            raise
        finally:
            con.close()

    def health(self):
        return {r["component"]: r for r in self.query("select * from health")}

    def findings(self, **where):
        rows = self.query("select * from findings order by first_seen")
        return [r for r in rows if all(r[k] == v for k, v in where.items())]

    def wait_finding(self, type, timeout=30.0, **where):
        """The first finding of that type; fails with what there is instead."""
        found = wait_for(lambda: self.findings(type=type, **where), timeout)
        assert found, f"no {type} {where}; findings: {json.dumps(self.findings(), indent=1)}\nlog: {self.text()[-1500:]}"
        return found[0]

    def evidence(self, finding):
        return [{**r, "evidence": json.loads(r["evidence"]), "lineage": json.loads(r["lineage"] or "[]")}
                for r in self.query("select * from evidence where finding_id = ?", finding["id"])]
