"""What the file sensor's tests and benchmark share: the probe program, an overlay of our own, a dockerd of our own."""
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import threading
import time

import docker_leftovers

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("ECSGUARD_BUILD", os.path.join(ROOT, "build"))


def wait_for(condition, seconds=30.0):
    """The first true answer of `condition`, or its last one."""
    end = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer or time.monotonic() > end:
            return answer
        time.sleep(0.02)


def kernel_device(number):
    """The kernel's own form of a device number, as stat(2) tells it."""
    return os.makedev(number >> 20, number & 0xfffff)


class Probe:
    """tests/integration/file_probe, its events collected by a thread."""

    program = "file_probe"

    def __init__(self, *args):
        self.events = []
        self.process = subprocess.Popen([os.path.join(BUILD, f"tests/integration/{self.program}"), *args], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.pid = self.process.pid
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        assert wait_for(lambda: self.of("ready")), f"{self.program} did not start"

    def _read(self):
        for line in self.process.stdout:
            self.events.append(json.loads(line))

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def of(self, kind):
        return [e for e in list(self.events) if e["kind"] == kind]

    def files(self, **want):
        return [e for e in self.of("file") if all(e.get(k) == v for k, v in want.items())]

    def wait(self, seconds=30.0, **want):
        found = wait_for(lambda: self.files(**want), seconds)
        assert found, f"no event {want}; got {self.of('file')[-40:]}"
        return found[0]

    def answer(self, question, kind):
        n = len(self.of(kind))
        self.say(question)
        assert wait_for(lambda: len(self.of(kind)) > n), question
        return self.of(kind)[-1]

    def stats(self):
        return self.answer("stats", "stats")

    def settle(self):
        """What was asked for, and what appeared, is marked."""
        self.answer("settle", "settled")

    def marked_devices(self, mask=0):
        """Device numbers of the file systems that the kernel has marked for the probe, with exactly `mask` unless it is 0."""
        devices = set()
        for fd in os.listdir(f"/proc/{self.pid}/fdinfo"):
            try:
                text = open(f"/proc/{self.pid}/fdinfo/{fd}").read()
            except FileNotFoundError:  # one that it held for a moment
                continue
            for line in text.splitlines():
                if line.startswith("fanotify sdev:"):
                    values = dict(word.split(":") for word in line.split()[1:])
                    if mask in (0, int(values["mask"], 16)):
                        devices.add(kernel_device(int(values["sdev"], 16)))
        return devices

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            self.process.wait(10)
        self.reader.join(5)
        return self.process.returncode


class Overlay:
    """An overlay mount in a directory of its own."""

    def __init__(self, mount=True):
        self.dir = tempfile.mkdtemp(prefix="ecsguard-ovl-")
        for name in "lower", "upper", "work", "merged":
            os.mkdir(f"{self.dir}/{name}")
            setattr(self, name, f"{self.dir}/{name}")
        os.mkdir(f"{self.lower}/bin")
        shutil.copy("/bin/busybox", f"{self.lower}/bin/busybox")
        with open(f"{self.lower}/conf", "w") as f:
            f.write("old\n")
        if mount:
            self.mount()

    def mount(self):
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o",
                        f"lowerdir={self.lower},upperdir={self.upper},workdir={self.work}", self.merged], check=True)

    def umount(self):
        # an event that nobody has read yet keeps its file's mount busy: under load that takes a moment
        assert wait_for(lambda: subprocess.run(["umount", self.merged], capture_output=True).returncode == 0), "busy"

    def close(self):
        if os.path.ismount(self.merged):
            self.umount()
        shutil.rmtree(self.dir)


def python_image(path):
    """A small root file system with busybox and python3, as a tar file."""
    library = f"/usr/lib/python{'.'.join(os.sys.version.split()[0].split('.')[:2])}"
    binary = os.path.realpath("/usr/bin/python3")
    libraries = [word for word in subprocess.run(["ldd", binary], capture_output=True, text=True, check=True).stdout.split()
                 if word.startswith("/")]
    with tarfile.open(path, "w") as tar:
        for name in "proc", "sys", "dev", "tmp", "etc", "usr", "usr/bin", "usr/lib", "bin":
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            tar.add("/tmp", arcname=name, recursive=False, filter=lambda _, i=info: i)
        tar.add("/bin/busybox", "bin/busybox")
        tar.add("/bin/busybox", "bin/extra")
        for name, mode in ("etc/shadow", 0o600), ("root/.ssh/id_rsa", 0o600), ("etc/ssh/ssh_config", 0o644), ("home/ann/.bash_history", 0o600):
            info = tarfile.TarInfo(name)
            info.size, info.mode = 7, mode
            tar.addfile(info, io.BytesIO(b"secret\n"))
        for applet in "sh", "sleep", "chmod", "mv", "rm", "cp", "true", "cat", "ln", "mkdir", "rmdir", "touch", "mount", "umount", "insmod":
            info = tarfile.TarInfo(f"bin/{applet}")
            info.type, info.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(info)
        tar.add(binary, "usr/bin/python3")
        for lib in libraries:
            tar.add(os.path.realpath(lib), lib.lstrip("/"))
        for name in sorted(os.listdir(library)):
            if name.endswith(".py") or name in ("encodings", "collections", "re"):
                tar.add(f"{library}/{name}", f"{library}/{name}".lstrip("/"))


class Docker:
    """A dockerd of our own, all of it in one directory."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="ecsguard-docker-")
        self.root = f"{self.dir}/data"
        self.log = open(f"{self.dir}/log", "w")
        self.host = f"unix://{self.dir}/sock"
        self.process = subprocess.Popen(["dockerd", "--data-root", self.root, "--exec-root", f"{self.dir}/exec", "--pidfile",
                                         f"{self.dir}/pid", "-H", self.host, "--bridge=none", "--iptables=false", "--ip6tables=false",
                                         "--storage-driver=overlay2"], stdout=self.log, stderr=self.log)
        try:
            assert wait_for(lambda: subprocess.run(["docker", "-H", self.host, "info"], capture_output=True).returncode == 0, 60), \
                open(f"{self.dir}/log").read()[-2000:]
            python_image(f"{self.dir}/image.tar")
            self.run("import", f"{self.dir}/image.tar", "probe:1")
        except BaseException:
            self.close()
            raise

    def run(self, *args, check=True):
        result = subprocess.run(["docker", "-H", self.host, *args], capture_output=True, text=True)
        assert not check or result.returncode == 0, result.stderr
        return result.stdout.strip()

    def start(self, *args):
        return self.run("run", "-d", "--network", "none", "--cgroup-parent=/ecs/0123456789abcdef0123456789abcdef", *args)

    def inspect(self, container, what):
        return self.run("inspect", "-f", "{{" + what + "}}", container)

    def close(self):
        if self.process.poll() is None:
            ids = self.run("ps", "-aq", check=False).split()
            if ids:
                self.run("rm", "-f", *ids, check=False)
            self.process.terminate()
            self.process.wait(30)
        self.log.close()
        docker_leftovers.unmount_below(self.dir)
        shutil.rmtree(self.dir, ignore_errors=True)
