"""The process sensors against the real kernel. Root; needs the helpers that `make check` builds (ECSGUARD_BUILD, default ./build)."""

import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("ECSGUARD_BUILD", TOP / "build")).resolve()
PROBE = BUILD / "tests/integration/proc_probe"
BENCH = BUILD / "tests/bench/load_exec"
EXIT_NOW = BUILD / "tests/bench/exit_now"
PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
CLEAN = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/root"}

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not PROBE.exists(), reason=f"{PROBE} is not built: make check"),
]


def unescape(text):
    return re.sub(r"\\(\\|x[0-9a-f]{2})", lambda m: "\\" if m[1] == "\\" else chr(int(m[1][1:], 16)), text)


class Event(dict):
    def argv(self):
        return self.get("cmdline", "").split("\0")[:-1]

    def env(self):
        return self.get("environ", "").split("\0")[:-1]


def parse(line):
    kind, *fields = line.split("\t")
    event = Event(kind=kind)
    for field in fields:
        name, _, value = field.partition("=")
        event[name] = unescape(value)
    return event


def family_of(root, events):
    """What the process, its descendants and the scan say: others work on this machine too."""
    family = {root}
    for e in sorted((e for e in events if e["kind"] == "fork"), key=lambda e: int(e["time"])):
        if e["ppid"] in family:
            family.add(e["pid"])
    return [e for e in events if e["kind"] == "process" or e["pid"] in family]


def probe(*command, options=(), env=None, **kwargs):
    """Runs `command` under the probe: all events, and the summary."""
    done = subprocess.run([PROBE, *options, "--", *command], stdout=subprocess.PIPE, text=True, timeout=120, env=env or CLEAN,
                          errors="replace", check=True, **kwargs)
    child, *events, summary = [parse(line) for line in done.stdout.splitlines() if "\t" in line]
    return family_of(child["pid"], events), summary


def execs(events, program):
    return [e for e in events if e["kind"] == "exec" and os.path.basename(e.get("exe", "")).startswith(program)]


def of_kind(events, kind, pid=None):
    return [e for e in events if e["kind"] == kind and (pid is None or e["pid"] == pid)]


def python(code, more=(), **kwargs):
    return probe(PYTHON, "-c", code, *more, **kwargs)


@pytest.mark.parametrize("program", [str(EXIT_NOW), "/bin/true"])
@pytest.mark.parametrize("loops", [1, 4])
def test_every_argv_is_captured(program, loops):
    count = 5000 // loops
    busy = [subprocess.Popen(["/bin/sh", "-c", "while :; do :; done"]) for _ in range(3)]
    try:
        _, summary = probe(BENCH, str(loops), str(count), "0", program, options=["--quiet"])
    finally:
        for process in busy:
            process.kill()
            process.wait()
    if summary["exec_state"] != "ok":
        pytest.skip(f"no SCHED_FIFO here: {summary['exec_reason']}")
    # Where a hypervisor takes the CPU away while its reader looks, the program can go on on another one and end: then it is counted, not hidden.
    # How often that happens is the benchmark's to say.
    missed = loops * count - int(summary["tagged"])
    assert missed <= loops * count / 20, summary
    assert missed <= int(summary["zombie"]) + int(summary["gone"]), summary
    assert summary["lost"] == "0" and summary["proc_lost"] == "0"


def test_fields_of_an_exec():
    events, _ = probe("/bin/sh", "-c", "cd /tmp; /bin/sleep 0.05", stdin=subprocess.DEVNULL)
    (event,) = execs(events, "sleep")
    assert event.argv() == ["/bin/sleep", "0.05"]
    stat = os.stat("/bin/sleep")
    assert (int(event["dev"]), int(event["ino"]), int(event["file_size"])) == (stat.st_dev, stat.st_ino, stat.st_size)
    assert event["comm"] == "sleep" and event["cwd"] == "/tmp" and event["stdin"] == "/dev/null"
    assert event["stdout"].startswith("pipe:[")
    for name in "mnt", "net", "pid":
        assert f"{name}:[{event[name + 'ns']}]" == os.readlink(f"/proc/self/ns/{name}")
    assert event["cgroup"] in open("/proc/self/cgroup").read()
    assert event["loginuid"] == open("/proc/self/loginuid").read()
    assert event["vpid"] == event["pid"] and event["vpgid"] == event["pgid"]
    status = dict(line.split(":\t") for line in open("/proc/self/status").read().splitlines() if line.startswith("Cap"))
    for name, key in ("effective", "CapEff"), ("permitted", "CapPrm"), ("inheritable", "CapInh"):
        assert int(event[f"cap_{name}"]) == int(status[key], 16)
    (fork,) = of_kind(events, "fork", event["pid"])
    assert fork["ppid"] == event["ppid"]
    assert 0 <= int(fork["time"]) - int(event["start"]) < 20_000_000  # /proc tells 10 ms
    (exit_,) = of_kind(events, "exit", event["pid"])
    assert int(fork["time"]) < int(event["time"]) < int(exit_["time"])


def test_exit_status():
    events, _ = probe("/bin/sh", "-c", "/bin/sh -c 'exit 7'; /bin/sh -c 'kill -9 $$'; true")
    status = [(e["exit_code"], e["exit_signal"]) for e in of_kind(events, "exit")]
    assert ("7", "0") in status and ("0", "9") in status


def test_ids_session_comm_ptrace():
    events, _ = python("""
import ctypes, os, time
libc = ctypes.CDLL(None)
pid = os.fork()
if not pid:
    os.setsid()
    libc.prctl(15, b'kworker/0:7', 0, 0, 0)
    os.setgid(1234)
    os.setuid(1235)
    os.execv('/bin/sleep', ['sleep', '0.1'])
time.sleep(0.05)
target = os.fork()
if not target:
    time.sleep(1)
    os._exit(0)
libc.ptrace(16, target, 0, 0)
os.waitpid(target, 0)
libc.ptrace(17, target, 0, 0)
os.kill(target, 9)
""")
    (comm,) = [e for e in of_kind(events, "comm") if e["comm"] == "kworker/0:7"]
    pid = comm["pid"]
    assert [e["sid"] for e in of_kind(events, "sid", pid)] == [pid]
    assert [(e["gid"], e["egid"]) for e in of_kind(events, "gid", pid)] == [("1234", "1234")]
    assert [(e["uid"], e["euid"]) for e in of_kind(events, "uid", pid)] == [("1235", "1235")]
    (sleep,) = execs(events, "sleep")
    assert (sleep["euid"], sleep["egid"], sleep["sid"]) == ("1235", "1234", pid)
    assert (sleep["uid"], sleep["gid"]) == ("1235", "1234")
    (tracer,) = execs(events, "python")
    (trace,) = of_kind(events, "ptrace")  # no second one for the detach
    assert trace["pid"] == tracer["pid"] and of_kind(events, "fork", trace["target_pid"])


def test_set_user_id_program(tmp_path):
    program = tmp_path / "suid_sleep"
    shutil.copy("/bin/sleep", program)
    os.chmod(tmp_path, 0o755)
    program.chmod(0o4755)
    os.chmod(tmp_path.parent, 0o755)
    os.chmod(tmp_path.parent.parent, 0o755)
    events, _ = python(f"import os; os.setgid(1234); os.setuid(1235); os.execv('{program}', ['s', '0.02'])")
    (event,) = execs(events, "suid_sleep")
    ids = [(e["uid"], e["euid"]) for e in of_kind(events, "uid", event["pid"])]
    assert ids == [("1235", "1235"), ("1235", "0")]
    assert event["euid"] == "0" and event["mode"].endswith("4755")


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6, "mapped"])
@pytest.mark.parametrize("level", ["full", "lean"])
def test_socket_on_standard_input(family, level):
    listener = socket.socket(socket.AF_INET6 if family == socket.AF_INET6 else socket.AF_INET)
    listener.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
    listener.listen()
    address = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1", "mapped": "::ffff:127.0.0.1"}[family]
    port = listener.getsockname()[1]
    af = "AF_INET" if family == socket.AF_INET else "AF_INET6"
    events, _ = python(f"""
import os, socket
s = socket.socket(socket.{af})
s.connect(('{address}', {port}))
for fd in range(3):
    os.dup2(s.fileno(), fd)
os.execv('/bin/sh', ['sh', '-i', '-c', 'true'])
""", options=["--level", level])
    peer = listener.accept()[1][:2]
    (shell,) = execs(events, os.path.basename(os.path.realpath("/bin/sh")))
    assert shell["stdin"] == shell["stdout"] == shell["stderr"] and shell["stdin"].startswith("socket:[")
    want = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    assert (shell["dst"], int(shell["dport"])) == (want, port)
    assert (shell["src"], int(shell["sport"])) == peer
    assert (shell["fd"], shell["proto"], shell["tcp_state"]) == ("0", "6", "1")
    listener.close()


def test_unix_socket_is_no_flow():
    events, _ = python("""
import os, socket
a, b = socket.socketpair()
os.dup2(a.fileno(), 0)
os.execv('/bin/sleep', ['sleep', '0.02'])
""")
    (event,) = execs(events, "sleep")
    assert event["stdin"].startswith("socket:[") and "proto" not in event and "fd" not in event


def test_memfd_and_deleted_programs(tmp_path):
    program = tmp_path / "gone"
    shutil.copy("/bin/sleep", program)
    events, _ = python(f"""
import os
fd = os.memfd_create('payload', 0)
os.write(fd, open('/bin/sleep', 'rb').read())
if not os.fork():
    os.execve(fd, ['memfd', '0.02'], {{}})
os.wait()
fd = os.open('{program}', os.O_RDONLY)
os.unlink('{program}')
os.execve(fd, ['deleted', '0.02'], {{}})
""")
    named = {e.argv()[0]: e for e in of_kind(events, "exec") if e.argv()}
    assert named["memfd"]["exe"] == "/memfd:payload (deleted)" and named["memfd"]["nlink"] == "0"
    assert named["deleted"]["exe"] == f"{program} (deleted)" and named["deleted"]["nlink"] == "0"


def test_environment_is_bounded():
    env = {**CLEAN, "LD_PRELOAD": "/nonexistent.so"}
    events, _ = probe("/bin/sleep", "0.02", env=env, stderr=subprocess.DEVNULL)
    assert sorted(execs(events, "sleep")[0].env()) == sorted(f"{k}={v}" for k, v in env.items())
    env["BIG"] = "x" * 20000
    events, _ = probe("/bin/sleep", "0.02", env=env, stderr=subprocess.DEVNULL)
    assert execs(events, "sleep")[0].env() == ["LD_PRELOAD=/nonexistent.so"]


def test_long_arguments_are_cut():
    events, _ = python("import time; time.sleep(0.02)", more=["y" * 100_000])
    (event,) = of_kind(events, "exec")
    assert event["cmdline"].startswith(f"{PYTHON}\0-c\0import time; time.sleep(0.02)\0yyy") and len(event["cmdline"]) == 4096


def test_a_renamed_program_is_told_by_its_new_name(tmp_path):
    a, b, c = (tmp_path / name for name in "abc")
    script = f"for i in 1 2 3 4 5; do {a} 0.02; done; mv {a} {b}; {b} 0.02; ln {b} {c}; {c} 0.02; {b} 0.02"
    shutil.copy("/bin/sleep", a)
    events, _ = probe("/bin/sh", "-c", script, options=["--level", "lean"])
    names = [os.path.basename(e["exe"]) for e in of_kind(events, "exec") if e["exe"].startswith(str(tmp_path))]
    assert names == ["a"] * 5 + ["b", "c", "b"]


def test_threads_are_filtered():
    events, summary = python("""
for i in range(300):
    t = threading.Thread(target=int)
    t.start()
    t.join()
""")
    (event,) = execs(events, "python")
    forks = of_kind(events, "fork")
    assert len(forks) < 20 and len(of_kind(events, "exit", event["pid"])) == 1


def test_without_realtime_it_says_so():
    events, summary = probe("/bin/sleep", "0.02", options=["--no-realtime"])
    assert summary["exec_state"] == "degraded"
    assert "SCHED_FIFO" in summary["exec_reason"] and "cpu.rt_runtime_us" in summary["exec_reason"]
    assert execs(events, "sleep")[0].argv() == ["/bin/sleep", "0.02"]


def test_scan_tells_what_runs_already():
    sleeper = subprocess.Popen(["/bin/sleep", "30"], cwd="/tmp", stdin=subprocess.DEVNULL)
    time.sleep(0.1)
    try:
        events, _ = probe("/bin/true", options=["--scan"])
    finally:
        sleeper.kill()
        sleeper.wait()
    (found,) = of_kind(events, "process", str(sleeper.pid))
    assert found.argv() == ["/bin/sleep", "30"] and found["cwd"] == "/tmp" and found["ppid"] == str(os.getpid())
    assert (found["uid"], found["euid"], found["gid"], found["egid"]) == ("0", "0", "0", "0")
    assert int(found["start"]) <= int(found["time"])
    assert {e["pid"] for e in of_kind(events, "process")} >= {"1", str(os.getpid())}


def test_storm_uses_the_lean_set():
    _, summary = probe(BENCH, "2", "2000", "0", str(EXIT_NOW), options=["--quiet"])
    assert int(summary["full"]) and int(summary["lean"]), summary


def test_outside_the_host_namespaces_it_is_off():
    done = subprocess.run(["unshare", "-n", PROBE, "--", "/bin/true"], stdout=subprocess.PIPE, text=True, timeout=60)
    summary = parse(done.stdout.splitlines()[-1])
    assert summary["exec_state"] == summary["proc_state"] == "off"
    assert "CONFIG_PROC_EVENTS" in summary["proc_reason"] and "namespaces" in summary["exec_reason"]
    done = subprocess.run(["unshare", "-pf", "--mount-proc", PROBE, "--", "/bin/true"], stdout=subprocess.PIPE, text=True, timeout=60)
    summary = parse(done.stdout.splitlines()[-1])
    assert summary["exec_state"] == summary["proc_state"] == "off"


def test_other_senders_are_not_believed():
    """A datagram from user space to the sensor's own address must not become an event."""
    probe_process = subprocess.Popen([PROBE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert probe_process.stdout.readline() == "ready\n"
    fake = bytearray((TOP / "tests/fixtures/proc/fork.bin").read_bytes())
    fake[60:68] = (2_000_000_001).to_bytes(4, "little") * 2
    sender = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 11)
    ports = [int(line.split()[2]) for line in open("/proc/net/netlink").readlines()[1:] if line.split()[1] == "11"]
    for port in ports:
        try:
            sender.sendto(fake, (port, 0))
        except OSError:
            pass
    time.sleep(0.2)
    out, _ = probe_process.communicate("", timeout=30)
    assert "2000000001" not in out
