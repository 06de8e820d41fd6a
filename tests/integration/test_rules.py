"""ecsguardctl rules: check, list, explain, fields, test, backtest, catalogue; and the real agent with rules of its own, reloaded and broken."""

import json
import os
import pathlib
import pty
import re
import select
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from harness import BUILD, ROOT, Agent, wait_for

CTL = BUILD / "ecsguardctl"
MAKE_DATABASE = BUILD / "tests/integration/make_database"
SHIPPED = ROOT / "agent/rules"
STOCK = pathlib.Path(os.environ.get("FALCO_CASES") or "/nonexistent") / "data"  # make check-integration says where

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
needs_database = pytest.mark.skipif(not MAKE_DATABASE.exists(), reason=f"{MAKE_DATABASE} is not built (make check-integration)")


def rule(name, condition, priority="WARNING", **more):
    text = f"- rule: {name}\n  desc: about {name}\n  condition: {condition}\n  output: seen (%proc.cmdline)\n  priority: {priority}\n"
    return text + "".join(f"  {k}: {v}\n" for k, v in more.items())


def ctl(*args, columns=None, check=None, **more):
    env = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")} | ({"COLUMNS": str(columns)} if columns else {})
    result = subprocess.run([CTL, *map(str, args)], capture_output=True, text=True, env=env, timeout=120, **more)
    assert "\x1b" not in result.stdout + result.stderr
    if check is not None:
        assert result.returncode == check, result.stdout + result.stderr
    return result


@pytest.fixture
def rules(tmp_path):
    """A function that runs `ecsguardctl rules` with a configuration of its own; .d is the directory of own rules."""
    class Rules:
        d = tmp_path / "rules.d"
        config = tmp_path / "ecsguard.yaml"

        def put(self, name, text):
            path = self.d / name
            path.write_text(text)
            return path

        def set(self, more="", shipped=SHIPPED):
            self.config.write_text(f"storage:\n  path: {tmp_path}/none.db\nrules:\n  shipped_dir: {shipped}\n  dir: {self.d}\n{more}")

        def __call__(self, *args, **more):
            return ctl("rules", "--config", self.config, *args, **more)

        def rows(self, *args):
            return {r["name"]: r for r in map(json.loads, self(*args, "--json", check=0).stdout.splitlines())}

    r = Rules()
    r.d.mkdir()
    r.set()
    return r


# ---- check ----


def test_check_names_place_and_code_and_shows_the_line(rules):
    path = rules.put("a.yaml", "- macro: shells\n  condition: proc.name in (sh, bash)\n" +
                     rule("Bad", ">\n    evt.type = execve and\n    shells and proc.nme = x"))
    result = rules("check", path, check=1)
    assert result.stdout.splitlines() == [
        f"error: {path}:7:16: LOAD_ERR_COMPILE_CONDITION in rule 'Bad': filter_check called with nonexistent field proc.nme",
        "    shells and proc.nme = x", "               ^", "1 of 1 file refused: 0 rules (0 enabled), 0 macros, 0 lists; 0 warnings"]
    assert not result.stderr


def test_check_says_ok(rules):
    path = rules.put("a.yaml", rule("Good", "evt.type = execve and proc.name = nc"))
    assert rules("check", path, check=0).stdout == "ok: 1 rule (1 enabled), 0 macros, 0 lists in 1 file; 0 warnings\n"


@pytest.mark.parametrize("text, says", [
    ("- rule: [\n", r":2:1: LOAD_ERR_YAML_PARSE: "),
    ("rule: x\n", r":1:1: LOAD_ERR_YAML_VALIDATE: Rules content is not yaml array of objects"),
    ("- rule: r\n  condition: evt.type = open\n", r":1:3: LOAD_ERR_YAML_VALIDATE in rule 'r': Item has no mapping for key 'output'|'desc'"),
    (rule("r", "evt.type = execve and", ), r"LOAD_ERR_COMPILE_CONDITION in rule 'r': "),
    (rule("r", "evt.type = execve and nothing_such"), r"LOAD_ERR_VALIDATE in (rule|macro) '\w+': Undefined macro 'nothing_such' used in filter."),
    (rule("r", "evt.type = execve", priority="LOUD"), r":5:13: LOAD_ERR_YAML_VALIDATE in rule 'r': Invalid priority"),
    (rule("r", "evt.type = execve").replace("%proc.cmdline", "%proc.nothing"), r":4:\d+: LOAD_ERR_COMPILE_OUTPUT in rule 'r': "),
    (rule("r", "evt.type = execve and proc.name regex '('"), r"LOAD_ERR_COMPILE_CONDITION in rule 'r': "),
    ("- required_engine_version: 99.0.0\n", r"LOAD_ERR_"),
    ("\x00\x01", r"LOAD_ERR_YAML_PARSE"),
])
def test_check_refuses_what_is_wrong(rules, text, says):
    out = rules("check", rules.put("a.yaml", text), check=1).stdout
    assert re.search(says, out), out
    assert "1 of 1 file refused" in out


def test_check_goes_on_behind_a_refused_file(rules):
    bad, good = rules.put("bad.yaml", "- rule: [\n"), rules.put("good.yaml", rule("Good", "evt.type = execve", tgs="[a]") + "- list: unused\n  items: [a]\n")
    result = rules("check", bad, rules.d / "gone.yaml", good, rules.d, check=1)
    out = result.stdout
    assert f"error: {bad}:2:1: LOAD_ERR_YAML_PARSE" in out
    assert f"error: {rules.d}/gone.yaml: LOAD_ERR_FILE_READ: No such file or directory" in out
    assert f"warning: {good}:6:3: LOAD_UNKNOWN_KEY in rule 'Good': Unknown key 'tgs'" in out
    assert f"{good}:7:3: LOAD_UNUSED_LIST in list 'unused'" in out
    assert "3 of 5 files refused: 1 rule (1 enabled), 0 macros, 1 list; " in out


def test_check_json(rules):
    path = rules.put("a.yaml", rule("Bad", "evt.type = execve and proc.nme = x"))
    (row,) = map(json.loads, rules("check", path, "--json", check=1).stdout.splitlines())
    assert row == {"level": "error", "code": "LOAD_ERR_COMPILE_CONDITION", "file": str(path), "line": 3, "column": 36, "item_type": "rule",
                   "item_name": "Bad", "message": "filter_check called with nonexistent field proc.nme"}
    assert rules("check", rules.put("a.yaml", rule("Good", "evt.type = execve")), "--json", check=0).stdout == ""


def test_check_installed_loads_the_shipped_rules_first(rules):
    path = rules.put("mine.yaml", "- list: build_task_families\n  items: [nightly]\n  override: {items: append}\n"
                     "- rule: Offensive tool executed\n  enabled: false\n  override: {enabled: replace}\n")
    assert "no list by that name already exists" in rules("check", path, check=1).stdout
    shipped = len([r for r in SHIPPED.glob("*.yaml")])
    elsewhere = path.rename(rules.d.parent / "mine.yaml")
    out = rules("check", "--installed", elsewhere, check=0).stdout
    n, enabled, files = map(int, re.search(r"ok: (\d+) rules \((\d+) enabled\).* in (\d+) files", out).groups())
    assert n == enabled + 1 and files == shipped + 1
    assert rules("check", "--installed", check=0).stdout.startswith(f"ok: {n} rules ({n} enabled)")


def test_shipped_rules_have_no_warning(rules):
    assert "; 0 warnings" in rules("check", SHIPPED, check=0).stdout


@pytest.mark.skipif(not STOCK.is_dir(), reason=f"no stock rules files in {STOCK}")
def test_stock_files_load_alone_together_and_over_the_shipped_ones(rules):
    files = sorted(STOCK.glob("falco*_rules.yaml"))
    assert len(files) == 3
    for args in ([files[0]], [files[1]], [files[2]], files, ["--installed", *files]):
        out = rules("check", *args, check=0).stdout
        assert "error" not in out and re.search(r"^ok: \d+ rules", out, re.M), out


def test_a_list_may_be_long_but_not_endless(rules):
    def big(n):
        return "- list: big\n  items:\n" + "".join(f"    - item{i}\n" for i in range(n)) + rule("Big", "evt.type = execve and proc.name in (big)")
    before = time.monotonic()
    assert rules("check", rules.put("a.yaml", big(100000)), check=0).stdout.startswith("ok")
    out = rules("check", rules.put("a.yaml", big(200000)), check=1).stdout
    assert re.search(r"a\.yaml:\d+:\d+: LOAD_ERR_\w+( in list 'big')?: .*100000", out), out[:500]
    assert time.monotonic() - before < 60


@pytest.mark.parametrize("make", [
    lambda: "- " * 100000 + "x\n", lambda: "[" * 100000, lambda: rule("r", "(" * 100000 + "evt.type = open" + ")" * 100000),
    lambda: rule("r", "evt.type = open and proc.name = " + "x" * 300000), lambda: rule("r" * 5000, "evt.type = open"),
    lambda: "- macro: m\n  condition: m\n" + rule("r", "evt.type = open and m"),
])
def test_deep_and_long_is_refused_quickly(rules, make):
    before = time.monotonic()
    out = rules("check", rules.put("a.yaml", make()), check=1).stdout
    assert "error: " in out and "refused" in out and len(out) < 10000 and time.monotonic() - before < 20


def test_check_shows_hostile_texts_harmlessly(rules):
    rules("check", rules.put("x\x1b[2J.yaml", "- rule: \"a\\e]0;x\\a\"\n  desc: \"\x1b\"\n"), check=1)
    rules("check", "--json", rules.d, check=1)


# ---- list ----


def test_list_has_every_rule_and_detector_once(rules):
    rows = rules.rows("list")
    assert len([r for r in rows.values() if r["kind"] == "detector"]) >= 22
    names = re.findall(r"^- rule: (.*)$", "".join(p.read_text() for p in SHIPPED.glob("*.yaml")), re.M)
    assert {n for n, r in rows.items() if r["kind"] == "rule"} == set(names)
    assert all(r["state"] in ("armed", "partly armed", "inert", "disabled") for r in rows.values())
    assert all(bool(r["reason"]) == (r["state"] != "armed") for r in rows.values())


@pytest.mark.parametrize("args, some, none", [
    (["--tag", "T1611"], "Container engine socket used from a container", "Offensive tool executed"),
    (["--tag", "T1059*"], "reverse_shell", "Container engine socket used from a container"),
    (["--tag", "mitre_persistence"], "Persistence", "reverse_shell"),
    (["--type", "*ReverseShell"], "reverse_shell", "Offensive tool executed"),
    (["--type", "execution:*"], "Offensive tool executed", "Privilege"),
    (["--type", "DefenseEvasion:*", "--tag", "container"], "DefenseEvasion:Runtime/", "Execution:Runtime"),
])
def test_list_is_filtered(rules, args, some, none):
    out = rules("list", *args, check=0).stdout
    assert some in out and none not in out


def test_list_of_nothing(rules):
    result = rules("list", "--type", "none", check=0)
    assert not result.stdout and result.stderr.startswith("0 listed")


def test_list_says_that_the_shipped_rules_are_missing(rules, tmp_path):
    rules.put("a.yaml", rule("Own", "evt.type = execve"))
    rules.set(shipped=tmp_path / "nowhere")
    result = rules("list", "--json", check=0)
    assert f"{tmp_path}/nowhere does not exist: the shipped rules are missing here. Install the package" in result.stderr
    assert '"name": "Own"' in result.stdout or '"name":"Own"' in result.stdout
    rules.set(shipped="''")  # wanted so
    assert "does not exist" not in rules("list", check=0).stderr


def test_list_states(rules):
    rules.put("a.yaml", rule("Armed", "evt.type = execve") + rule("Partly", "evt.type in (execve, splice)") + rule("Inert", "evt.type = splice") +
              rule("K8s", "evt.type = execve and k8s.ns.name = x") + rule("Off", "evt.type = execve", enabled="false") +
              rule("Quiet", "evt.type = execve", priority="INFO") + rule("Other source", "a.b = c", source="aws_cloudtrail"))
    rules.set("  priority: notice\n", shipped="''")
    rows = rules.rows("list", "--type", "Custom:*")
    states = {n: (r["state"], r["reason"]) for n, r in rows.items()}
    assert states == {
        "Armed": ("armed", ""), "Partly": ("partly armed", "evt.type = cannot hold: splice (no sensor tells splice)"),
        "Inert": ("inert", "no sensor tells splice"), "K8s": ("inert", "no sensor fills k8s.ns.name"), "Off": ("disabled", "enabled: false"),
        "Quiet": ("disabled", "its priority is below rules.priority of the configuration"),
        "Other source": ("inert", "left out when the rules were loaded: unknown source")}
    result = rules("list", "--type", "Custom:*", check=0)
    assert "no sensor fills k8s.ns.name" in result.stdout
    assert result.stderr.startswith("7 listed: 1 armed, 1 partly, 3 inert, 2 disabled (no agent has reported here")


def test_list_follows_the_configured_sensors(rules):
    assert rules.rows("list")["Namespace entered by system call"]["state"] == "inert"
    assert rules.rows("list")["process_injection_vm_write"]["state"] == "inert"
    rules.set("sensors:\n  exec: false\n  syscalls: true\n")
    rows = rules.rows("list")
    assert rows["Namespace entered by system call"]["state"] == "armed" and rows["process_injection_vm_write"]["state"] == "armed"
    assert rows["Offensive tool executed"]["state"] == "inert" and "exec" in rows["Offensive tool executed"]["reason"]
    assert rows["reverse_shell"]["state"] == "inert"


@pytest.mark.parametrize("columns", [80, 100, 120, 200])
def test_lists_fit_the_terminal(rules, columns):
    for command in (["list"], ["list", "--verbose"], ["fields"], ["catalogue"], ["explain", "Offensive tool executed"], ["explain", "reverse_shell"]):
        lines = rules(*command, columns=columns, check=0).stdout.splitlines()
        longest = max(lines, key=len)
        assert len(lines) > 5 and len(longest) <= columns, (command, longest)


def test_list_with_a_refused_file(rules):
    rules.put("bad.yaml", "- rule: [\n")
    result = rules("list", check=1)
    assert "LOAD_ERR_YAML_PARSE" in result.stderr and "Offensive tool executed" in result.stdout


# ---- explain, fields, catalogue ----


def test_explain_a_rule(rules):
    path = rules.put("a.yaml", "- list: tools\n  items: [nc, ncat]\n- macro: started\n  condition: (evt.type in (execve, execveat))\n" +
                     rule("My Rule", "started and proc.name in (tools) and not ecs.task.family = x", tags="[T1059, mitre_execution]",
                          advice="Look at the parent.", finding_type="Execution:Runtime/SuspiciousTool"))
    out = rules("explain", "my rule", columns=100, check=0).stdout
    for text in ("My Rule", "Execution:Runtime/SuspiciousTool", "medium", "armed", f"{path}:5", "started and proc.name in (tools)",
                 "evt.type in (execve, execveat)", "proc.name in (nc, ncat)", "not ecs.task.family = x", "ecs.task.family", "family of the task",
                 "Look at the parent.", "exec", "T1059"):
        assert text in out, (text, out)
    row = json.loads(rules("explain", "My Rule", "--json", check=0).stdout)
    assert row["fields"] == ["ecs.task.family", "evt.type", "proc.name"] and row["advice"] == "Look at the parent."
    assert row["condition_expanded"] == "(evt.type in (execve, execveat) and proc.name in (nc, ncat) and not ecs.task.family = x)"


def test_explain_a_detector(rules):
    out = rules("explain", "reverse_shell", check=0).stdout
    for text in ("Condition", "Limits", "What to check", "Execution:Runtime/ReverseShell", "armed"):
        assert text in out
    assert json.loads(rules("explain", "reverse_shell", "--json", check=0).stdout)["condition"]


def test_explain_an_unknown_name(rules):
    result = rules("explain", "engine socket", check=1)
    assert result.stderr.splitlines()[0] == "ecsguardctl: there is no rule or detector named 'engine socket': ecsguardctl rules list"
    assert "  Container engine socket used from a container" in result.stderr
    assert rules("explain", "", check=1).stderr
    assert rules("explain", "x\x1b[2J", check=1).stderr


def test_fields(rules):
    rows = {r["name"]: r for r in map(json.loads, rules("fields", "--json", check=0).stdout.splitlines())}
    assert rows["ecs.task.family"]["filled"] == "yes" and rows["k8s.ns.name"]["filled"] == "never"
    assert rows["proc.aname"]["argument"] == "([N])" and all(r["doc"] for r in rows.values())
    assert len(rules("fields", check=0).stdout.splitlines()) == len(rows) + 1


def test_catalogue(rules):
    rows = [json.loads(line) for line in rules("catalogue", "--json", check=0).stdout.splitlines()]
    assert len(rows) == len(rules.rows("list"))
    assert all(r["description"] and r["condition"] and r["limits"] and r["advice"] and r["tune"] for r in rows)
    assert len({r["type"] for r in rows if r["type_covered"]}) == 46
    out = rules("catalogue", columns=100, check=0).stdout
    assert "Execution:Runtime/ReverseShell" in out and "only with sensors.syscalls" in out


@pytest.mark.skipif(not (BUILD / "packaging/man/ecsguard-findings.7").exists(), reason="no manual pages were made (scdoc)")
def test_the_manual_page_is_the_catalogue(rules, tmp_path):
    source = rules("catalogue", "--scd", "--rules", SHIPPED, check=0).stdout
    page = subprocess.run(["scdoc"], input=source, capture_output=True, text=True, check=True).stdout
    assert [line for line in page.splitlines() if not line.startswith(".TH")] == \
        [line for line in (BUILD / "packaging/man/ecsguard-findings.7").read_text().splitlines() if not line.startswith(".TH")]
    for line in rules("catalogue", "--json", "--rules", SHIPPED, check=0).stdout.splitlines():
        assert json.loads(line)["type"] in source.replace("\\", "")


# ---- the words of the manual ----


def words(text):
    return set(re.findall(r"(?<![\w-])--[a-z]+", text))


def test_manual_help_and_completion_name_the_same_options():
    page = (ROOT / "packaging/man/ecsguardctl.1.scd").read_text()
    page = page[page.index("\n## rules"):]
    page = page[:page.index("\n## ", 5)]
    completion = (ROOT / "packaging/completion/ecsguardctl").read_text()
    help = ctl("rules", "--help", check=0).stdout
    for option in words(help) - {"--help", "--version", "--json", "--db", "--config"}:
        assert f"*{option}*" in page and option in completion, option
    for name in re.search(r"rules ([a-z|]+)", help).group(1).split("|"):
        assert f"*{name}*" in page and name in completion and f"\n  {name}" in help, name


@pytest.mark.parametrize("page", ["ecsguard-rules.5.scd"])
def test_the_manual_examples_load(rules, page):
    text = (ROOT / "packaging/man" / page).read_text()
    blocks = text.split("```")[1::2]
    assert len(blocks) == 2
    for i, block in enumerate(blocks):
        path = rules.d.parent / f"example{i}.yaml"
        path.write_text(block)
        assert "; 0 warnings" in rules("check", "--installed", path, check=0).stdout


def test_the_comment_in_the_shipped_lists_loads(rules):
    text = (SHIPPED / "00-lists.yaml").read_text()
    path = rules.d.parent / "example.yaml"
    path.write_text("\n".join(re.findall(r"^#  ( .*)$", text, re.M)) + "\n")
    assert "override" in path.read_text()
    assert "; 0 warnings" in rules("check", "--installed", path, check=0).stdout


@pytest.mark.parametrize("args, says", [
    ([], "needs one of check, list"), (["bogus"], "there is no subcommand 'bogus'"), (["check"], "check needs a rules file"),
    (["explain"], "explain needs the name"), (["explain", "a", "b"], "explain needs the name"), (["list", "x"], "list takes no argument"),
    (["test", "x.yaml"], "test needs --events FILE"), (["backtest", "x.yaml", "--since", "yesterday"], "cannot read the time 'yesterday'"),
    (["backtest"], "backtest needs a rules file"), (["list", "--bogus"], "unrecognized option"),
])
def test_misuse_is_one_line_and_a_hint(args, says):
    result = ctl("rules", *args, check=2)
    lines = result.stderr.splitlines()
    assert says in lines[0] and lines[1].startswith("Try 'ecsguardctl rules") and len(lines) == 2 and not result.stdout


# ---- test and backtest, over recorded events ----

TASK, CONTAINER = "0123456789abcdef0123456789abcdef", "c0ffee" + "0" * 58
CGROUP = f"/ecs/{TASK}/{CONTAINER}"


def at(seconds):
    return time.strftime("2026-11-%dT%H:%M:%S", time.gmtime(22 * 86400 - 86400 + 36000 + int(seconds))) + f".{int(seconds % 1 * 1e9):09d}Z"


def execution(seconds, pid, *argv, **more):
    exe = argv[0] if argv[0].startswith("/") else "/usr/bin/" + argv[0]
    return {"time": at(seconds), "kind": "exec", "source": "exec"} | dict(
        pid=pid, ppid=100, start=at(seconds), uid=0, euid=0, gid=0, egid=0, sid=pid, tty=0, comm=exe.rsplit("/", 1)[-1][:15], exe=exe,
        cmdline=list(argv), cwd="/", cgroup=CGROUP, dev=50, ino=pid, mode="0100755", file_uid=0, nlink=1) | more


def recording():
    return [
        {"time": at(1), "kind": "container", "source": "docker", "pid": 200, "container_phase": "start", "container_id": CONTAINER,
         "container_role": "workload", "runtime": "docker", "task_id": TASK, "task_family": "shop", "container_name": "web", "image": "nginx:1.25",
         "cgroup": CGROUP, "started": at(1)},
        execution(2, 200, "nginx", "-g", "daemon off;"),
        execution(3, 301, "nc", "-z", "db", "5432"),
        execution(3600, 302, "nc", "-l", "4444"),
        execution(7200, 303, "curl", "http://x/"),
    ]


@pytest.fixture
def events(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text("".join(json.dumps(e) + "\n" for e in recording()))
    return path


def test_test_runs_rules_over_recorded_events(rules, events):
    path = rules.put("a.yaml", rule("Netcat", "evt.type = execve and proc.name = nc and ecs.task.family = shop", finding_type="Execution:Runtime/Nc") +
                     rule("Never", "evt.type = execve and proc.name = never"))
    result = rules("test", path, "--events", events, "--json", check=0)
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(f["type"], f["rule"], f["cmdline"], f["container_name"]) for f in found] == [
        ("Execution:Runtime/Nc", "Netcat", "nc -z db 5432", "web"), ("Execution:Runtime/Nc", "Netcat", "nc -l 4444", "web")] or \
        [(f["rule"], f["count"]) for f in found] == [("Netcat", 2)]
    assert re.search(r"^ +2 hits of \d evaluations: Netcat\n +0 hits of \d evaluations: Never\n5 events, 2 hits, [12] findings?$", result.stderr, re.M), \
        result.stderr
    assert "nc -" in rules("test", path, "--events", events, "--verbose", columns=100, check=0).stdout
    assert rules("test", path, "--events", "-", "--json", input=events.read_text(), check=0).stdout == result.stdout


def test_test_reads_only_what_it_is_given(rules, events):
    path = rules.d.parent / "mine.yaml"
    path.write_text(rule("Netcat", "evt.type = execve and proc.name = nc"))
    assert "Dual-use" not in rules("test", path, "--events", events, check=0).stderr
    both = rules("test", path, "--installed", "--events", events, check=0).stderr
    assert re.search(r"hits of \d evaluations: Netcat", both) and "Dual-use network tool in a container" in both and " 0 hits" not in both


def test_test_of_broken_things(rules, events, tmp_path):
    bad = rules.put("a.yaml", rule("Bad", "evt.type = execve and proc.nme = nc"))
    result = rules("test", bad, "--events", events, check=1)
    assert "LOAD_ERR_COMPILE_CONDITION" in result.stderr and not result.stdout
    good = rules.put("a.yaml", rule("Netcat", "evt.type = execve and proc.name = nc"))
    assert "cannot open" in rules("test", good, "--events", tmp_path / "none", check=1).stderr
    assert "No such file" in rules("test", tmp_path / "none.yaml", "--events", events, check=1).stderr
    events.write_text(events.read_text() + "{\n")
    result = rules("test", good, "--events", events, check=2)
    assert f"{events}:6: " in result.stderr and "2 hits" in result.stderr


@pytest.fixture
def database(events, tmp_path):
    path = tmp_path / "events.db"
    subprocess.run([MAKE_DATABASE, events, path], check=True)
    return path


@needs_database
def test_backtest_finds_what_a_new_rule_would_have_found(rules, database):
    path = rules.put("a.yaml", rule("Netcat", "evt.type = execve and proc.name = nc and ecs.task.family = shop and container.image.repository = nginx"))
    before = database.read_bytes()

    def backtest(*args):
        result = rules("backtest", path, "--db", database, *args, "--json", check=0)
        return re.search(r"(\d+) hits? of \d+ evaluations: Netcat", result.stderr).group(1), [json.loads(r) for r in result.stdout.splitlines()]

    hits, found = backtest()
    assert hits == "2" and found[0]["rule"] == "Netcat" and found[0]["task_id"] == TASK and found[0]["image"] == "nginx:1.25"
    hits, found = backtest("--since", "2026-11-22T10:30")  # the container began before: its facts are known all the same
    assert hits == "1" and found[0]["cmdline"] == "nc -l 4444" and found[0]["container_name"] == "web"
    assert backtest("--until", "2026-11-22T10:30")[0] == "1"
    assert backtest("--since", "2026-11-22T10:30", "--until", "2026-11-22T10:45")[0] == "0"
    assert backtest("--since", "1s")[0] == "0"
    assert database.read_bytes() == before


@needs_database
def test_backtest_has_progress_on_a_terminal_only(rules, database, tmp_path):
    path = rules.put("a.yaml", rule("Netcat", "evt.type = execve and proc.name = nc"))
    command = [str(CTL), "rules", "--config", str(rules.config), "backtest", str(path), "--db", str(database)]
    assert "events, at" not in subprocess.run(command, capture_output=True, text=True, check=True).stderr
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    seen = b""
    while select.select([ours], [], [], 20)[0]:
        try:
            seen += os.read(ours, 4096)
        except OSError:
            break
    os.close(ours)
    assert process.wait(20) == 0 and b"events, at 2026-11-22T" in seen


# Runs a command and adds a line with its largest resident size in KiB. From a small process: what execve replaces counts, too.
MEASURED = """
import os, sys
_, status, usage = os.wait4(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ), 0)
print("peak KiB:", usage.ru_maxrss, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@needs_database
def test_backtest_of_a_large_database_stays_small(rules, tmp_path):
    path = rules.put("a.yaml", rule("Netcat", "evt.type = execve and proc.name = nc"))
    # AddressSanitizer keeps what was freed, 256 MiB of it unless told otherwise
    env = os.environ | {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1"}
    peak_mib = []
    for n in (15000, 60000):
        events, database = tmp_path / f"{n}.jsonl", tmp_path / f"{n}.db"
        with open(events, "w") as out:
            for e in recording()[:2]:
                out.write(json.dumps(e) + "\n")
            for i in range(n):
                out.write(json.dumps(execution(3 + i / 10, 1000 + i % 30000, "nc", f"host{i}", str(i))) + "\n")
        subprocess.run([MAKE_DATABASE, events, database], check=True)
        command = [CTL, "rules", "--config", rules.config, "backtest", path, "--db", database, "--json"]
        done = subprocess.run([sys.executable, "-c", MEASURED, *command], capture_output=True, text=True, env=env, timeout=300)
        assert done.returncode == 0 and f"{n} hits of" in done.stderr, done.stderr
        peak_mib.append(int(done.stderr.split()[-1]) / 1024)
    # an event is over 700 B: were they kept, the 45,000 more would be 30 MiB at least
    assert peak_mib[1] < 100 and peak_mib[1] - peak_mib[0] < 20, f"{peak_mib} MiB"


@needs_database
def test_backtest_without_a_database(rules, tmp_path):
    path = rules.put("a.yaml", rule("Netcat", "evt.type = execve and proc.name = nc"))
    result = rules("backtest", path, "--db", tmp_path / "none.db", check=1)
    assert "no database at" in result.stderr and len(result.stderr.splitlines()) == 1


# ---- the agent ----


@pytest.fixture
def own(tmp_path):
    a = Agent(tmp_path / "agent")
    a.rules = a.path / "rules.d"
    a.rules.mkdir()
    yield a
    if a.process and a.process.poll() is None:
        a.stop(signal.SIGKILL)


def rule_rows(agent):
    return {r["name"]: r for r in agent.query("select * from rules")}


def reload(agent):
    """Sends SIGHUP and waits for the verdict of the rules."""
    before = agent.text().count("rules from")
    stays = agent.text().count("the rules in force stay")
    agent.process.send_signal(signal.SIGHUP)
    assert wait_for(lambda: agent.text().count("rules from") > before or agent.text().count("the rules in force stay") > stays, 15), agent.text()[-2000:]


def unique(word):
    """The agents of other test runs on this machine see our processes, too, and we theirs."""
    return f"{word}-{os.getpid()}"


def act(*words):
    subprocess.run(["/bin/true", *map(unique, words)])


def agent_rule(name, word):
    return rule(name, f"evt.type = execve and proc.args contains {unique(word)}", finding_type="Execution:Runtime/Test", tags="[T1059]")


@needs_root
def test_rules_in_force_are_told_with_their_hits(own):
    (own.rules / "a.yaml").write_text(agent_rule("Mine", "marker-one") + agent_rule("Idle", "marker-never"))
    own.start()
    assert wait_for(lambda: len(rule_rows(own)) > 100 and "Mine" in rule_rows(own), 40)
    row = rule_rows(own)["Mine"]
    assert (row["kind"], row["state"], row["type"], row["severity"], row["tags"]) == ("rule", "armed", "Execution:Runtime/Test", "medium", "T1059")
    assert row["file"] == str(own.rules / "a.yaml") and row["line"] == 1
    for _ in range(3):
        act("marker-one")
    hit_at = time.monotonic()
    assert wait_for(lambda: rule_rows(own)["Mine"]["hits"] == 3, 12), rule_rows(own)["Mine"]
    print(f"hits were told after {time.monotonic() - hit_at:.1f} s")
    found = own.wait_finding("Execution:Runtime/Test")
    assert found["rule"] == "Mine" and found["count"] >= 1 and found["mitre"]
    assert rule_rows(own)["Idle"]["hits"] == 0
    listed = {r["name"]: r for r in map(json.loads, ctl("rules", "list", "--config", own.config, "--json", check=0).stdout.splitlines())}
    rows = rule_rows(own)
    assert {n: r["state"] for n, r in listed.items()} == {n: r["state"] for n, r in rows.items()}
    assert {n: r["reason"] for n, r in listed.items()} == {n: r["reason"] or "" for n, r in rows.items()}
    assert listed["Mine"]["hits"] == 3 and listed["Mine"]["evaluations"] > 0
    out = ctl("rules", "explain", "Mine", "--config", own.config, columns=120, check=0).stdout
    assert re.search(r"hits +3 of \d+ evaluations, \d+ ns each, since 20", out), out
    own.stop()


@needs_root
def test_findings_of_detectors_are_counted(own):
    own.start()
    script = "import os;f=os.memfd_create('k');os.write(f,open('/bin/busybox','rb').read());os.execv(f'/proc/self/fd/{f}',['busybox','true'])"
    subprocess.run(["python3", "-c", script])
    own.wait_finding("DefenseEvasion:Runtime/FilelessExecution")
    assert wait_for(lambda: rule_rows(own).get("fileless_execution", {}).get("hits", 0) >= 1, 25), rule_rows(own).get("fileless_execution")
    assert re.search(r"findings +[1-9]\d* since 20", ctl("rules", "explain", "fileless_execution", "--config", own.config, check=0).stdout)
    own.stop()


@needs_root
def test_sensors_that_are_off_make_rules_inert(tmp_path):
    own = Agent(tmp_path / "agent", config="sensors:\n  exec: false\n  flow: false\n")
    own.start()
    try:
        def agree():
            rows = rule_rows(own)
            listed = {r["name"]: r for r in map(json.loads, ctl("rules", "list", "--config", own.config, "--json", check=0).stdout.splitlines())}
            same = {n: (r["state"], r["reason"]) for n, r in listed.items()} == {n: (r["state"], r["reason"] or "") for n, r in rows.items()}
            return rows if same else None

        rows = wait_for(agree, 40, 1)
        assert rows, "the view and the list do not agree"
        assert rows["Offensive tool executed"]["reason"].endswith("sensor that is off: exec")
        assert rows["reverse_shell"]["state"] == "inert" and rows["c2_address"]["state"] == "inert"
        assert rows["process_injection_ptrace"]["state"] == "armed"
        assert "no agent has reported" not in ctl("rules", "list", "--config", own.config, check=0).stderr
    finally:
        own.stop()


@needs_root
def test_reload_takes_a_good_file_and_refuses_a_broken_one(own):
    path = own.rules / "a.yaml"
    path.write_text(agent_rule("One", "marker-one"))
    own.start()
    path.write_text(agent_rule("Two", "marker-two"))
    reload(own)
    act("marker-two")
    assert own.wait_finding("Execution:Runtime/Test")["rule"] == "Two"
    assert wait_for(lambda: "Two" in rule_rows(own) and "One" not in rule_rows(own), 40)

    path.write_text(agent_rule("Three", "marker-three").replace("proc.args", "proc.agrs"))
    reload(own)
    assert "nonexistent field proc.agrs" in own.text()
    health = wait_for(lambda: h if (h := own.health()["rules"])["state"] == "degraded" else None, 15)
    assert health and health["reason"].startswith("the last reload was refused, the rules before it are in force: ")
    assert f"{path}:3:36: LOAD_ERR_COMPILE_CONDITION in rule 'Three'" in health["reason"]
    status = ctl("status", "--config", own.config, columns=200)
    assert "the last reload was refused" in status.stdout and status.returncode == 1
    act("marker-two", "again")
    assert wait_for(lambda: sum(f["count"] for f in own.findings(type="Execution:Runtime/Test")) == 2)

    path.write_text(agent_rule("Four", "marker-four"))
    reload(own)
    assert wait_for(lambda: own.health()["rules"]["state"] == "ok" and not own.health()["rules"]["reason"], 15)
    act("marker-four")
    assert wait_for(lambda: own.findings(rule="Four"))

    path.unlink()
    reload(own)
    assert wait_for(lambda: "Four" not in rule_rows(own) and len(rule_rows(own)) > 100, 40)
    act("marker-four", "later")
    time.sleep(1)
    assert sum(f["count"] for f in own.findings(rule="Four")) == 1
    own.stop()


@needs_root
def test_a_reload_asked_for_during_a_reload_is_done_afterwards(own):
    """A large file takes its time to be read."""
    slow, path = own.rules / "a.yaml", own.rules / "b.yaml"
    own.start()
    slow.write_text("- list: large\n  items: [" + ", ".join(f"item{i}" for i in range(60000)) + "]\n")
    path.write_text("")
    loads = own.text().count("rules from")
    for i in range(5):
        path.write_text(agent_rule(f"Name {i}", "marker"))
        own.process.send_signal(signal.SIGHUP)
        time.sleep(0.02)
    assert wait_for(lambda: act("marker") or own.findings(rule="Name 4"), 15, 0.3), own.text()[-2000:]
    assert own.text().count("rules from") - loads <= 4, "asked for again and again is done once more"


@needs_root
def test_missing_shipped_rules_are_told(tmp_path):
    own = Agent(tmp_path / "agent", config=f"rules:\n  shipped_dir: {tmp_path}/nowhere\n")
    own.start()
    try:
        assert f"{tmp_path}/nowhere does not exist: without the shipped rules" in own.text()
        health = wait_for(lambda: own.health().get("rules"), 15)
        assert health["state"] == "degraded" and health["reason"] == f"{tmp_path}/nowhere does not exist: no shipped rules"
    finally:
        own.stop()


@needs_root
def test_a_broken_file_at_the_start_leaves_the_others(own):
    (own.rules / "a.yaml").write_text(agent_rule("One", "marker-one"))
    (own.rules / "b.yaml").write_text("- rule: [\n")
    (own.rules / "c.yaml").write_text(agent_rule("Three", "marker-three"))
    own.start()
    act("marker-one", "marker-three")
    assert wait_for(lambda: {f["rule"] for f in own.findings(type="Execution:Runtime/Test")} == {"One", "Three"})
    health = wait_for(lambda: own.health().get("rules"), 15)
    counters = json.loads(health["counters"])
    assert health["state"] == "degraded" and health["reason"].startswith(f"{own.rules}/b.yaml:2:1: LOAD_ERR_YAML_PARSE: ")
    assert counters["files_refused"] == 1 and counters["files"] == counters["files_refused"] + 2 + len(list(SHIPPED.glob("*.yaml")))
    assert f"{own.rules}/b.yaml:2:1: LOAD_ERR_YAML_PARSE" in own.text()
    assert "b.yaml:2:1" in ctl("status", "--config", own.config, columns=200).stdout
    own.stop()


@needs_root
def test_a_huge_list_is_refused_and_the_agent_goes_on(own):
    path = own.rules / "a.yaml"
    path.write_text(agent_rule("One", "marker-one"))
    own.start()
    path.write_text("- list: big\n  items:\n" + "".join(f"    - item{i}\n" for i in range(200000)) + agent_rule("Big", "big"))
    reload(own)
    assert "the rules in force stay" in own.text() and "100000" in own.text()
    act("marker-one")
    assert own.wait_finding("Execution:Runtime/Test")["rule"] == "One"
    own.stop()


@needs_root
def test_many_reloads_leave_no_trace(tmp_path, monkeypatch):
    """Without sensors, so that what others do on this machine takes no memory."""
    monkeypatch.setenv("ASAN_OPTIONS", os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1")
    own = Agent(tmp_path / "agent", config="sensors: {exec: false, proc: false, file: false, flow: false}\n")
    own.start()

    def rss():
        return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{own.process.pid}/status").read_text()).group(1))

    try:
        seen = []
        for i in range(40):
            reload(own)
            seen.append(rss())
        print("KiB:", seen)
        assert max(seen[20:]) - max(seen[5:20]) < 4096, seen
    finally:
        own.stop()


@needs_root
def test_backtest_over_what_the_agent_stored(own):
    own.start()
    for i in range(3):
        subprocess.run(["/bin/sh", "-c", f"exit {i}; # {unique('marker-later')}"])
    assert wait_for(lambda: own.query("select count(*) n from processes where cmdline like ?", f"%{unique('marker-later')}%")[0]["n"] == 3)
    own.stop()
    path = own.path / "new.yaml"
    path.write_text(agent_rule("New", "marker-later"))
    result = ctl("rules", "backtest", path, "--since", "1h", "--config", own.config, "--json", check=0)
    assert "3 hits of " in result.stderr
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert sum(f["count"] for f in found) == 3 and {f["rule"] for f in found} == {"New"} and found[0]["lineage"]
    assert "0 hits of " in ctl("rules", "backtest", path, "--until", "1h", "--config", own.config, check=0).stderr
