#!/usr/bin/env python3
"""Recorded events in, expected findings out. NAME.jsonl is replayed; its findings must be the lines of NAME.expect, no more, no fewer:

    TYPE SEVERITY[ pid=PID][ writer=PID]

An empty NAME.expect is ordinary work that must stay silent. Any NAME given as argument runs alone.
"""
import json
import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CTL = Path(os.environ.get("ECSGUARD_BUILD", "build")).resolve() / "ecsguardctl"


def matches(expected, finding):
    words = expected.split()
    wants = dict(w.split("=", 1) for w in words[2:])
    if [finding["type"], finding["severity"]] != words[:2]:
        return False
    if "pid" in wants and finding["pid"] != int(wants["pid"]):
        return False
    return "writer" not in wants or finding["evidence"].get("writer", {}).get("pid") == int(wants["writer"])


def shown(finding):
    return f"{finding['type']} {finding['severity']} pid={finding['pid']}: {finding['description']}"


def problems(recording):
    done = subprocess.run([CTL, "replay", "--json", "--intel", HERE / "intel.d", recording], capture_output=True, text=True)
    if done.returncode:
        return [f"replay ended with {done.returncode}: {done.stderr.strip()}"]
    if re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", done.stdout):
        return ["control characters in the output"]
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    found = []
    for expected in recording.with_suffix(".expect").read_text().splitlines():
        hit = next((f for f in findings if matches(expected, f)), None)
        if hit:
            findings.remove(hit)
        else:
            found.append(f"missing: {expected}")
    return found + [f"not expected: {shown(f)}" for f in findings]


def main():
    failed = 0
    for recording in sorted(HERE.glob("*.jsonl")):
        name = recording.stem
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        print(f"[ RUN      ] {name}")
        found = problems(recording)
        print("\n".join(found + [f"[  FAILED  ] {name}" if found else f"[       OK ] {name}"]))
        failed += bool(found)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
