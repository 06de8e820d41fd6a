"""The tracing instance of the system call sensor: one agent has it, and it goes whatever happens to the agent."""

import signal
import subprocess

import pytest

from harness import WITH_TRACEFS, wait_for
from syscall_helpers import CALLS, INSTANCE, instances, needs, new_agent, state

pytestmark = needs


@pytest.fixture
def own(tmp_path):
    a = new_agent(tmp_path / "agent")
    yield a
    if a.process and a.process.poll() is None:
        a.stop(signal.SIGTERM)


def test_nothing_stays_after_stop(own):
    own.start()
    assert state(own)["state"] == "ok", state(own)
    assert INSTANCE in instances()
    own.stop()
    assert INSTANCE not in instances()


def test_a_killed_agents_instance_goes_at_the_next_start(own):
    own.start()
    own.stop(signal.SIGKILL)
    assert INSTANCE in instances()
    own.start()
    assert "removed the instance that an agent left" in own.text()
    subprocess.run(["/usr/bin/python3", "-c", CALLS + "call('userfaultfd', 1); time.sleep(0.2)"], check=True)
    assert wait_for(lambda: own.query("select 1 from events where syscall = 'userfaultfd'"))
    own.stop()
    assert INSTANCE not in instances()


def test_a_second_agent_stays_off(own, tmp_path):
    own.start()
    second = new_agent(tmp_path / "second").start()
    assert state(second)["state"] == "off"
    assert "another ecsguardd on this host" in state(second)["reason"]
    second.stop()
    assert INSTANCE in instances()
    subprocess.run(["/usr/bin/python3", "-c", CALLS + "call('userfaultfd', 1); time.sleep(0.2)"], check=True)
    assert wait_for(lambda: own.query("select 1 from events where syscall = 'userfaultfd'"))


def test_a_strange_holder_is_said(own):
    """Somebody reads the leftover instance: it cannot be removed, so the sensor stays off."""
    own.start()
    own.stop(signal.SIGKILL)
    holder = subprocess.Popen([*WITH_TRACEFS, "sh", "-c", f"exec 3</sys/kernel/tracing/instances/{INSTANCE}/trace_pipe; echo held; exec sleep 60"],
                              stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    own.start()
    assert wait_for(lambda: own.health().get("syscalls", {}).get("state") == "off")
    assert "somebody holds its files open" in state(own)["reason"]
    own.stop()
    holder.kill()
    holder.wait()
    wait_for(lambda: subprocess.run([*WITH_TRACEFS, "rmdir", f"/sys/kernel/tracing/instances/{INSTANCE}"], capture_output=True).returncode == 0, 5)
    assert INSTANCE not in instances()


def test_without_tracefs_it_is_off_with_the_reason(tmp_path):
    bare = ["unshare", "-m", "sh", "-c", 'umount /sys/kernel/debug /sys/kernel/tracing 2>/dev/null; exec "$@"', "sh"]
    a = new_agent(tmp_path / "agent", prefix=bare).start()
    assert state(a)["state"] == "off"
    assert "tracefs is not mounted" in state(a)["reason"]
    a.stop()


def test_it_is_off_by_default(tmp_path):
    a = new_agent(tmp_path / "agent", config="").start()
    assert state(a)["state"] == "off" and "configuration" in state(a)["reason"]
    assert INSTANCE not in instances()
    a.stop()
