"""The agent's life: start, refusal, faults, end, and what it leaves behind."""

import os
import random
import re
import signal
import sqlite3
import subprocess
import time

import pytest

from harness import BUILD, Agent, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def own(tmp_path):
    a = Agent(tmp_path / "agent")
    yield a
    if a.process and a.process.poll() is None:
        a.stop(signal.SIGKILL)


def spawn_tagged(tag, n=50):
    """Programs that live long enough to be read."""
    for i in range(n):
        subprocess.run(["/bin/sh", "-c", "sleep 0.01; :", f"{tag}-{i}"])


def count_tagged(agent, tag):
    return agent.query("select count(*) n from processes where cmdline like ?", f"%{tag}-%")[0]["n"]


def test_execs_are_stored_with_arguments(own):
    own.start()
    spawn_tagged("stored")
    assert wait_for(lambda: count_tagged(own, "stored") == 50)
    row = own.query("select * from processes where cmdline like '%stored-7'")[0]
    assert row["exe"] == os.path.realpath("/bin/sh") and row["cmdline"] == "/bin/sh -c sleep 0.01; : stored-7"
    own.stop()


def process_views(pid):
    """Descriptors of the process that are the root of a procfs, but not the one in /proc: "processes only" or "all of it" for each."""
    shared = os.stat("/proc").st_dev
    dirs = [f"/proc/{pid}/fd/{n}" for n in os.listdir(f"/proc/{pid}/fd")]
    views = [d for d in dirs if os.path.exists(f"{d}/1/status") and os.stat(d).st_dev != shared]
    return ["all of it" if os.path.exists(f"{d}/meminfo") else "processes only" for d in views]


def test_exec_readers_look_where_nobody_else_does(own):
    """In /proc itself a preempted ps that looks up the same process holds up a real-time reader, and the program is over before its
    arguments are read (bench_exec: 1 or 2 of 20,000 beside forkstat or extrace)."""
    own.start()
    mounts = open(f"/proc/{own.process.pid}/mountinfo").read()
    assert process_views(own.process.pid) == ["processes only"]
    assert mounts == open("/proc/self/mountinfo").read()
    own.stop()


def test_not_root_is_one_clear_sentence(own):
    out = subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", BUILD / "ecsguardd", "--config", "/nonexistent"],
                         capture_output=True, text=True)
    assert out.returncode == 1
    assert len(out.stderr.strip().splitlines()) == 1 and "root" in out.stderr


def test_second_instance_is_refused(own):
    own.start()
    out = subprocess.run([BUILD / "ecsguardd", "--config", own.config], capture_output=True, text=True, timeout=20)
    assert out.returncode == 1
    assert str(own.process.pid) in out.stderr
    assert own.process.poll() is None
    own.stop()


@pytest.mark.parametrize("text,said", [
    ("storage:\n  max_siz: 1GiB\n", r":2:3: .*max_siz"),
    ("storage: [\n", r"ecsguard.yaml:\d+:\d+:"),
    ("delivery:\n  interval: soon\n", r":2:\d+: .*interval"),
    ("\x00\x01\x02", r"ecsguard.yaml"),
])
def test_bad_configuration_is_refused(own, text, said):
    own.config.write_text(text)
    out = subprocess.run([BUILD / "ecsguardd", "--config", own.config], capture_output=True, text=True, timeout=20)
    assert out.returncode == 2
    assert re.search(said, out.stderr), out.stderr


def test_sigterm_commits_everything_and_leaves_nothing(own):
    before = subprocess.run(["nft", "--stateless", "list", "ruleset"], capture_output=True, text=True).stdout
    acct = open("/proc/sys/net/netfilter/nf_conntrack_acct").read()
    own.start()
    spawn_tagged("final", 200)
    time.sleep(0.03)
    assert own.stop() == 0
    assert count_tagged(own, "final") == 200
    assert subprocess.run(["nft", "--stateless", "list", "ruleset"], capture_output=True, text=True).stdout == before
    assert open("/proc/sys/net/netfilter/nf_conntrack_acct").read() == acct
    assert own.query("pragma integrity_check")[0]["integrity_check"] == "ok"
    own.start()
    own.stop()


def test_ids_go_on_after_a_restart(own):
    own.start()
    spawn_tagged("one", 5)
    wait_for(lambda: count_tagged(own, "one") == 5)
    own.stop()
    last = own.query("select max(id) m from events")[0]["m"]
    own.start()
    spawn_tagged("two", 5)
    assert wait_for(lambda: count_tagged(own, "two") == 5)
    assert own.query("select min(id) m from processes where cmdline like '%two-%'")[0]["m"] > last
    own.stop()


def announced_by(agent):
    return set(re.findall(r"id ([0-9a-f]{8,32})", agent.text()))


def test_kill_9_keeps_the_database_and_every_announced_finding(own):
    seed = random.randrange(1 << 30)
    print("seed", seed)
    rng = random.Random(seed)
    memfd = "import os;f=os.memfd_create('k%d');os.write(f,open('/bin/busybox','rb').read());os.execv(f'/proc/self/fd/{f}',['busybox','true'])"
    n = 0
    for _ in range(5):
        own.start()
        begin, pause = time.monotonic(), rng.uniform(0.2, 1.0)
        while time.monotonic() < begin + pause or (not announced_by(own) and time.monotonic() < begin + 10):
            subprocess.run(["python3", "-c", memfd % n])
            n += 1
        own.stop(signal.SIGKILL)
        con = sqlite3.connect(own.db)
        assert con.execute("pragma integrity_check").fetchone()[0] == "ok"
        con.close()
        announced = announced_by(own)
        stored = {f["id"] for f in own.findings()}
        assert announced and all(any(s.startswith(a) for s in stored) for a in announced)


def test_what_is_missing_is_said(own):
    """No Docker, no ECS agent, no layers: the rest works, and health says what is not covered and why."""
    own.config.write_text(own.config.read_text().replace("socket: ''", "socket: /nonexistent/docker.sock"))
    own.start()
    health = wait_for(lambda: own.health() if own.health().get("docker", {}).get("state") not in (None, "ok") else None, 15)
    assert health and "/nonexistent/docker.sock" in health["docker"]["reason"]
    assert health["exec"]["state"] == "ok"
    own.stop()


def test_other_namespaces_are_degraded_not_fatal(own):
    """In a pid and network namespace of its own there are no process events: said, not hidden."""
    out = subprocess.Popen(["unshare", "--net", "--pid", "--fork", "--mount-proc", BUILD / "ecsguardd", "--config", own.config],
                           stderr=subprocess.PIPE, text=True)
    try:
        assert wait_for(lambda: own.health().get("exec"), 15)
        assert own.health()["exec"]["state"] == "off"
        assert own.health()["exec"]["reason"]
    finally:
        for child in subprocess.run(["ps", "-o", "pid=", "--ppid", str(out.pid)], capture_output=True, text=True).stdout.split():
            os.kill(int(child), signal.SIGTERM)
        out.wait(20)


def test_hostile_names_are_shown_harmlessly(own, tmp_path):
    own.start()
    evil = tmp_path / "a\x1b[31m\nb\xff"
    evil.write_bytes(open("/bin/true", "rb").read())
    evil.chmod(0o755)
    subprocess.run([evil, "'; drop table finding; --", "\x1b]0;title\x07", b"\xff\xfe"])
    row = wait_for(lambda: own.query("select * from processes where exe like '%a\\x1b%'"))[0]
    assert "\x1b" not in row["exe"] and "\n" not in row["exe"] and "\\x1b[31m\\x0a" in row["exe"]
    assert "drop table" in row["cmdline"] and "\x1b" not in row["cmdline"]
    own.stop()


def locks_of(agent, path):
    """What the agent has locked of a file (fcntl(2)): rows of /proc/locks."""
    inode = str(os.stat(path).st_ino)
    rows = [line.split() for line in open("/proc/locks")]
    return [r[1:] for r in rows if r[4] == str(agent.process.pid) and r[5].split(":")[2] == inode]


def test_events_of_its_own_database_do_not_unlock_it(docker, tmp_path):
    """A container has its file system mounted, which is watched therefore. An event brings a descriptor, and closing that would end SQLite's locks:
    the next reader would empty the index of the log, which the writer has mapped."""
    shared = tmp_path / "shared"
    shared.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", shared], check=True)
    agent = Agent(shared / "agent", docker.socket, [docker.data])
    try:
        agent.start()
        container = docker.run("sleep", "600", flags=[f"--volume={shared}:/shared"])

        def is_watched():
            (shared / "written").write_text("x")
            return agent.query("select 1 from events where kind = 'file' and source = 'overlay' and path like '%/written'")

        assert wait_for(is_watched, 10, 0.2)
        index = f"{agent.db}-shm"
        assert locks_of(agent, index)
        for _ in range(20):
            subprocess.run(["sqlite3", agent.db, "select count(*) from events"], stdout=subprocess.DEVNULL, check=True)
        is_watched()
        assert wait_for(lambda: len(agent.query("select 1 from events where kind = 'file' and path like '%/written'")) > 1)
        assert locks_of(agent, index)
        assert not agent.query("select path from events where kind = 'file' and source = 'overlay' and path like '%ecsguard.db%'")
        container.remove()
        assert agent.stop() == 0
    finally:
        agent.stop(signal.SIGKILL)
        subprocess.run(["umount", "--lazy", shared], check=True)


def test_every_end_leaves_a_line(tmp_path):
    own = Agent(tmp_path / "agent", config="sensors: {exec: false, proc: false, file: false, flow: false}\n")
    own.start()
    assert own.stop() == 0 and own.text().endswith("agent: stopped\n")
    own.start()
    assert "ended without stopping" not in own.text()
    assert own.stop(signal.SIGSEGV) != 0
    assert "SIGSEGV" in own.text() or "AddressSanitizer" in own.text()
    own.start()
    assert "agent: the agent before (pid" in own.text() and own.text().count("ended without stopping") == 1
    own.stop(signal.SIGKILL)  # which nobody can tell oneself
    own.start()
    assert own.text().count("ended without stopping") == 2
    own.process.send_signal(signal.SIGUSR1)
    own.process.wait(10)
    assert f"agent: ended by signal 10 (SIGUSR1) in thread ecsguardd, sent by process {os.getpid()}\n" in own.text()
    own.stop()
