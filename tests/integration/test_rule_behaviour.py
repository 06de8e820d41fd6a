"""What the stock rules must find, made to happen in containers: every case of rule-behaviour that is an exec or a file operation.

The cases are not part of the project: FALCO_CASES names their directory, else it is looked for at ../shared/falco. Process chains
are made by chain_runner; a finding belongs to a case if the process "chain_runner case ID" is its process or one of its ancestors.
What is missed is listed with its reason, from rule_behaviour_known.txt; a miss without a reason there fails the test.
"""

import collections
import json
import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile
import time

import pytest

from harness import BUILD, ROOT, Agent, wait_for

CASES = pathlib.Path(os.environ.get("FALCO_CASES") or ROOT.parent / "shared" / "falco")
KNOWN = pathlib.Path(__file__).with_name("rule_behaviour_known.txt")
RULES = "falco_rules.yaml"
STEPS = {"open", "openat", "openat2", "link", "linkat", "symlink", "symlinkat"}
AGREE = 0.95

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not (CASES / "cases/rule-behaviour.jsonl").exists(), reason=f"no conformance cases in {CASES} (FALCO_CASES)"),
]

# Users of the scenarios as this host numbers them, because the agent takes names from the host's table; those that it lacks get a number.
NAMES = ["root", "daemon", "bin", "sync", "games", "lp", "mail", "uucp", "www-data", "nobody", "sshd"]
HERE = {p.pw_name: p.pw_uid for p in pwd.getpwall()}
USERS = {name: HERE.get(name, 3900 + i) for i, name in enumerate(NAMES)}


def load_cases():
    """Those that are an exec or a file operation; the others need a network or a system call that leaves no trace in files."""
    cases = [json.loads(line) for line in open(CASES / "cases/rule-behaviour.jsonl")]
    return [c for c in cases if all(s["syscall"] in STEPS for s in c["input"]["scenario"].get("steps") or [])
            and not any(r["type"] == "clientServer" for r in c["input"]["scenario"].get("resources") or [])]


def number(case):
    return case["id"].rsplit("-", 1)[1]


def uid_of(user):
    return -1 if not user else USERS[user]


def flags_of(text):
    return sum(getattr(os, word) for word in text.split("|"))


def plan_step(step):
    a, how = step["args"], step["syscall"]
    if how.startswith("open"):
        form = a.get("how") or a
        return ["open", how, a["pathname"], str(flags_of(form["flags"])), str(form.get("mode") or 0)]
    if how.startswith("link"):
        return ["link", how, a["oldPath"], a["newPath"]]
    return ["symlink", how, a["target"], a["linkPath"]]


def plan_case(case):
    s = case["input"]["scenario"]
    before = (s.get("before") or "").split()
    lines = [["case", number(case)]]
    if before[:1] == ["sleep"]:
        lines.append(["late"])
    if before[:2] == ["rm", "-f"]:
        lines.append(["gone", before[2]])
    for r in s.get("resources") or []:
        # with a text: what is cut off an empty file nobody can miss
        if r["type"] == "fd" and r["subtype"] == "file":
            lines.append(["file", r["filePath"], "text"])
        if r["type"] == "process" and r.get("fileLess"):
            lines.append(["proc", r["name"], "memfd", "-1"])
    for p in (s.get("context") or {}).get("processes") or []:
        lines.append(["proc", p["name"], p.get("exe") or f"/chain/{p['name']}", str(uid_of(p.get("user"))), *(p.get("args") or "").split()])
    if before[:1] == ["sleep"]:
        lines.append(["sleep", before[1]])
    lines += [plan_step(step) for step in s.get("steps") or []]
    return "\n".join("\t".join(words) for words in lines) + "\n\n"


def names_of(cases):
    return {p["name"] for c in cases for p in (c["input"]["scenario"].get("context") or {}).get("processes") or []}


def make_image(docker, work, names):
    """Nothing but chain_runner under all names, the accounts, and the files that rules call sensitive."""
    root = work / "root"
    for d in ("chain", "etc", "tmp", "root", "var/log", "dev", "proc", "sys", "usr/local/bin"):
        (root / d).mkdir(parents=True)
    os.chmod(root / "tmp", 0o1777)
    shutil.copy2(BUILD / "tests/integration/chain_runner", root / "chain/chain_runner")
    for name in names - {"chain_runner"}:
        os.link(root / "chain/chain_runner", root / "chain" / name)
    (root / "etc/passwd").write_text("".join(f"{u}:x:{n}:{n}::/:/bin/false\n" for u, n in USERS.items()))
    (root / "etc/group").write_text("".join(f"{u}:x:{n}:\n" for u, n in USERS.items()))
    for path in ("etc/shadow", "etc/sudoers", "etc/pam.conf", "etc/security/pwquality.conf", "etc/sudoers.d/eg_read_sensitive", "etc/pam.d/eg_read_sensitive"):
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_text("text\n")
    subprocess.run(f"tar -C {root} -c . | docker -H unix://{docker.socket} import - chains:1 >/dev/null", shell=True, check=True)


def run_container(docker, agent, work, name, cases, flags):
    (work / f"{name}.plan").write_text("".join(plan_case(c) for c in cases))
    # held until the agent knows it: rules ask for what Docker says of it
    go = work / f"{name}.go"
    os.mkfifo(go)
    c = docker.run("/chain/chain_runner", "run", f"/plans/{name}.plan", "10", f"/plans/{go.name}", image="chains:1",
                   flags=[f"--volume={work}:/plans:ro", "--tmpfs=/dev/shm:exec", *flags])
    assert wait_for(lambda: agent.query("select 1 from containers where container_id = ? and image is not null", c.id), 15)
    open(go, "w").close()
    docker("wait", c.id, timeout=240)
    said = docker("logs", c.id)
    code = docker("inspect", "-f", "{{.State.ExitCode}}", c.id)
    assert code == "0", f"chain_runner ended with {code}: {said}"
    c.remove()
    return said


def ids_of_lineage(lineage, cmdline):
    for line in [cmdline or "", *(p.get("cmdline") or "" for p in lineage)]:
        if line.startswith("chain_runner case "):
            return line.split()[2]
    return None


def found_by_case(agent):
    """{case: rules that found it}"""
    found = collections.defaultdict(set)
    for f in agent.findings():
        for e in agent.evidence(f):
            case = ids_of_lineage(e["lineage"], e.get("cmdline"))
            if case:
                found[case].add(f["rule"])
    return found


def known_misses():
    """{rule or case: reason}"""
    lines = [line.strip() for line in KNOWN.read_text().splitlines()]
    return dict(line.split(": ", 1) for line in lines if line and not line.startswith("#"))


@pytest.fixture(scope="module")
def work():
    with tempfile.TemporaryDirectory(prefix="ecsguard-chains-", ignore_cleanup_errors=True) as path:
        os.chmod(path, 0o755)
        yield pathlib.Path(path)


@pytest.fixture(scope="module")
def agent(docker, work):
    """With the rules file of the cases, and no other."""
    shipped = work / "shipped"
    shipped.mkdir()
    shutil.copy2(CASES / "data" / RULES, shipped / RULES)
    config = f"sensors:\n  exec_full_rate: 10000\nrules:\n  shipped_dir: {shipped}\n  dir: ''\n"
    a = Agent(work / "agent", docker.socket, [docker.data], config)
    a.start()
    yield a
    assert a.stop() == 0


def test_stock_rules_find_their_cases(docker, work, agent):
    cases = load_cases()
    assert {c["input"]["rules"] for c in cases} == {RULES}
    make_image(docker, work, names_of(cases))
    started = time.monotonic()
    boxed = [c for c in cases if (c["input"]["scenario"].get("context") or {}).get("container") is not None]
    said = run_container(docker, agent, work, "plain", [c for c in cases if c not in boxed], [])
    said += run_container(docker, agent, work, "privileged", boxed, ["--privileged", "--runtime=bounded"])
    took = time.monotonic() - started
    wait_for(lambda: not missed(cases, found_by_case(agent)), 5, 0.5)
    found = found_by_case(agent)
    report(cases, found, took)
    assert not said, said
    loud = [c for c in missed(cases, found) if not reason(c)]
    assert len(cases) - len(missed(cases, found)) >= AGREE * len(cases)
    assert not loud, [number(c) for c in loud]


def reason(case):
    """Why the case cannot be found, or None."""
    users = [p.get("user") for p in (case["input"]["scenario"].get("context") or {}).get("processes") or []]
    strangers = [u for u in users if u and u not in HERE]
    known = known_misses()
    return known.get(number(case)) or known.get(case["expect"]["rule"]) or (f"this host has no user {strangers[0]}" if strangers else None)


def missed(cases, found):
    return [c for c in cases if c["expect"]["rule"] not in found[number(c)]]


def report(cases, found, took):
    left = missed(cases, found)
    print(f"\nrule-behaviour, live: {len(cases) - len(left)} of {len(cases)} cases found, made in {took:.0f} s")
    per_rule = collections.Counter(c["expect"]["rule"] for c in cases)
    bad = collections.Counter(c["expect"]["rule"] for c in left)
    for rule, n in sorted(per_rule.items()):
        print(f"  {n - bad[rule]} of {n}  {rule}")
    for c in left:
        print(f"  missed {number(c)} {c['expect']['rule']} {json.dumps(c['input']['scenario'])[:160]}: {reason(c)}; found: {sorted(found[number(c)])}")
