#!/usr/bin/env python3
"""Adds up test results and ends with one line, "N passed, N failed, N skipped"; exit code 1 if anything failed.

    tally.py [--checks BUILD_DIR]... [--junit FILE]... [--counted FILE]... [--passed N] [--failed NAME]...

--checks: what `make check` left (X.trs, X.log); the tests inside cmocka programs count one by one, other programs as one test.
--junit: what pytest left; a file that is missing is a failure.
--counted: a log with closing lines like ours, which are added.
--passed, --failed: steps that count as one test each.
"""
import argparse
import re
import sys
import xml.etree.ElementTree as xml
from pathlib import Path


class Tally:
    def __init__(self):
        self.passed, self.failed, self.skipped = 0, [], []

    def check(self, trs):
        """One test program of `make check`."""
        name = str(trs.with_suffix(""))
        result = re.search(r"^:global-test-result: (\w+)", trs.read_text(), re.M)
        result = result.group(1) if result else "ERROR"
        log = trs.with_suffix(".log").read_text(errors="replace")
        run = re.findall(r"\[ RUN      \] (\w+)", log)
        if not run:
            run, ok, skipped = [name], [name] * (result == "PASS"), {name} if result == "SKIP" else set()
        else:
            ok = re.findall(r"\[       OK \] (\w+)", log)
            skipped = set(re.findall(r"\[  SKIPPED \] (\w+)", log)) & set(run)
        failed = sorted(set(run) - set(ok) - skipped)
        if result not in ("PASS", "SKIP") and not failed:
            failed = [result]  # it failed outside its tests: a leak, a crash at the end
        self.passed += len(ok)
        self.failed += [f"{name}: {test}" for test in failed]
        self.skipped += [f"{name}: {test}" for test in sorted(skipped)]

    def checks(self, build):
        found = sorted(Path(build).glob("tests/**/*.trs"))
        if not found:
            self.failed.append(f"{build}: make check left no result")
        for trs in found:
            self.check(trs)

    def junit(self, path):
        try:
            cases = list(xml.parse(path).getroot().iter("testcase"))
        except (OSError, xml.ParseError) as error:
            self.failed.append(f"{path}: no result ({error})")
            return
        for case in cases:
            name = f"{case.get('classname')}.{case.get('name')}"
            skip = case.find("skipped")
            if case.find("failure") is not None or case.find("error") is not None:
                self.failed.append(name)
            elif skip is not None:
                self.skipped.append(f"{name}: {skip.get('message')}")
            else:
                self.passed += 1

    def counted(self, path):
        log = Path(path).read_text(errors="replace")
        lines = re.findall(r"^(\d+) passed, (\d+) failed, (\d+) skipped$", log, re.M)
        for passed, failed, skipped in lines:
            self.passed += int(passed)
            self.failed += [path] * int(failed)
            self.skipped += [path] * int(skipped)
        self.failed += [f"{path}: no result"] * (not lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checks", action="append", default=[])
    parser.add_argument("--junit", action="append", default=[])
    parser.add_argument("--counted", action="append", default=[])
    parser.add_argument("--passed", type=int, default=0)
    parser.add_argument("--failed", action="append", default=[])
    options = parser.parse_args()
    tally = Tally()
    for build in options.checks:
        tally.checks(build)
    for path in options.junit:
        tally.junit(path)
    for path in options.counted:
        tally.counted(path)
    tally.passed += options.passed
    tally.failed += options.failed
    for name in tally.skipped:
        print(f"skipped: {name}")
    for name in tally.failed:
        print(f"failed: {name}")
    print(f"{tally.passed} passed, {len(tally.failed)} failed, {len(tally.skipped)} skipped")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
