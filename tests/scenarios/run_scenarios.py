#!/usr/bin/env python3
"""Recorded events in, expected findings out. NAME.jsonl is replayed; its findings must be the lines of NAME.expect, no more, no fewer:

    TYPE SEVERITY[ pid=PID][ container=NAME][ writer=PID][ filter=NAME][ rule=NAME][ signals=N]

Spaces in names are written as underscores.

Recordings run through the detectors; with_rules_* through the shipped rules, too. An empty NAME.expect is ordinary work that must stay silent. Any
NAME given as argument runs alone.

rules/THEME.cases are short scenarios for the shipped rules (cases.py says how they are written): what each rule must find, and what it must not. The
names of the rules found must be those expected; ordinary work may lead to no finding above low. Each rule needs both an attack and a benign case.

traffic.py has network behaviour that is too much to be written down: programs that make recordings.
"""
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cases
import traffic

HERE = Path(__file__).resolve().parent
RULES = HERE.parent.parent / "agent" / "rules"
CTL = Path(os.environ.get("ECSGUARD_BUILD", "build")).resolve() / "ecsguardctl"

SEQUENCES = HERE.parent.parent / "agent/rules/sequences/sequences.yaml"


def matches(expected, finding):
    words = expected.split()
    wants = dict(w.split("=", 1) for w in words[2:])
    if [finding["type"], finding["severity"]] != words[:2]:
        return False
    if "pid" in wants and finding["pid"] != int(wants["pid"]):
        return False
    if "container" in wants and finding["container_name"] != wants["container"]:
        return False
    if "rule" in wants and finding["rule"].replace(" ", "_") != wants["rule"]:
        return False
    if "filter" in wants and (finding["suppressed_by"] or "").replace(" ", "_") != wants["filter"]:
        return False
    if "signals" in wants and len(finding["evidence"].get("signals", [])) != int(wants["signals"]):
        return False
    return "writer" not in wants or finding["evidence"].get("writer", {}).get("pid") == int(wants["writer"])


def shown(finding):
    return f"{finding['type']} {finding['severity']} pid={finding['pid']}: {finding['description']}"


def replay(rules, recording, text=None):
    """The findings, or a line that says what went wrong."""
    command = [CTL, "replay", "--json", "--rules", rules, "--intel", HERE / "intel.d", "--sequences", SEQUENCES, "--filters",
               HERE / "filters.yaml", recording]
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode:
        return f"replay ended with {done.returncode}: {done.stderr.strip()}"
    if re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", done.stdout):
        return "control characters in the output"
    return [json.loads(line) for line in done.stdout.splitlines()]


def problems(recording):
    rules = RULES if recording.name.startswith("with_rules_") else "none"
    return differences(replay(rules, recording), recording.with_suffix(".expect").read_text().splitlines())


def traffic_problems(function, finds, place):
    return differences(replay("none", "-", traffic.recording(function, place)), finds)


def differences(findings, all_expected):
    if isinstance(findings, str):
        return [findings]
    found = []
    for expected in all_expected:
        hit = next((f for f in findings if matches(expected, f)), None)
        if hit:
            findings.remove(hit)
        else:
            found.append(f"missing: {expected}")
    return found + [f"not expected: {shown(f)}" for f in findings]


def case_problems(case, findings):
    wanted = case.expected()
    by_rules = {f["rule"]: f for f in findings if f["evidence"].get("rule_file")}
    found = [f"missing: {name}" for name in sorted(wanted - set(by_rules))]
    found += [f"not expected: {shown(by_rules[name])} (rule {name})" for name in sorted(set(by_rules) - wanted)]
    if case.kind == "benign":
        found += [f"not expected: {shown(f)}" for f in findings if f["rule"] not in by_rules and f["severity"] not in ("info", "low")]
    return [f"{case.where}: {case.kind} {case.place}: {case.chain}\n    {line}" for line in found]


def recording_problems(some):
    """Cases that are replayed together."""
    text, whose = cases.record(some)
    findings = replay(RULES, "-", text)
    if isinstance(findings, str):
        return [f"{some[0].where}: {findings}"]
    found = []
    for case, (first, last, container) in zip(some, whose):
        own = [f for f in findings if first <= f["pid"] <= last or (not f["pid"] and f["container_id"] == container) or len(some) == 1]
        findings = [f for f in findings if f not in own]
        found += case_problems(case, own)
    return found + [f"{some[0].where}: of nobody: {shown(f)} (rule {f['rule']})" for f in findings]


def missing_cases(all_cases):
    """Rules without an attack or without a benign case, and cases of no rule."""
    rules = {line.split(":", 1)[1].strip() for path in RULES.glob("*.yaml") for line in path.read_text().splitlines() if line.startswith("- rule:")}
    have = {(c.kind, c.rule) for c in all_cases}
    found = [f"no {kind} case: {rule}" for rule in sorted(rules) for kind in ("attack", "benign") if (kind, rule) not in have]
    return found + sorted({f"{c.where}: no such rule: {c.rule}" for c in all_cases if c.rule not in rules | {"none"}})


def recordings_of(all_cases):
    """Containers do not disturb each other. The host is one place, where a repeat of a finding is not told again: the ordinary, of which nothing is
    to be told, goes together; of the attacks one of each rule; what names no process is alone."""
    groups, seen = {}, {}
    for case in all_cases:
        if " @ module " in case.chain:
            key = ("alone", case.where)
        elif case.place.split()[0] != "host":
            key = ("containers", 0)
        elif case.kind == "benign" and not case.also:
            key = ("ordinary", 0)
        else:
            seen[case.rule] = seen.get(case.rule, 0) + 1
            key = ("attacks", seen[case.rule])
        groups.setdefault(key, []).append(case)
    return groups.values()


def run_cases(pool, path):
    all_cases = cases.parse(path)
    return [line for found in pool.map(recording_problems, recordings_of(all_cases)) for line in found], all_cases


def report(name, found):
    print("\n".join([f"[ RUN      ] {name}", *found, f"[  FAILED  ] {name}" if found else f"[       OK ] {name}"]))
    return bool(found)


def main():
    failed, all_cases = 0, []
    chosen = sys.argv[1:]
    for recording in sorted(HERE.glob("*.jsonl")):
        if not chosen or recording.stem in chosen:
            failed += report(recording.stem, problems(recording))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        some = [s for s in traffic.SCENARIOS if not chosen or s[0] in chosen or chosen == ["traffic"]]
        for (name, *_), found in zip(some, pool.map(lambda s: traffic_problems(*s[1:]), some)):
            failed += report(f"traffic: {name}", found)
        for path in sorted((HERE / "rules").glob("*.cases")):
            if not chosen or path.stem in chosen:
                found, some = run_cases(pool, path)
                all_cases += some
                failed += report(f"rules/{path.stem}: {len(some)} cases", found)
    if not chosen:
        failed += report("rules: every rule has its cases", missing_cases(all_cases))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
