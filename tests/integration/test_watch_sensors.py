"""The mount, unix socket and kernel module sensors against containers of a real dockerd. Needs root."""
import os
import shutil
import socket
import subprocess
import threading
import time

import pytest

from file_helpers import BUILD, Docker, Probe, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture(scope="module")
def docker():
    if not shutil.which("dockerd"):
        pytest.skip("no dockerd here")
    subprocess.run(["make", "-s", "-C", BUILD, "tests/integration/watch_probe"], check=True)
    d = Docker()
    yield d
    d.close()


class Watch(Probe):
    program = "watch_probe"

    def wait(self, kind, seconds=30.0, **want):
        found = wait_for(lambda: [e for e in self.of(kind) if all(e.get(k) == v for k, v in want.items())], seconds)
        assert found, f"no {kind} {want}; got {self.events[-20:]}"
        return found[0]


@pytest.fixture
def watch(docker):
    w = Watch()
    yield w
    assert w.close() == 0


def start(docker, watch, *args, settle=0.3):
    container = docker.start(*args, "probe:1", "sleep", "600")
    pid = int(docker.inspect(container, ".State.Pid"))
    watch.say(f"add {pid}")
    time.sleep(settle)
    return container, pid


PRIVILEGED = ("--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined")


# ---- mounts ------------------------------------------------------------------------------------------------------------

def test_mounts_after_the_start(docker, watch, tmp_path):
    container, pid = start(docker, watch, *PRIVILEGED, "-v", f"{tmp_path}:/shared")
    assert not watch.of("mount"), "what the runtime mounted"
    docker.run("exec", container, "sh", "-c", "mkdir -p '/tmp/a b' /tmp/bound; mount -t tmpfs none '/tmp/a b'; mount -o bind /shared /tmp/bound; sleep 0.2")
    event = watch.wait("mount", path="/tmp/a b")
    assert (event["pid"], event["fs_type"], event["mount_source"]) == (pid, "tmpfs", "none") and "host_path" not in event
    assert watch.wait("mount", path="/tmp/bound")["host_path"] == str(tmp_path)
    docker.run("exec", container, "umount", "/tmp/bound")
    time.sleep(0.2)
    assert len(watch.of("mount")) == 2
    docker.run("rm", "-f", container)


def test_the_hosts_disk_mounted_in_a_container(docker, watch):
    device = os.stat("/").st_dev
    container, _ = start(docker, watch, *PRIVILEGED, f"--device-cgroup-rule=b {os.major(device)}:{os.minor(device)} rmw", "--cap-add", "MKNOD")
    docker.run("exec", container, "python3", "-c", "import os; os.mknod('/tmp/disk', 0o60600, %d)" % device)
    out = docker.run("exec", container, "sh", "-c", "mkdir /tmp/host; mount -t ext4 /tmp/disk /tmp/host && echo mounted; sleep 0.2", check=False)
    if "mounted" not in out:
        pytest.skip("the host's disk cannot be mounted here")
    event = watch.wait("mount", path="/tmp/host")
    assert event["host_path"] == "/" and event["fs_type"] == "ext4"
    docker.run("rm", "-f", container)


def test_a_container_known_from_its_first_moment(docker, watch):
    """The runtime's own mounts are none of the container's, whenever we hear of it."""
    pids, host_root = set(), os.stat("/").st_dev
    stop = threading.Event()

    def follow():  # as early as a process of the runtime has another root
        while not stop.is_set():
            for p in filter(str.isdigit, os.listdir("/proc")):
                try:
                    if p not in pids and open(f"/proc/{p}/cmdline", "rb").read() == b"runc\0init\0" and \
                            os.stat(f"/proc/{p}/root").st_dev != host_root:
                        pids.add(p)
                        watch.say(f"add {p}")
                except OSError:
                    pass

    thread = threading.Thread(target=follow)
    thread.start()
    container = docker.start("--tmpfs", "/run", "probe:1", "sleep", "600")
    time.sleep(0.5)
    stop.set()
    thread.join()
    assert docker.inspect(container, ".State.Pid") in pids, "heard of it before its program started"
    assert not watch.of("mount")
    docker.run("rm", "-f", container)


def test_an_ended_container_is_let_go(docker, watch):
    container, pid = start(docker, watch)
    assert any(f"/proc/{pid}/mountinfo" == os.readlink(f"/proc/{watch.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{watch.pid}/fd"))
    before = len(os.listdir(f"/proc/{watch.pid}/fd"))
    docker.run("kill", container)
    assert wait_for(lambda: len(os.listdir(f"/proc/{watch.pid}/fd")) == before - 2)
    docker.run("rm", container)
    watch.say(f"remove {pid}")


# ---- runtime sockets -----------------------------------------------------------------------------------------------------

CONNECT = """
import socket, sys, time
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.send(b"GET /_ping HTTP/1.1\\r\\nHost: d\\r\\n\\r\\n"); s.recv(4096); time.sleep(float(sys.argv[2]))
"""


def test_a_process_connected_to_the_docker_socket(docker, watch):
    path = f"{docker.dir}/docker.sock"
    os.symlink("sock", path) if not os.path.lexists(path) else None
    server = socket.socket(socket.AF_UNIX)
    real = f"{docker.dir}/run"
    os.makedirs(real, exist_ok=True)
    server.bind(f"{real}/docker.sock")
    server.listen()
    threading.Thread(target=answer, args=(server,), daemon=True).start()
    container, _ = start(docker, watch, "-v", f"{real}/docker.sock:/run/docker.sock")
    other, _ = start(docker, watch)
    assert not watch.of("unix")
    client = subprocess.Popen(["docker", "-H", docker.host, "exec", container, "python3", "-c", CONNECT, "/run/docker.sock", "1"])
    event = watch.wait("unix", path=f"{real}/docker.sock")
    assert os.readlink(f"/proc/{event['pid']}/fd/{event['fd']}").startswith("socket:[")
    assert b"_ping" in open(f"/proc/{event['pid']}/cmdline", "rb").read()
    client.wait()
    assert len(watch.of("unix")) == 1, "once for each connection"
    docker.run("exec", container, "python3", "-c", CONNECT, "/run/docker.sock", "0.2")
    assert wait_for(lambda: len(watch.of("unix")) == 2)
    # on the host, somebody else's
    host = socket.socket(socket.AF_UNIX)
    host.connect(f"{real}/docker.sock")
    time.sleep(0.2)
    assert len(watch.of("unix")) == 2
    assert watch.stats()["unix"]["lost"] == 0
    docker.run("rm", "-f", container, other)


def answer(server):
    kept = []
    while True:
        connection, _ = server.accept()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK")
        kept.append(connection)


def test_a_directory_with_the_socket_and_the_hosts_network(docker, watch, tmp_path):
    server = socket.socket(socket.AF_UNIX)
    server.bind(f"{tmp_path}/docker.sock")
    server.listen()
    threading.Thread(target=answer, args=(server,), daemon=True).start()
    container = docker.run("run", "-d", "--network", "host", "-v", f"{tmp_path}:/host/run", "probe:1", "sleep", "600")
    watch.say(f"add {docker.inspect(container, '.State.Pid')}")
    time.sleep(0.2)
    host = socket.socket(socket.AF_UNIX)
    host.connect(f"{tmp_path}/docker.sock")
    time.sleep(0.2)
    assert not watch.of("unix"), "the host's own client"
    docker.run("exec", container, "python3", "-c", CONNECT, "/host/run/docker.sock", "0.3")
    event = watch.wait("unix", path=f"{tmp_path}/docker.sock")
    assert event["pid"] != os.getpid() and len(watch.of("unix")) == 1
    assert watch.stats()["unix"]["lost"] == 0
    docker.run("rm", "-f", container)


def thread_ns(pid, name):
    """CPU time of one thread."""
    for task in os.listdir(f"/proc/{pid}/task"):
        if open(f"/proc/{pid}/task/{task}/comm").read().strip() == name:
            return int(open(f"/proc/{pid}/task/{task}/schedstat").read().split()[0])


def test_what_looking_costs(docker, watch, tmp_path):
    server = socket.socket(socket.AF_UNIX)
    server.bind(f"{tmp_path}/docker.sock")
    server.listen()
    container, _ = start(docker, watch, "-v", f"{tmp_path}:/run")
    before, before_ns = watch.stats(), thread_ns(watch.pid, "unix")
    time.sleep(3)
    after, after_ns = watch.stats(), thread_ns(watch.pid, "unix")
    looks = after["looks"] - before["looks"]
    print(f"{(after_ns - before_ns) / looks / 1000:.0f} us a look, {looks} looks in 3 s")
    assert 30 <= looks <= 62
    docker.run("rm", "-f", container)


CROWD = """
import os, socket, sys, time
for i in range(60):
    if not os.fork():
        s = socket.socket(socket.AF_UNIX)
        s.connect(sys.argv[1])
        time.sleep(10)
        os._exit(0)
print("all there", flush=True)
time.sleep(10)
"""


def test_many_clients_keep_no_cpu_busy(docker, watch, tmp_path):
    """Each has to be searched among all processes: what that costs is bounded, and no client is left untold."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(f"{tmp_path}/docker.sock")
    server.listen(100)
    threading.Thread(target=answer, args=(server,), daemon=True).start()
    container, pid = start(docker, watch, "-v", f"{tmp_path}:/run")
    before_ns, begin = thread_ns(watch.pid, "unix"), time.monotonic()
    docker.run("exec", "-d", container, "python3", "-c", CROWD, "/run/docker.sock")
    assert wait_for(lambda: len(watch.of("unix")) + watch.stats()["unix"]["lost"] >= 60)
    time.sleep(max(0, begin + 3 - time.monotonic()))
    used = (thread_ns(watch.pid, "unix") - before_ns) / 1e9 / (time.monotonic() - begin)
    told = watch.of("unix")
    unknown = [e for e in told if "pid" not in e]
    print(f"{used:.1%} of a CPU, {len(told)} clients told, {len(unknown)} of them without their process; {watch.stats()['unix']['reason']}")
    assert used < 0.1 and len(told) == 60 and len(unknown) < 60
    assert all(e["target_pid"] == pid for e in unknown)
    assert bool(unknown) == (f"processes of {len(unknown)} clients were not searched" in watch.stats()["unix"]["reason"])
    docker.run("rm", "-f", container)


# ---- modules -------------------------------------------------------------------------------------------------------------

def test_modules_that_appear(docker, tmp_path):
    line = "{} 16384 0 - Live 0x0000000000000000\n"
    modules = tmp_path / "modules"
    modules.write_text(line.format("ext4") + line.format("overlay"))
    watch = Watch(str(modules))
    modules.write_text(line.format("ext4") + line.format("overlay") + line.format("rootkit"))
    watch.wait("module", module="rootkit")
    modules.write_text(line.format("ext4"))
    time.sleep(0.3)
    modules.write_text(line.format("ext4") + line.format("rootkit"))
    assert wait_for(lambda: len(watch.of("module")) == 2), "loaded again"
    assert watch.stats()["modules"]["state"] == 2
    assert watch.close() == 0


def test_uevents_of_other_devices_say_nothing(docker, watch):
    subprocess.run("ip link add ecsguard-t0 type veth peer name ecsguard-t1 && ip link del ecsguard-t0", shell=True, check=True)
    with open("/sys/class/net/lo/uevent", "w") as f:
        f.write("change")
    time.sleep(0.2)
    assert not watch.of("module") and watch.stats()["modules"]["malformed"] == 0
