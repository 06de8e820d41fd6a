"""The file sensor against the real kernel: overlays of our own, and containers of a real dockerd. Needs root."""
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from file_helpers import BUILD, Docker, Overlay, Probe, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="fanotify needs root")


@pytest.fixture(scope="module", autouse=True)
def programs():
    subprocess.run(["make", "-s", "-C", BUILD, "tests/integration/file_probe"], check=True)


@pytest.fixture
def overlay():
    o = Overlay()
    yield o
    o.close()


@pytest.fixture
def probe(overlay):
    p = Probe("-l", overlay.dir, "-p", f"{overlay.dir}/host", "-w", f"{overlay.lower}/conf")
    yield p
    assert p.close() == 0


def spawn(script, *args):
    """Runs a Python script in a process of its own and gives its pid when it is done."""
    p = subprocess.Popen([sys.executable, "-c", script, *args])
    assert p.wait(60) == 0
    return p.pid


# ---- overlays of our own ----------------------------------------------------------------------------------------------

def test_life_of_a_file(probe, overlay):
    pid = spawn("import os,sys; os.chdir(sys.argv[1]); open('new','w').write('x'); os.chmod('new',0o755); "
                "os.rename('new','moved'); os.unlink('moved')", overlay.merged)
    created = probe.wait(op="create", path="/new", pid=pid)
    assert created["host_path"] == f"{overlay.upper}/new"
    assert probe.wait(op="close_write", path="/new", pid=pid, source="fid")["host_path"] == f"{overlay.upper}/new"
    probe.wait(op="attrib", path="/new", pid=pid)
    assert probe.wait(op="move", path="/moved", pid=pid)["old_path"] == "/new"
    probe.wait(op="delete", path="/moved", pid=pid)


def test_facts_of_a_file(probe, overlay):
    path = f"{overlay.merged}/kept"
    spawn("import os,sys; open(sys.argv[1],'w').write('abc'); os.chmod(sys.argv[1],0o711)", path)
    event = probe.wait(op="attrib", path="/kept")
    st = os.stat(f"{overlay.upper}/kept")
    assert (event["dev"], event["ino"], event["mode"], event["file_size"]) == (st.st_dev, st.st_ino, st.st_mode, 3)
    assert event["file_ctime"] == st.st_ctime_ns


def test_copy_up_and_deletion_of_image_files(probe, overlay):
    pid = spawn("import os,sys; os.chdir(sys.argv[1]); open('bin/busybox','ab').write(b'x'); os.unlink('conf')", overlay.merged)
    assert probe.wait(op="create", path="/bin/busybox", pid=pid)["host_path"] == f"{overlay.upper}/bin/busybox"
    probe.wait(op="delete", path="/conf", pid=pid)
    assert not [e for e in probe.of("file") if "/work/" in e.get("host_path", "")]


def test_execution_tells_image_files_from_new_ones(probe, overlay):
    subprocess.run([f"{overlay.merged}/bin/busybox", "true"], check=True)
    assert "host_path" not in probe.wait(op="open_exec", path="/bin/busybox")
    shutil.copy(f"{overlay.merged}/bin/busybox", f"{overlay.merged}/evil")
    subprocess.run([f"{overlay.merged}/evil"], check=False)
    assert probe.wait(op="open_exec", path="/evil")["host_path"] == f"{overlay.upper}/evil"


def test_paths_follow_a_moved_directory(probe, overlay):
    spawn("import os,sys,time; os.chdir(sys.argv[1]); os.makedirs('a/b'); open('a/b/one','w'); time.sleep(0.3); os.rename('a','z'); "
          "open('z/b/two','w')", overlay.merged)
    probe.wait(op="create", path="/a/b/one")
    probe.wait(op="create", path="/z/b/two")


def test_host_and_watched_files(probe, overlay):
    pid = spawn("import sys; open(sys.argv[1]+'/host','w').write('x'); open(sys.argv[1]+'/lower/conf','a').write('y'); "
                "open(sys.argv[1]+'/other','w')", overlay.dir)
    assert probe.wait(op="create", host_path=f"{overlay.dir}/host")["pid"] == pid
    assert probe.wait(op="modify", host_path=f"{overlay.lower}/conf")["pid"] == pid
    time.sleep(0.2)
    assert not probe.files(host_path=f"{overlay.dir}/other")


def test_an_overlay_mounted_later_is_seen_at_once(overlay):
    overlay.umount()
    probe = Probe("-l", overlay.dir)
    for i in range(10):
        overlay.mount()
        subprocess.run([f"{overlay.merged}/bin/busybox", "touch", f"{overlay.merged}/t{i}"], check=True)
        overlay.umount()
    for i in range(10):
        probe.wait(op="create", path=f"/t{i}")
    assert probe.stats()["fid"]["lost"] == 0
    assert probe.close() == 0


def test_layer_directory_that_appears_later(tmp_path):
    late = tmp_path / "late"
    probe = Probe("-l", str(late))
    stats = probe.stats()
    assert stats["fid"]["state"] == 1 and "exists" in stats["fid"]["reason"]
    late.mkdir()
    assert wait_for(lambda: probe.stats()["fid"]["state"] == 2, 8)
    assert probe.close() == 0


def test_overflow_is_counted_and_the_rescan_finds_the_executable(probe, overlay):
    os.kill(probe.pid, signal.SIGSTOP)
    limit = int(open("/proc/sys/fs/fanotify/max_queued_events").read())
    spawn("import os,sys\nos.chdir(sys.argv[1]); os.makedirs('deep/er')\n"
          "for i in range(int(sys.argv[2])):\n f=open('f%d'%i,'w'); f.write('x'); f.close()\n"
          "open('deep/er/dropped','w').write('x'); os.chmod('deep/er/dropped',0o755)", overlay.merged, str(limit + 500))
    os.kill(probe.pid, signal.SIGCONT)
    found = wait_for(lambda: [e for e in probe.files(op="create", path="/deep/er/dropped") if "pid" not in e], 30)
    assert found and found[0]["host_path"] == f"{overlay.upper}/deep/er/dropped"
    stats = probe.stats()
    assert stats["overlay"]["overflows"] == 1 and stats["overlay"]["lost"] == 1 and stats["fid"]["resyncs"] == 1
    assert [e for e in probe.of("loss") if e["source"] == "overlay"]
    assert not [e for e in probe.of("file") if "pid" not in e and e["path"] == "/f1"], "only executables are told again"


def test_unmounting_works_and_frees_the_superblock(probe, overlay):
    device = os.stat(overlay.merged).st_dev
    assert wait_for(lambda: device in probe.marked_devices())
    spawn("import sys\nfor i in range(2000): open(sys.argv[1]+'/f%d'%i,'w').write('x')", overlay.merged)
    overlay.umount()
    assert wait_for(lambda: device not in probe.marked_devices(), 3)


# ---- containers -------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def docker():
    if not shutil.which("dockerd"):
        pytest.skip("no dockerd here")
    d = Docker()
    yield d
    d.close()


@pytest.fixture
def guard(docker):
    p = Probe("-l", docker.root)
    yield p
    assert p.close() == 0


def added(docker, guard, *args):
    """A running container of which the sensor knows, its first process and its upperdir."""
    container = docker.start(*args, "probe:1", "sleep", "600")
    pid = int(docker.inspect(container, ".State.Pid"))
    before = guard.marked_devices()
    guard.say(f"add {pid}")
    assert wait_for(lambda: guard.marked_devices() - before), "its /proc was not marked"
    time.sleep(0.1)
    return container, pid, docker.inspect(container, ".GraphDriver.Data.UpperDir")


def test_entrypoints_of_fresh_containers(docker, guard):
    for _ in range(5):
        container = docker.run("run", "-d", "--network", "none", "probe:1", "cat", "/etc/hostname")
        upper = docker.inspect(container, ".GraphDriver.Data.UpperDir")
        n = len(guard.files(op="open_exec", path="/bin/busybox"))
        docker.run("wait", container)
        assert wait_for(lambda: len(guard.files(op="open_exec", path="/bin/busybox")) > n or n), container
        docker.run("rm", container)
        assert upper.startswith(docker.root)
    assert wait_for(lambda: len(guard.files(op="open_exec", path="/bin/busybox")) >= 5)


def test_a_container_changes_files(docker, guard):
    container, _, upper = added(docker, guard)
    docker.run("exec", container, "sh", "-c", "cd /tmp; echo $$ >pid; echo x >a; chmod 755 a; mv a b; rm b; echo x >>/bin/extra")
    host = int(guard.wait(op="create", path="/tmp/a", source="fid")["pid"])
    assert guard.wait(op="create", path="/tmp/a")["host_path"] == f"{upper}/tmp/a"
    guard.wait(op="close_write", path="/tmp/a", pid=host)
    guard.wait(op="attrib", path="/tmp/a")
    assert guard.wait(op="move", path="/tmp/b")["old_path"] == "/tmp/a"
    guard.wait(op="delete", path="/tmp/b")
    assert guard.wait(op="create", path="/bin/extra", pid=host)["host_path"] == f"{upper}/bin/extra"
    docker.run("rm", "-f", container)


def test_a_program_in_dev_shm(docker, guard):
    container, _, _ = added(docker, guard, "--tmpfs", "/dev/shm:rw,exec")
    docker.run("exec", container, "sh", "-c", "cp /bin/busybox /dev/shm/true; /dev/shm/true; echo x >/dev/null")
    guard.wait(op="close_write", path="/dev/shm/true", source="overlay")
    guard.wait(op="open_exec", path="/dev/shm/true", source="overlay")
    assert not guard.files(path="/dev/null")
    docker.run("rm", "-f", container)


INJECT = """
import os,sys,time
target=int(sys.argv[1])
for line in open('/proc/%d/maps'%target):
    if line.split()[1].startswith('rw'):
        at=int(line.split('-')[0],16)
        break
fd=os.open('/proc/%d/mem'%target,os.O_RDWR)
os.lseek(fd,at,0); data=os.read(fd,8); os.lseek(fd,at,0); os.write(fd,data)
os.close(fd)
"""


def test_a_write_to_the_memory_of_another_process(docker, guard):
    container, pid, _ = added(docker, guard)
    docker.run("exec", "-d", container, "sleep", "300")
    victim = wait_for(lambda: [int(p) for p in os.listdir("/proc") if p.isdigit() and is_command(p, b"sleep\x00300\x00")])[0]
    inside = int([l for l in open(f"/proc/{victim}/status") if l.startswith("NSpid")][0].split()[-1])
    docker.run("exec", container, "python3", "-c", INJECT, str(inside))
    event = guard.wait(op="modify", path=f"/proc/{inside}/mem", source="procfs")
    assert event["target_pid"] == victim
    assert event["pid"] not in (victim, pid)
    # its own name and OOM hint are nobody's business
    docker.run("exec", container, "sh", "-c", "echo x >/proc/self/comm; echo 5 >/proc/self/oom_score_adj")
    time.sleep(0.2)
    assert not [e for e in guard.files(source="procfs") if e["path"].endswith(("/comm", "/oom_score_adj")) and
                e["pid"] == e.get("target_pid")]
    docker.run("rm", "-f", container)


def is_command(pid, command):
    try:
        return open(f"/proc/{pid}/cmdline", "rb").read() == command
    except OSError:
        return False


def test_removing_a_container_leaves_nothing(docker, guard):
    before = guard.marked_devices()
    container, pid, upper = added(docker, guard)
    assert wait_for(lambda: len(guard.marked_devices() - before) >= 3), "overlay, /proc and tmpfs"
    docker.run("exec", container, "sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do cp /bin/busybox /tmp/$i; /tmp/$i true || :; done")
    guard.say(f"remove {pid}")
    docker.run("rm", "-f", container)
    assert not os.path.exists(upper)
    assert wait_for(lambda: guard.marked_devices() <= before, 5), "superblocks of a removed container live on"
