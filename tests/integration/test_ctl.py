"""ecsguardctl against a database that was made from recorded events: no root, no agent, no kernel feature needed."""

import datetime
import json
import os
import pathlib
import shutil
import sqlite3
import subprocess
import time

import pytest

BUILD = pathlib.Path(os.environ.get("ECSGUARD_BUILD", "build")).resolve()
CTL = BUILD / "ecsguardctl"
MAKE_DATABASE = BUILD / "tests/integration/make_database"

TASK = "0123456789abcdef0123456789abcdef"
CONTAINER = "c0ffee" + "0" * 58
ARN = f"arn:aws:ecs:eu-central-1:123456789012:task/prod/{TASK}"
CGROUP = f"/ecs/{TASK}/{CONTAINER}"
START = datetime.datetime(2026, 11, 22, 10, 0, 0, tzinfo=datetime.timezone.utc)
HOSTILE = "/tmp/\x1b[2Jx"

pytestmark = pytest.mark.skipif(not MAKE_DATABASE.exists(), reason=f"{MAKE_DATABASE} is not built (make check)")


def at(seconds):
    t = START + datetime.timedelta(seconds=seconds)
    return t.strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"


def event(seconds, kind, source, **fields):
    return {"time": at(seconds), "kind": kind, "source": source, **fields}


def image(pid, ppid, exe, *argv, **more):
    return dict(pid=pid, ppid=ppid, start=at(1), uid=0, euid=0, gid=0, egid=0, sid=pid, tty=0, comm=exe.rsplit("/", 1)[-1][:15], exe=exe,
                cmdline=list(argv), cwd="/", cgroup=CGROUP, stdin="/dev/null", stdout="pipe:[1]", stderr="pipe:[1]", dev=50,
                ino=pid, mode="0100755", file_uid=0, nlink=1) | more


def attack():
    """A web server in a task; its shell talks to the attacker; a hostile file name is written; a memory file is run."""
    return [
        event(0, "process", "scan", **image(100, 1, "/usr/bin/containerd-shim", "containerd-shim", cgroup="/system.slice/docker.service")),
        event(1, "exec", "exec", **image(200, 100, "/usr/sbin/nginx", "nginx", "-g", "daemon off;")),
        event(1.1, "container", "docker", pid=200, container_phase="start", container_id=CONTAINER, container_role="workload", runtime="docker",
              task_id=TASK, task_arn=ARN, cluster="prod", task_family="shop", task_revision="7", container_name="web", image="nginx:1.25",
              upperdir="/var/lib/docker/overlay2/aa/diff", cgroup=CGROUP, started=at(1), src="172.17.0.2"),
        event(60, "fork", "proc", pid=300, ppid=200),
        event(60.001, "exec", "exec", **image(300, 200, "/bin/bash", "bash", "-i", stdin="socket:[7]", stdout="socket:[7]", fd=0, proto=6,
                                               tcp_state=1, src="172.17.0.2", sport=40112, dst="203.0.113.9", dport=4444)),
        event(61, "file", "fid", pid=300, op="close_write", path=HOSTILE.replace("\x1b", "\\x1b"),
              host_path="/var/lib/docker/overlay2/aa/diff" + HOSTILE.replace("\x1b", "\\x1b"), dev=50, ino=9, mode="0100755"),
        event(62, "fork", "proc", pid=301, ppid=300),
        event(62.001, "exec", "exec", **image(301, 300, "/memfd:x (deleted)", "x", "--pool", "a b", "\\x1b[31m", nlink=0, comm="x")),
        event(63, "exit", "proc", pid=301, ppid=300, exit_code=1),
        event(64, "loss", "procfs", count=12, reason="queue overflow"),
    ]


def write_events(path, events):
    path.write_text("".join(json.dumps(e) + "\n" for e in events))
    return path


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    return write_events(tmp_path_factory.mktemp("ctl") / "attack.jsonl", attack())


@pytest.fixture(scope="module")
def database(recorded):
    path = recorded.parent / "ecsguard.db"
    subprocess.run([MAKE_DATABASE, recorded, path], check=True)
    return path


@pytest.fixture
def config(tmp_path, database):
    path = tmp_path / "ecsguard.yaml"
    path.write_text(f"storage:\n  path: {database}\nrun_dir: {tmp_path}/run\n")
    (tmp_path / "run").mkdir()
    return path


def ctl(*args, columns=None, check=None, **more):
    env = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")} | ({"COLUMNS": str(columns)} if columns else {})
    result = subprocess.run([CTL, *map(str, args)], capture_output=True, text=True, env=env, timeout=60, **more)
    assert "\x1b" not in result.stdout + result.stderr
    if check is not None:
        assert result.returncode == check, result.stderr
    return result


def rows(*args):
    return [json.loads(line) for line in ctl(*args, check=0).stdout.splitlines()]


# ---- findings ----


def test_findings_are_listed_newest_first(database):
    found = rows("findings", "--db", database, "--json")
    assert [f["type"].split("/")[1] for f in found] == ["FilelessExecution", "ReverseShell"]
    assert found[1]["task_arn"] == ARN and found[1]["container_name"] == "web" and found[1]["image"] == "nginx:1.25"
    assert found[1]["lineage"][0]["pid"] == 300 and found[1]["first_seen"] == "2026-11-22T10:01:00.001Z"


@pytest.mark.parametrize("options, n", [
    (["--severity", "high+"], 1), (["--severity", "medium"], 1), (["--severity", "low,info"], 0), (["--type", "*Reverse*"], 1),
    (["--type", "Reverse"], 0), (["--task", TASK], 2), (["--task", TASK[:8]], 2), (["--task", ARN], 2), (["--task", "f" * 32], 0),
    (["--container", "web"], 2), (["--container", CONTAINER[:12]], 2), (["--container", "*"], 0), (["--limit", "1"], 1),
    (["--since", "2026-11-22T10:01:02Z"], 1), (["--since", "2026-11-22"], 2), (["--since", "2026-11-22T10:05"], 0),
])
def test_findings_are_filtered(database, options, n):
    assert len(rows("findings", "list", "--db", database, "--json", *options)) == n


@pytest.mark.parametrize("columns", [72, 80, 200])
def test_lists_fit_the_terminal(database, columns):
    for command in (["findings"], ["events", "--limit", "0"], ["containers"]):
        out = ctl(*command, "--db", database, columns=columns, check=0).stdout
        assert out and max(map(len, out.splitlines())) <= columns, command
    assert "ReverseShell" in ctl("findings", "--db", database, columns=80).stdout
    assert "A shell" in ctl("findings", "--db", database, columns=200).stdout


def test_show_tells_everything(database):
    shell = rows("findings", "--db", database, "--json", "--type", "*ReverseShell")[0]
    out = ctl("findings", "show", shell["id"][:10], "--db", database, columns=100, check=0).stdout
    for text in ("Backdoor" if "Backdoor" in shell["type"] else "ReverseShell", "203.0.113.9", "4444", ARN, "nginx:1.25", "bash -i", "nginx[200]",
                 "└─ bash[300]", "T1059", "What to check next", "ecsguardctl events --since 2026-11-22T09:59:00Z", "sqlite3 -readonly"):
        assert text in out, text
    whole = json.loads(ctl("findings", "show", shell["id"], "--db", database, "--json", check=0).stdout)
    assert whole["occurrences"][0]["evidence"]["form"] == "socket"


def test_the_printed_commands_work(database):
    shell = rows("findings", "--db", database, "--json", "--type", "*ReverseShell")[0]
    out = ctl("findings", "show", shell["id"], "--db", database, check=0).stdout
    line = next(l.split() for l in out.splitlines() if l.strip().startswith("ecsguardctl events"))
    assert any(e["kind"] == "exec" for e in rows(*line[1:], "--db", database, "--json", "--no-context"))
    sql = out[out.index('"SELECT') + 1:]
    assert sqlite3.connect(database).execute(sql[:sql.index('"')]).fetchall()


def test_show_needs_one_finding(database):
    assert "no finding's id begins with 'zz'" in ctl("findings", "show", "zz", "--db", database, check=1).stderr
    assert "needs the id" in ctl("findings", "show", "--db", database, check=2).stderr


# ---- flows ----

def flow(seconds, number, phase, dst="198.51.100.7", dport=443, **more):
    return event(seconds, "flow", "flow", phase=phase, flow_id=number << 32, nsid=-1, proto=6, src="172.17.0.2", sport=40000 + number, dst=dst, dport=dport,
                 reply_src=dst, reply_sport=dport, reply_dst="172.17.0.2", reply_dport=40000 + number, **more)


def ends(**counters):
    return dict(zip(("bytes_out", "bytes_in", "packets_out", "packets_in"), (1000, 3 << 20, 4, 5))) | counters


@pytest.fixture(scope="module")
def flow_database(tmp_path_factory):
    path = tmp_path_factory.mktemp("flows")
    hostile = {"domain": "x\\x1b[31m.example.org"}
    seen = [flow(2, 1, "new"), flow(2.1, 1, "update", tcp_state=1), event(2.2, "sockets", "request", flow_id=1 << 32, pid=200), flow(4.5, 1, "end", **ends()),
            flow(5, 2, "new", dst="198.51.100.8"), flow(5.1, 2, "end", dst="198.51.100.8", **ends(), **hostile),
            flow(6, 3, "new", dst="2001:db8::9", tcp_state=2),
            flow(7, 4, "new", dport=22) | {"src": "203.0.113.5", "dst": "172.17.0.2", "reply_src": "172.17.0.2"}]
    seen += [flow(8 + i / 1000, 10 + i, "new", dport=1000 + i) for i in range(100)]
    written = write_events(path / "flows.jsonl", attack()[:3] + seen + [event(20, "fork", "proc", pid=400, ppid=1)])
    subprocess.run([MAKE_DATABASE, written, path / "ecsguard.db"], check=True)
    return path / "ecsguard.db"


def test_flows_are_listed_with_process_bytes_and_direction(flow_database):
    found = rows("flows", "--db", flow_database, "--json")
    first = found[0]
    assert (first["direction"], first["owner"], first["comm"], first["duration_ms"], first["bytes_in"]) == ("out", "socket", "nginx", 2500, 3 << 20)
    assert [f["direction"] for f in found[:4]] == ["out", "out", "out", "in"] and first["container_name"] == "web"
    bursts = [f for f in found if f["phase"] == "burst"]
    assert len(bursts) == 1 and bursts[0]["flows"] + len(found) - 1 == 104 and bursts[0]["ports"] == bursts[0]["flows"]
    out = ctl("flows", "--db", flow_database, columns=160, check=0).stdout
    assert "nginx[200]" in out and "3.0 MiB" in out and "-> 198.51.100.7:443, 2.5 s" in out and f"{bursts[0]['flows']} flows to" in out
    assert "\\x1b[31m" in out and "[2001:db8::9]:443" in out


def test_flows_are_chosen_by_far_end(flow_database):
    far = lambda *args: [f["dst"] for f in rows("flows", "--db", flow_database, "--json", *args)]
    assert far("--to", "198.51.100.8") == far("--to", "198.51.100.8/31") == far("--to", "example.org") == far("--to", "*.EXAMPLE.org") == ["198.51.100.8"]
    assert far("--to", "2001:db8::/32") == ["2001:db8::9"] and far("--to", "203.0.113.0/24") == ["172.17.0.2"] == far("--direction", "in")
    assert far("--to", "198.51.100.0/24", "--until", START.strftime("%Y-%m-%dT%H:%M:06Z")) == ["198.51.100.7", "198.51.100.8"]
    assert far("--container", "none") == [] and len(far("--container", "web", "--limit", "2")) == 2
    assert "needs out, in or local" in ctl("flows", "--direction", "up", check=2).stderr
    assert ctl("flows", "--db", flow_database, "--to", "192.0.2.1", check=0).stdout.endswith("No flows.\n")


def test_flows_are_added_up(flow_database):
    top = rows("flows", "--db", flow_database, "--top", "--json")
    assert (top[0]["address"], top[0]["port"], top[0]["processes"], top[0]["bytes_sent"]) == ("198.51.100.7", 443, "nginx", 1000)
    assert max(t["flows"] for t in top) > 80 and len(top) <= 20
    for columns in (80, 160):
        out = ctl("flows", "--db", flow_database, "--top", columns=columns, check=0).stdout
        assert "3.0 MiB" in out and "FAR END" in out


# ---- dns ----

def dns(seconds, op, name, kind=1, **more):
    return event(seconds, "dns", "dns", nsid=3, netns=4026532002, proto=17, src="172.17.0.2", sport=40000, dst="10.0.0.2", dport=53, dns_op=op, dns_id=7,
                 dns_name=name, dns_type=kind, dns_class=1, dns_truncated=False, dns_size=50, **more)


@pytest.fixture(scope="module")
def dns_database(tmp_path_factory):
    path = tmp_path_factory.mktemp("dns")
    first = [event(0, "container", "cgroup", container_phase="start", container_id=CONTAINER, task_id=TASK, runtime="docker", pid=200, nsid=3, cgroup=CGROUP),
             event(0.1, "container", "docker", container_phase="facts", container_id=CONTAINER, container_name="web", task_family="shop"),
             event(1, "exec", "exec", **image(200, 100, "/usr/sbin/nginx", "nginx"))]
    messages = [dns(2, "query", "www.Example.com", uid=0),
                dns(2.1, "answer", "www.example.com", dns_rcode=0, dns_answers=["www.example.com CNAME 300 a.example.net", "a.example.net A 60 198.51.100.7"]),
                dns(3, "query", "x\\\\027[31m.example.org", kind=65300, uid=0),
                dns(3.1, "answer", "x\\\\027[31m.example.org", kind=65300, dns_rcode=3),
                dns(4, "query", "txt.example.com", kind=16, uid=0),
                dns(4.1, "answer", "txt.example.com", kind=16, dns_rcode=0, dns_answers=['txt.example.com TXT 5 "\\x1b[2J; b"']),
                dns(5, "query", "WWW.example.com", uid=0)]
    recording = write_events(path / "dns.jsonl", first + messages)
    subprocess.run([MAKE_DATABASE, recording, path / "dns.db"], check=True)
    return path / "dns.db"


def test_dns_for_people(dns_database):
    out = ctl("dns", "--db", dns_database, check=0).stdout
    assert "www.example.com -> CNAME 300 a.example.net; a.example.net A 60 198.51.100.7" in out
    assert "-> NXDOMAIN" in out and "nginx[200]" in out and "shop/web" in out and "\x1b" not in out and "\\x1b[2J; b" in out
    lines = out.splitlines()
    assert len(lines) == 8 and lines[-1].split()[-1] == "WWW.example.com"
    out = ctl("dns", "--db", dns_database, "--top", check=0).stdout.splitlines()
    assert out[1].split()[0] == "2" and out[1].split()[-1] == "www.example.com"


def test_dns_is_filtered(dns_database):
    def names(*options):
        return [r["name"] for r in rows("dns", "--db", dns_database, "--json", *options)]
    assert names("--name", "EXAMPLE.com", "--type", "a") == ["www.Example.com", "www.example.com", "WWW.example.com"]
    assert names("--name", "t*t.example.*") == ["txt.example.com"] * 2
    assert names("--name", "ample.com") == [] and names("--container", "other") == []
    assert len(names("--type", "TYPE65300")) == 2 and len(names("--limit", "3")) == 3
    assert names("--since", "2026-11-22T10:00:05Z") == ["WWW.example.com"]
    assert [r["queries"] for r in rows("dns", "--db", dns_database, "--json", "--top", "--limit", "1")] == [2]
    answer = rows("dns", "--db", dns_database, "--json", "--type", "TXT")[1]
    assert (answer["rcode"], answer["pid"], answer["owner"], answer["exe"]) == ("NOERROR", 200, "only-uid", "/usr/sbin/nginx")
    assert "--type bogus" in ctl("dns", "--db", dns_database, "--type", "bogus", check=2).stderr


# ---- events and replay ----


def test_events_json_replays_to_the_same_findings(database, tmp_path):
    recording = tmp_path / "events.jsonl"
    recording.write_text(ctl("events", "--db", database, "--json", check=0).stdout)
    replayed = rows("replay", recording, "--json")
    stored = rows("findings", "--db", database, "--json")
    assert sorted((f["type"], f["id"], f["count"], f["first_seen"], f["container_name"], f["task_arn"]) for f in replayed) == \
        sorted((f["type"], f["id"], f["count"], f["first_seen"], f["container_name"], f["task_arn"]) for f in stored)


def test_a_part_of_the_time_replays_with_its_context(database, tmp_path):
    recording = tmp_path / "events.jsonl"
    recording.write_text(ctl("events", "--db", database, "--since", "2026-11-22T10:01:02Z", "--json", check=0).stdout)
    lines = [json.loads(line) for line in recording.read_text().splitlines()]
    assert [(e["kind"], e.get("pid")) for e in lines if e["time"] < at(62)[:20]] == [("container", 200), ("process", 100), ("process", 200), ("process", 300)]
    (found,) = rows("replay", recording, "--json")
    assert found["type"].endswith("FilelessExecution") and found["container_name"] == "web" and found["task_arn"] == ARN
    assert [p["pid"] for p in found["lineage"]][:3] == [301, 300, 200]
    without = ctl("events", "--db", database, "--since", "2026-11-22T10:01:02Z", "--json", "--no-context", check=0).stdout
    assert len(without.splitlines()) < len(lines)


def test_events_are_filtered(database):
    def kinds(*options):
        return [e["kind"] for e in rows("events", "--db", database, "--json", "--no-context", *options)]
    assert kinds("--kind", "file,loss") == ["file", "loss"]
    assert kinds("--pid", "301") == ["fork", "exec", "exit"]
    assert set(kinds("--container", "web", "--kind", "exec")) == {"exec"}
    assert kinds("--task", ARN, "--kind", "exit") == ["exit"]
    assert kinds("--since", "2026-11-22T10:01:01Z", "--until", "2026-11-22T10:01:02Z") == ["file"]
    assert kinds("--limit", "2") == ["exit", "loss"]


def test_hostile_texts_are_shown_safely(database):
    out = ctl("events", "--db", database, "--kind", "file,exec", check=0).stdout
    assert "/tmp/\\x1b[2Jx" in out and "'a b' " in out
    assert "\\x1b[31m" in ctl("findings", "show", rows("findings", "--db", database, "--json", "--type", "*Fileless*")[0]["id"], "--db", database).stdout


def test_replay_names_bad_lines_and_goes_on(recorded, tmp_path):
    bad = tmp_path / "bad.jsonl"
    lines = recorded.read_text().splitlines()
    bad.write_text("\n".join(lines[:3] + ["{", '{"time":"2026-11-22T10:00:00Z","kind":"exec","source":"exec","pid":"x"}'] + lines[3:]))
    result = ctl("replay", bad, "--json", check=2)
    assert f"{bad}:4: not JSON" in result.stderr and f'{bad}:5: "pid": needs a whole number' in result.stderr
    assert len(result.stdout.splitlines()) == 2


def test_replay_reads_standard_input(recorded):
    result = ctl("replay", "-", input=recorded.read_text(), check=0)
    assert "ReverseShell" in result.stdout and "10 events replayed, 0 lines refused, 2 findings" in result.stderr
    assert "Lineage" in ctl("replay", "--verbose", recorded, check=0).stdout
    assert "cannot open" in ctl("replay", "/nonexistent", check=1).stderr


def test_follow_prints_what_comes(database, tmp_path):
    copy = tmp_path / "live.db"
    shutil.copy(database, copy)
    follower = subprocess.Popen([CTL, "findings", "--db", copy, "--json", "--follow", "--since", "2026-11-22"], stdout=subprocess.PIPE, text=True)
    try:
        first, second = [json.loads(follower.stdout.readline())["revision"] for _ in range(2)]
        assert first < second
        with sqlite3.connect(copy) as db:
            db.execute("UPDATE finding SET revision = ?, count = count + 1 WHERE revision = ?", (second + 5, first))
        line = json.loads(follower.stdout.readline())
        assert line["revision"] == second + 5 and line["count"] == 2
    finally:
        follower.kill()
        follower.wait()


# ---- containers, status, config ----


def test_containers(database):
    (container,) = rows("containers", "--db", database, "--json", "--all")
    assert container["container_id"] == CONTAINER and container["task_arn"] == ARN
    assert "shop/web" in ctl("containers", "--db", database, "--all", check=0).stdout


def test_status_without_an_agent(config):
    result = ctl("status", "--config", config, check=3)
    assert "not running" in result.stdout and "modprobe nf_conntrack" in result.stdout
    status = json.loads(ctl("status", "--config", config, "--json", check=3).stdout)
    assert status["state"] == "not running" and status["findings"] == {"high": 1, "medium": 1}
    assert [c["component"] for c in status["components"]] == ["exec", "flow"]


def test_status_of_a_running_agent_is_degraded_then_ok(config, database, tmp_path):
    sleeper = tmp_path / "ecsguardd"
    shutil.copy("/bin/sleep", sleeper)
    process = subprocess.Popen([sleeper, "60"])
    try:
        for _ in range(100):
            if pathlib.Path(f"/proc/{process.pid}/comm").read_text() == "ecsguardd\n":
                break
            time.sleep(0.01)
        (tmp_path / "run/ecsguardd.lock").write_text(f"{process.pid}\n")
        result = ctl("status", "--config", config, check=1)
        assert "degraded" in result.stdout and f"pid {process.pid}" in result.stdout
        copy = tmp_path / "ok.db"
        shutil.copy(database, copy)
        with sqlite3.connect(copy) as db:
            table = db.execute("SELECT name FROM sqlite_schema WHERE type='table' AND name LIKE '%health%'").fetchone()[0]
            db.execute(f"DELETE FROM {table} WHERE component = 'flow'")
            db.execute(f"UPDATE {table} SET updated = ?", (time.time_ns(),))
        assert json.loads(ctl("status", "--config", config, "--db", copy, "--json", check=0).stdout)["state"] == "ok"
    finally:
        process.kill()
        process.wait()


def test_config(config):
    assert "path:" in ctl("config", "--config", config, check=0).stdout
    config.write_text("storage: [\n")
    assert str(config) in ctl("config", "--config", config, check=1).stderr
    assert str(config) in ctl("findings", "--config", config, check=1).stderr


# ---- manual ----


def test_the_manual_names_every_column_of_every_view(database):
    page = (pathlib.Path(__file__).parents[2] / "packaging/man/ecsguard-db.5.scd").read_text()
    identity = page[:page.index("# VIEWS")]
    db = sqlite3.connect(database)
    for (view,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'view'"):
        section = page[page.index(f"\n## {view}\n"):]
        section = section[:section.index("\n#", 2)]
        for column in (row[1] for row in db.execute(f"PRAGMA table_info({view})")):
            name = "*" + column.replace("_", "\\_") + "*"
            assert name in section or name in identity, (view, column)


def test_the_manual_sql_runs(database):
    page = (pathlib.Path(__file__).parents[2] / "packaging/man/ecsguard-db.5.scd").read_text()
    statements = [block for block in page.split("```")[1::2] if "SELECT" in block]
    assert len(statements) == 7
    for statement in statements:
        sqlite3.connect(database).execute(statement).fetchall()


# ---- misuse and broken databases ----


@pytest.mark.parametrize("args, says", [
    (["findings", "--bogus"], "unrecognized option '--bogus'"), (["bogus"], "there is no command 'bogus'"), (["findings", "bogus"], "there is no"),
    (["findings", "--severity", "big"], "--severity big"), (["events", "--kind", "exec,xx"], "--kind exec,xx"),
    (["events", "--since", "yesterday"], "--since yesterday"), (["events", "--limit", "-1"], "--limit -1"), (["events", "x"], "takes no argument"),
    (["replay"], "needs one file"), (["status", "x"], "takes no argument"), (["events", "--task", "a", "--container", "b"], "exclude each other"),
])
def test_misuse_is_one_line_and_a_hint(args, says):
    result = ctl(*args, check=2)
    lines = result.stderr.splitlines()
    assert says in lines[0] and lines[1].startswith("Try 'ecsguardctl") and len(lines) == 2 and not result.stdout


def test_help_and_version():
    top = ctl("--help", check=0).stdout
    for command in ("status", "findings", "events", "dns", "containers", "replay", "config"):
        assert command in top
        assert ctl(command, "--help", check=0).stdout.startswith("Usage: ecsguardctl " + command)
    assert ctl("--version", check=0).stdout.startswith("ecsguardctl 0.")


def test_a_missing_database(tmp_path):
    result = ctl("findings", "--db", tmp_path / "none.db", check=1)
    assert "no database at" in result.stderr and len(result.stderr.splitlines()) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_an_unreadable_database(database, tmp_path):
    copy = pathlib.Path("/tmp") / f"ecsguard-test-{os.getpid()}.db"
    shutil.copy(database, copy)
    copy.chmod(0o600)
    program = pathlib.Path("/tmp") / f"ecsguardctl-test-{os.getpid()}"
    shutil.copy(CTL, program)
    program.chmod(0o755)
    try:
        result = subprocess.run([program, "findings", "--db", copy], user=65534, group=65534, extra_groups=[], capture_output=True, text=True)
        assert result.returncode == 1 and "may not read" in result.stderr
    finally:
        copy.unlink()
        program.unlink()


@pytest.mark.parametrize("spoil, says", [
    (lambda p: p.write_bytes(b"no database at all, but long enough to be looked at" * 100), "cannot read"),
    (lambda p: sqlite3.connect(p).execute("PRAGMA user_version = 999"), "newer"),
    (lambda p: sqlite3.connect(p).execute("PRAGMA application_id = 1"), "another program"),
    (lambda p: p.write_bytes(p.read_bytes()[:4096] + b"\xff" * (p.stat().st_size - 4096)), "cannot read|damaged"),
    (lambda p: p.write_bytes(b""), "cannot read|no database"),
])
def test_a_broken_database_is_named_in_a_sentence(database, tmp_path, spoil, says):
    copy = tmp_path / "spoiled.db"
    shutil.copy(database, copy)
    spoil(copy)
    result = ctl("findings", "--db", copy, check=1)
    assert any(s in result.stderr for s in says.split("|")) and str(copy) in result.stderr and len(result.stderr.splitlines()) == 1
