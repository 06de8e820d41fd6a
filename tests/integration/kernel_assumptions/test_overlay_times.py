"""The drift detector rests on this: on overlayfs an untouched file of a lower layer keeps its change time, and everything that makes a
file new or different gives it a new one. stat(2) through the overlay shows it."""

import os
import subprocess
import time

import pytest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def overlay(tmp_path):
    for d in ("lower", "upper", "work", "merged"):
        (tmp_path / d).mkdir()
    for name in ("untouched", "appended", "chmodded", "renamed", "linked", "touched"):
        (tmp_path / "lower" / name).write_text("image file")
    time.sleep(0.05)
    start = time.time_ns()
    time.sleep(0.05)
    options = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    if subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, tmp_path / "merged"]).returncode:
        pytest.skip("overlayfs cannot be mounted here")
    yield tmp_path / "merged", start
    subprocess.run(["umount", tmp_path / "merged"], check=True)


def is_new(path, start):
    return os.stat(path).st_ctime_ns > start


def test_change_time_tells_new_from_old(overlay):
    merged, start = overlay
    with open(merged / "untouched") as f:
        f.read()
    assert not is_new(merged / "untouched", start)
    with open(merged / "appended", "a") as f:
        f.write("x")
    assert is_new(merged / "appended", start)
    os.chmod(merged / "chmodded", 0o4755)
    assert is_new(merged / "chmodded", start)
    os.rename(merged / "renamed", merged / "renamed2")
    assert is_new(merged / "renamed2", start)
    os.link(merged / "linked", merged / "linked2")
    assert is_new(merged / "linked2", start)
    (merged / "created").write_text("x")
    assert is_new(merged / "created", start)


def test_a_forged_modification_time_does_not_hide_it(overlay):
    merged, start = overlay
    (merged / "created").write_text("x")
    os.utime(merged / "created", (0, 0))
    assert os.stat(merged / "created").st_mtime_ns == 0
    assert is_new(merged / "created", start)


def test_a_copied_up_file_says_where_it_came_from(overlay, tmp_path):
    merged, _ = overlay
    os.chmod(merged / "chmodded", 0o700)
    (merged / "created").write_text("x")
    assert "trusted.overlay.origin" in os.listxattr(tmp_path / "upper" / "chmodded")
    assert "trusted.overlay.origin" not in os.listxattr(tmp_path / "upper" / "created")
