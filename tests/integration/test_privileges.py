"""What agent/privileges.c leaves of root, seen in /proc/self/status, and that the unit file grants the same."""
import errno
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

BUILD = Path(os.environ.get("ECSGUARD_BUILD", "build")).resolve()
SOURCE = Path(__file__).resolve().parents[2]
PROBE = BUILD / "tests/integration/privileges_probe"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def probe(*command):
    return subprocess.run([*command], capture_output=True, text=True, timeout=30)


def kept():
    return dict(line.split() for line in probe(PROBE, "keep").stdout.splitlines())


def status_of(text):
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def test_drop_keeps_exactly_the_list():
    before = int(status_of(Path("/proc/self/status").read_text())["CapEff"], 16)
    done = probe(PROBE, "drop")
    assert done.returncode == 0, done.stderr
    after = status_of(done.stdout)
    expected = sum(1 << int(bit) for bit in kept().values()) & before
    assert int(after["CapPrm"], 16) == int(after["CapEff"], 16) == int(after["CapBnd"], 16) == expected
    assert int(after["CapInh"], 16) == int(after["CapAmb"], 16) == 0
    assert after["NoNewPrivs"].strip() == "1"


def test_drop_needs_no_setpcap_when_the_bounding_set_is_small_already():
    bounding = ",".join(f"+{name.lower().removeprefix('cap_')}" for name in kept())
    done = probe("setpriv", f"--bounding-set=-all,{bounding}", PROBE, "drop")
    assert done.returncode == 0, done.stderr
    assert int(status_of(done.stdout)["CapBnd"], 16) == int(status_of(done.stdout)["CapEff"], 16)


def test_drop_is_refused_beside_another_thread():
    done = probe(PROBE, "threads")
    assert done.returncode == errno.EBUSY
    assert "2 threads run already" in done.stderr


def test_root_has_what_is_required():
    done = probe(PROBE, "require")
    assert done.returncode == 0, done.stderr


def test_an_ordinary_user_gets_one_clear_sentence():
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # the build may lie where only root may look
        os.chmod(folder, 0o755)
        copy = shutil.copy(PROBE, folder)
        done = probe("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", copy, "require")
    assert done.returncode == errno.EPERM
    assert done.stderr == (
        "privileges: ecsguardd must run as root: user 65534 lacks CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH\n"
    )


def test_root_without_one_capability_is_told_which():
    done = probe("setpriv", "--inh-caps=-all", "--bounding-set=-sys_ptrace", PROBE, "require")
    assert done.returncode == errno.EPERM
    assert "user 0 lacks CAP_SYS_PTRACE\n" in done.stderr


def test_a_missing_optional_capability_is_only_a_warning():
    done = probe("setpriv", "--inh-caps=-all", "--bounding-set=-sys_nice", PROBE, "require")
    assert done.returncode == 0
    assert done.stderr.startswith("privileges: CAP_SYS_NICE is missing: ")


def test_the_unit_grants_exactly_the_list():
    unit = (SOURCE / "systemd/ecsguard.service.in").read_text()
    granted = re.findall(r"^CapabilityBoundingSet=(.*)$", unit, re.M)
    assert set(" ".join(granted).split()) == set(kept())
