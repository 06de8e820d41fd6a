"""A dockerd of the test's own, a small image, and the probe program with its event lines."""
import json
import os
import pathlib
import shutil
import signal
import socket
import socketserver
import subprocess
import tarfile
import threading
import time

import docker_leftovers

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("ECSGUARD_BUILD", TOP / "build"))

STAMP_C = r"""
#include <stdio.h>
#include <time.h>
#include <unistd.h>
int main(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    printf("%lld\n", t.tv_sec * 1000000000LL + t.tv_nsec);
    fflush(stdout);
    for (;;)
        pause();
}
"""


def wait_until(condition, seconds=30, what="condition"):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = condition()
        if got:
            return got
        time.sleep(0.02)
    raise AssertionError("not within %s s: %s" % (seconds, what))


class Dockerd:
    """dockerd with everything below one directory."""

    def __init__(self, directory):
        self.dir = pathlib.Path(directory)
        self.socket = str(self.dir / "docker.sock")
        self.tasks = []
        self.log = open(self.dir / "dockerd.log", "wb")
        self.process = subprocess.Popen(
            ["dockerd", "--data-root", self.dir / "data", "--exec-root", self.dir / "exec", "--pidfile", self.dir / "pid",
             "-H", "unix://" + self.socket, "--bridge=none", "--iptables=false", "--ip6tables=false"],
            stdout=self.log, stderr=self.log)
        wait_until(lambda: self.process.poll() is not None or self.run("version", check=False).returncode == 0, 60, "dockerd answers")
        assert self.process.poll() is None, (self.dir / "dockerd.log").read_text()[-2000:]
        self.import_image()

    def run(self, *args, check=True):
        r = subprocess.run(["docker", "-H", "unix://" + self.socket, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert not check or r.returncode == 0, r.stderr
        return r

    def import_image(self):
        source = self.dir / "stamp.c"
        source.write_text(STAMP_C)
        subprocess.run(["gcc", "-O1", "-static", "-o", self.dir / "stamp", source], check=True)
        image = self.dir / "image.tar"
        with tarfile.open(image, "w") as tar:
            for name in ("bin", "tmp", "proc", "dev", "etc"):
                d = tarfile.TarInfo(name)
                d.type, d.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(d)
            tar.add(shutil.which("busybox"), "bin/busybox")
            tar.add(self.dir / "stamp", "bin/stamp")
            for name in ("sh", "sleep", "true", "cat"):
                link = tarfile.TarInfo("bin/" + name)
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
        self.run("import", str(image), "tiny:1")

    def start(self, task, *command, options=()):
        """A container of a task; its full id."""
        self.tasks.append(task)
        return self.run("run", "-d", "--network", "none", "--cgroup-parent", "/ecs/" + task, *options, "tiny:1",
                        *(command or ("/bin/stamp",))).stdout.strip()

    def stamp(self, container_id):
        """When its entrypoint ran, CLOCK_MONOTONIC ns."""
        return int(wait_until(lambda: self.run("logs", container_id).stdout.strip(), 10, "stamp"))

    def remove(self, *ids):
        self.run("rm", "-f", *ids)

    def remove_all(self):
        ids = self.run("ps", "-aq", check=False).stdout.split()
        if ids:
            self.run("rm", "-f", *ids, check=False)

    def stop(self):
        self.remove_all()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        docker_leftovers.unmount_below(self.dir)
        docker_leftovers.remove_groups(*self.tasks)


class Probe:
    def __init__(self, docker_socket="/nonexistent/docker.sock", ecs_url="http://127.0.0.1:1", cgroup_dir="-"):
        program = BUILD / "tests/integration/container_probe"
        self.process = subprocess.Popen([program, cgroup_dir, docker_socket, ecs_url], stdout=subprocess.PIPE, text=True)
        self.events, self.lock = [], threading.Lock()
        threading.Thread(target=self.read, daemon=True).start()
        wait_until(lambda: self.select("ready"), 10, "probe is ready")

    def read(self):
        for line in self.process.stdout:
            kind, *fields = line.rstrip("\n").split("\t")
            with self.lock:
                self.events.append((kind, dict(f.split("=", 1) for f in fields)))

    def select(self, kind, **fields):
        with self.lock:
            return [f for k, f in self.events if k == kind and all(f.get(n) == v for n, v in fields.items())]

    def wait(self, kind, seconds=30, **fields):
        return wait_until(lambda: self.select(kind, **fields), seconds, "%s %s" % (kind, fields))[0]

    def stats(self, name):
        before = len(self.select("stats", name=name))
        self.process.send_signal(signal.SIGUSR1)
        wait_until(lambda: len(self.select("stats", name=name)) > before, 5, "stats")
        got = self.select("stats", name=name)[-1]
        return {k: int(v) if v.isdigit() else v for k, v in got.items()}

    def cpu_seconds(self):
        fields = open("/proc/%d/stat" % self.process.pid).read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def context_switches(self):
        total = 0
        for task in os.listdir("/proc/%d/task" % self.process.pid):
            for line in open("/proc/%d/task/%s/status" % (self.process.pid, task)):
                if "ctxt_switches" in line:
                    total += int(line.split()[1])
        return total

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(10)
        assert code == 0, code


class FakeDocker(socketserver.ThreadingUnixStreamServer):
    """Docker's socket with one fault: no dockerd behaves so when asked."""
    daemon_threads = True

    def __init__(self, path, mode):
        self.mode, self.requests, self.released = mode, [], threading.Event()
        super().__init__(str(path), FakeDockerHandler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass

    def stop(self):
        self.released.set()
        self.shutdown()
        self.server_close()


class FakeDockerHandler(socketserver.StreamRequestHandler):
    def answer(self, status, body, length=None):
        self.wfile.write(b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" %
                         (status, len(body) if length is None else length))
        try:
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def handle(self):
        path = self.rfile.readline().split()[1].decode()
        while self.rfile.readline().strip():
            pass
        self.server.requests.append(path)
        mode = self.server.mode
        container_id = path.split("/")[2] if path.count("/") == 3 else ""
        if mode == "slow":
            self.server.released.wait(60)
        elif mode == "500":
            self.answer(500, b'{"message": "x"}')
        elif mode == "404":
            self.answer(404, b'{"message": "no such container"}')
        elif path == "/containers/json":
            self.answer(200, b"[]")
        elif mode == "close":
            self.answer(200, b'{"Id": ', length=4000)
        elif mode == "reset":
            pass
        elif mode == "huge":
            self.answer(200, b'{"Id": "' + b"a" * (2 << 20) + b'"}')
        elif mode == "malformed":
            self.answer(200, b"<html>no</html>")
        elif mode == "types":
            self.answer(200, json.dumps({"Id": container_id, "Name": 7, "Config": [], "State": "up"}).encode())
        elif mode == "lying":
            self.answer(200, json.dumps({"Id": "0" * 64, "Name": "/trusted", "Config": {"Image": "trusted:1"}}).encode())


def refuse_connections(path):
    """A socket file nobody listens on."""
    s = socket.socket(socket.AF_UNIX)
    s.bind(str(path))
    s.close()
