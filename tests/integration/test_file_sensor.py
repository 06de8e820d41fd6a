"""The file sensor against the real kernel: overlays of our own, and containers of a real dockerd. Needs root."""
import ctypes
import os
import shutil
import signal
import stat
import subprocess
import sys
import time

import pytest

from file_helpers import BUILD, Docker, Overlay, Probe, wait_for

CONTENT_MASK = 0x1008  # FAN_OPEN_EXEC | FAN_CLOSE_WRITE, as /proc/PID/fdinfo has it
MNT_DETACH = 2

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
    seen = lambda: sum(bool(probe.files(op="create", path=f"/t{i}")) for i in range(10))
    assert wait_for(lambda: seen() >= 8), seen()  # one that lived while the machine stood still could not be marked in time
    assert probe.stats()["fid"]["lost"] == 0
    assert probe.close() == 0


def test_layer_directory_that_appears_later(tmp_path):
    late = tmp_path / "late"
    probe = Probe("-l", str(late))
    stats = probe.stats()
    assert stats["fid"]["state"] == 1 and "exists" in stats["fid"]["reason"]
    late.mkdir()
    assert wait_for(lambda: probe.stats()["fid"]["state"] == 2)
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
    assert probe.stats()["fid"]["resyncs"] >= 1
    # the other group has as many events to read before it comes to its overflow (and our own queue may fill up, too)
    assert wait_for(lambda: probe.stats()["overlay"]["overflows"] >= 1 and probe.stats()["overlay"]["lost"] >= 1, 30)
    assert wait_for(lambda: [e for e in probe.of("loss") if e["source"] == "overlay"])
    assert not [e for e in probe.of("file") if "pid" not in e and e["path"] == "/f1"], "only executables are told again"


def test_unmounting_works_and_frees_the_superblock(probe, overlay):
    device = os.stat(overlay.merged).st_dev
    assert wait_for(lambda: device in probe.marked_devices())
    spawn("import sys\nfor i in range(2000): open(sys.argv[1]+'/f%d'%i,'w').write('x')", overlay.merged)
    overlay.umount()
    assert wait_for(lambda: device not in probe.marked_devices())


def test_mounts_that_are_gone_at_once_do_not_mark_the_host(overlay):
    """As those in which dockerd prepares a container: between finding one and marking it, the host's file system may be what is there."""
    overlay.umount()
    probe = Probe("-l", overlay.dir)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"lowerdir={overlay.lower},upperdir={overlay.upper},workdir={overlay.work}".encode()
    for _ in range(3000):
        assert libc.mount(b"overlay", overlay.merged.encode(), b"overlay", 0, options) == 0, os.strerror(ctypes.get_errno())
        assert libc.umount2(overlay.merged.encode(), MNT_DETACH) == 0, os.strerror(ctypes.get_errno())
    overlay.mount()
    device = os.stat(overlay.merged).st_dev
    assert wait_for(lambda: device in probe.marked_devices(CONTENT_MASK))
    assert os.stat(overlay.dir).st_dev not in probe.marked_devices(CONTENT_MASK)
    assert probe.close() == 0


def test_directories_links_and_new_modes(probe, overlay):
    pid = spawn("import os,sys; os.chdir(sys.argv[1]); os.mkdir('d'); os.rmdir('d'); open('f','w'); os.chmod('f',0o4755); os.unlink('f'); "
                "os.symlink('/etc/sha\\tdow','l'); os.link('bin/busybox','h')", overlay.merged)
    assert probe.wait(op="delete", path="/d", pid=pid)["mode"] == stat.S_IFDIR
    assert "mode" not in probe.wait(op="delete", path="/f", pid=pid)
    assert probe.wait(op="create", path="/l", pid=pid)["link_target"] == "/etc/sha\tdow"
    assert probe.wait(op="create", path="/h", pid=pid)["nlink"] == 2
    assert not [e for e in probe.files(path="/h") if "old_path" in e]


def test_created_directories_and_modes_are_told(probe, overlay):
    pid = spawn("import os,sys,time; os.chdir(sys.argv[1]); os.mkdir('d'); open('f','w'); time.sleep(0.3); os.chmod('f',0o4755)", overlay.merged)
    assert stat.S_ISDIR(probe.wait(op="create", path="/d", pid=pid)["mode"])
    assert probe.wait(op="attrib", path="/f", pid=pid)["mode"] == stat.S_IFREG | 0o4755


def test_a_hard_link_to_a_sensitive_file_names_it(probe, overlay):
    os.makedirs(f"{overlay.merged}/etc")
    os.makedirs(f"{overlay.merged}/root/.ssh")
    for name in "etc/shadow", "root/.ssh/id_rsa":
        with open(f"{overlay.merged}/{name}", "w") as f:
            f.write("secret")
    pid = spawn("import os,sys; os.chdir(sys.argv[1]); os.link('etc/shadow','innocent'); os.link('root/.ssh/id_rsa','key')", overlay.merged)
    assert probe.wait(op="create", path="/innocent", pid=pid)["old_path"] == "/etc/shadow"
    assert probe.wait(op="create", path="/key", pid=pid)["old_path"] == "/root/.ssh/id_rsa"


def test_emptied_files_and_logs(overlay):
    os.mkdir(f"{overlay.dir}/log")
    for path in f"{overlay.merged}/app.log", f"{overlay.dir}/log/messages", f"{overlay.dir}/log/other":
        with open(path, "w") as f:
            f.write("line\n")
    probe = Probe("-l", overlay.dir, "-g", f"{overlay.dir}/log", "-g", f"{overlay.dir}/*/history")
    pid = spawn("import os,sys; d=sys.argv[1]; open(d+'/merged/app.log','w').close(); open(d+'/log/messages','w').close(); "
                "open(d+'/log/other','a').write('x'); open(d+'/log/new','w').write('x'); os.unlink(d+'/log/new'); "
                "os.rename(d+'/log/other', d+'/log/other.1'); open(d+'/log/history','w').close()", overlay.dir)
    for source in "fid", "overlay":
        assert probe.wait(op="close_write", path="/app.log", source=source, pid=pid)["file_size"] == 0
    assert probe.wait(op="close_write", path=f"{overlay.dir}/log/messages", pid=pid)["file_size"] == 0
    probe.wait(op="delete", path=f"{overlay.dir}/log/new", pid=pid)
    probe.wait(op="move", path=f"{overlay.dir}/log/other.1", pid=pid)
    probe.wait(op="close_write", path=f"{overlay.dir}/log/history", pid=pid)
    assert not probe.files(op="close_write", path=f"{overlay.dir}/log/other") and not probe.files(op="create", path=f"{overlay.dir}/log/new")
    assert probe.close() == 0


def test_a_watched_file_that_is_replaced_stays_watched(probe, overlay):
    assert probe.close() == 0
    runc = f"{overlay.dir}/bin/runc"
    os.mkdir(f"{overlay.dir}/bin")
    shutil.copy("/bin/busybox", runc)
    probe = Probe("-l", overlay.dir, "-p", f"{overlay.dir}/bin", "-w", runc)
    shutil.copy("/bin/busybox", f"{runc}.new")
    os.rename(f"{runc}.new", runc)
    probe.wait(op="move", host_path=runc)
    time.sleep(0.2)
    pid = spawn("import sys; open(sys.argv[1],'ab').write(b'x')", runc)
    event = probe.wait(op="modify", source="overlay", pid=pid)
    assert event["host_path"] == runc
    assert probe.close() == 0


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
    guard.settle()
    assert guard.marked_devices() - before, "its /proc was not marked"
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


def test_opens_of_sensitive_files(docker, guard):
    container, _, upper = added(docker, guard)
    docker.run("exec", container, "sh", "-c", "cat /etc/shadow /root/.ssh/id_rsa /home/ann/.bash_history /etc/ssh/ssh_config /etc/hostname; "
               "ln -s /etc/shadow /tmp/s; cat /tmp/s")
    pid = guard.wait(op="open", path="/etc/shadow", source="overlay")["pid"]
    assert pid != guard.pid
    guard.wait(op="open", path="/root/.ssh/id_rsa")
    guard.wait(op="open", path="/home/ann/.bash_history")
    assert wait_for(lambda: len(guard.files(op="open", path="/etc/shadow")) == 2), "through a symbolic link"
    assert not [e for e in guard.files(op="open") if e["path"] in ("/etc/ssh/ssh_config", "/etc/hostname")]
    # made, replaced and written later
    docker.run("exec", container, "sh", "-c", "mkdir /root/.aws /tmp/k; echo k >/tmp/k/id_new; echo x >/etc/shadow.new; mv /etc/shadow.new /etc/shadow; "
               "mkdir -p /home/bob; mv /tmp/k /home/bob/.ssh; echo y >/root/.aws/credentials")
    guard.wait(op="create", path="/root/.aws/credentials")
    guard.wait(op="move", path="/home/bob/.ssh")
    guard.settle()
    before = len(guard.files(op="open", path="/etc/shadow"))
    docker.run("exec", container, "cat", "/etc/shadow", "/root/.aws/credentials", "/home/bob/.ssh/id_new")
    assert wait_for(lambda: len(guard.files(op="open", path="/etc/shadow")) == before + 1)
    assert guard.wait(op="open", path="/root/.aws/credentials")["host_path"] == f"{upper}/root/.aws/credentials"
    guard.wait(op="open", path="/home/bob/.ssh/id_new")
    docker.run("rm", "-f", container)


def test_writing_a_sensitive_file_is_no_reading(docker, guard):
    container, _, _ = added(docker, guard)
    docker.run("exec", container, "sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do echo ls >>/home/ann/.bash_history; done; echo x >/root/.ssh/new")
    for _ in range(9):
        docker.run("exec", container, "sh", "-c", "echo pwd >>/home/ann/.bash_history; sleep 0.02")
    docker.run("exec", container, "python3", "-c", "import os, time; f = os.open('/root/.ssh/id_rsa', os.O_WRONLY); time.sleep(0.2)")
    guard.wait(op="close_write", path="/root/.ssh/id_rsa")
    assert not guard.files(op="open", source="overlay")
    docker.run("exec", container, "python3", "-c", "import os, time; f = os.open('/root/.ssh/id_rsa', os.O_RDONLY); time.sleep(0.2)\n"
               "for i in range(99): os.pread(f, 1, 0)")
    guard.wait(op="open", path="/root/.ssh/id_rsa")
    time.sleep(0.2)
    assert len(guard.files(op="open", path="/root/.ssh/id_rsa")) == 1
    docker.run("rm", "-f", container)


def test_opens_of_mounted_secrets_and_of_the_hosts_files(docker, guard, tmp_path):
    (tmp_path / "token").write_text("secret")
    container, _, _ = added(docker, guard, "-v", f"{tmp_path}:/run/secrets:ro", "-v", "/etc:/host/etc:ro")
    docker.run("exec", container, "cat", "/run/secrets/token", "/host/etc/shadow")
    guard.wait(op="open", path="/run/secrets/token")
    event = guard.wait(op="open", path="/host/etc/shadow")
    assert event["host_path"] == "/etc/shadow"
    docker.run("rm", "-f", container)


MANY_LIBRARIES = """
head = open('/mnt/evil.so', 'rb').read(64)
for i in range(1200):
    open('/tmp/one.so', 'wb').write(head)
print('one')
input()
for i in range(1100):
    open(f'/tmp/{i}.so', 'wb').write(head)
"""


def test_too_many_new_libraries_are_told(docker, guard, tmp_path):
    subprocess.run(["gcc", "-shared", "-o", f"{tmp_path}/evil.so", "-x", "c", "-"], input=b"int x;", check=True)
    container = docker.start("-v", f"{tmp_path}:/mnt", "probe:1", "sleep", "600")
    guard.settle()
    writer = subprocess.Popen(["docker", "-H", docker.host, "exec", "-i", container, "python3", "-u", "-c", MANY_LIBRARIES], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)
    assert writer.stdout.readline() == "one\n"
    time.sleep(0.2)
    assert guard.stats()["overlay"]["state"] == 2, "one file, however often it is written"
    writer.communicate("\n")
    assert wait_for(lambda: guard.stats()["overlay"]["reason"].startswith("more than 1024 libraries were written in a container, in 1 now"))
    docker.run("rm", "-f", container)
    docker.run("rm", "-f", docker.start("probe:1", "true"))  # something is mounted or unmounted
    assert wait_for(lambda: guard.stats()["overlay"]["state"] == 2)


def test_a_new_library_is_told_when_it_is_opened(docker, guard, tmp_path):
    subprocess.run(["gcc", "-shared", "-o", f"{tmp_path}/evil.so", "-x", "c", "-"], input=b"int x;", check=True)
    container, _, upper = added(docker, guard, "--tmpfs", "/dev/shm:rw,exec", "-v", f"{tmp_path}:/mnt")
    docker.run("exec", container, "sh", "-c", "cp /mnt/evil.so /tmp/libx; cp /mnt/evil.so /dev/shm/a.so; cp /etc/hostname /tmp/text")
    guard.wait(op="close_write", path="/tmp/libx", source="overlay")
    guard.wait(op="close_write", path="/dev/shm/a.so", source="overlay")
    docker.run("exec", container, "sh", "-c", "cat /tmp/libx /dev/shm/a.so /tmp/text /mnt/evil.so >/dev/null")
    event = guard.wait(op="open", path="/tmp/libx")
    assert event["host_path"] == f"{upper}/tmp/libx" and stat.S_ISREG(event["mode"]) and event["new_library"] == 1
    assert event.get("loaded", 0) == 0
    guard.wait(op="open", path="/dev/shm/a.so")
    docker.run("exec", "-e", "LD_PRELOAD=/tmp/libx", container, "python3", "-c", "import time; open('/dev/shm/a.so').close(); time.sleep(0.3)")
    assert guard.wait(op="open", path="/tmp/libx", loaded=1)
    assert guard.wait(op="open", path="/dev/shm/a.so", loaded=0)
    assert not [e for e in guard.files(op="open") if e["path"] in ("/tmp/text", "/mnt/evil.so")]
    docker.run("rm", "-f", container)


def test_opens_of_other_processes_secrets(docker, guard):
    container, pid, _ = added(docker, guard)
    # its own environment is looked at while it still lives: the kernel opens what an event is about when the event is read
    docker.run("exec", container, "python3", "-c", "import time\nfor f in '1/environ 1/maps self/environ 1/stat meminfo self/maps'.split(): "
               "open('/proc/' + f).close()\ntime.sleep(0.5)")
    event = guard.wait(op="open", path="/proc/1/environ", source="procfs")
    assert event["target_pid"] == pid and event["pid"] != pid
    guard.wait(op="open", path="/proc/1/maps", source="procfs")
    own = guard.wait(op="open", pid=event["pid"], target_pid=event["pid"])
    assert own["path"].endswith("/environ")
    assert not [e for e in guard.files(op="open", source="procfs") if e["path"].endswith(("stat", "meminfo"))]
    docker.run("rm", "-f", container)


def test_the_hosts_proc_is_not_asked_for_opens(docker, guard):
    spawn("import sys; open(f'/proc/{sys.argv[1]}/environ').close()", str(os.getpid()))
    time.sleep(0.3)
    assert not guard.files(op="open", source="procfs")


def test_writes_to_release_agent(docker, guard):
    container, _, _ = added(docker, guard, "-v", "/sys/fs/cgroup:/cg", "--cap-add", "SYS_ADMIN")
    group = f"/cg/memory/ecs/{container[:12]}"
    docker.run("exec", container, "sh", "-c", f"mkdir -p {group}; echo 1 >{group}/notify_on_release; echo 0 >{group}/cgroup.clone_children; "
               f"cat /cg/memory/release_agent >/tmp/a; cat /tmp/a >/cg/memory/release_agent; echo >/cg/memory/release_agent; sleep 0.5; rmdir {group}")
    guard.wait(op="modify", path=f"{group}/notify_on_release", source="procfs")
    guard.wait(op="modify", path="/cg/memory/release_agent", source="procfs")
    assert not [e for e in guard.files(source="procfs") if e["path"].endswith("clone_children")]
    docker.run("rm", "-f", container)


def test_starts_and_stops_lose_nothing_and_say_nothing(docker, guard):
    before = guard.stats()
    for _ in range(3):
        docker.run("run", "--rm", "--network", "none", "--cgroup-parent=/ecs/0123456789abcdef0123456789abcdef", "probe:1", "true")
    after = guard.stats()
    assert not [e for e in guard.files(source="procfs") if e["path"].startswith("/sys")], "the runtime's own work on control groups"
    assert after["procfs"]["lost"] == before["procfs"]["lost"]


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
    assert wait_for(lambda: guard.marked_devices() <= before), "superblocks of a removed container live on"


def test_a_file_system_that_never_answers(docker, guard):
    """A FUSE program in a container does not answer: whoever looks into its mount waits for ever. The sensor must not."""
    if not os.path.exists("/dev/fuse"):
        pytest.skip("no FUSE here")
    container, pid, _ = added(docker, guard)
    fuse = os.open("/dev/fuse", os.O_RDWR)
    mounter = f"""
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
assert libc.setns(os.open("/proc/{pid}/ns/mnt", os.O_RDONLY), 0) == 0
os.makedirs("/home", exist_ok=True)
assert libc.mount(b"silent", b"/home", b"fuse", 0, b"fd={fuse},rootmode=40000,user_id=0,group_id=0") == 0, os.strerror(ctypes.get_errno())
"""
    try:
        subprocess.run([sys.executable, "-c", mounter], pass_fds=[fuse], check=True)
        guard.say(f"add {pid}")  # as the mount's event would
        time.sleep(0.5)
        docker.run("exec", container, "sh", "-c", "echo x >/tmp/afterwards")
        guard.wait(op="close_write", path="/tmp/afterwards")
    finally:
        os.close(fuse)  # ends the connection: who waits gets an error
    docker.run("rm", "-f", container)
