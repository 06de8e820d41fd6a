"""Begin and end of the watch over network namespaces: nothing of it stays. Agents of their own, since one of a host has the namespaces."""

import os
import pathlib
import shutil
import signal

import pytest

from harness import BUILD, Agent, wait_for
from netns_helpers import run, tables_of, two_tasks

pytestmark = pytest.mark.skipif(not all(map(shutil.which, ("ip", "nft", "dockerd"))), reason="needs ip, nft and dockerd")

OURS = "inet ecsguard"
HOST_ACCOUNTS = pathlib.Path("/proc/sys/net/netfilter/nf_conntrack_acct")


def test_a_namespace_that_ended_unseen_is_let_go(docker, tmp_path):
    """The agent is stopped (SIGSTOP) over the end of the containers."""
    agent = Agent(tmp_path, docker.socket, [docker.data]).start()
    try:
        with two_tasks(docker) as (world, (one, _)):
            assert wait_for(lambda: OURS in tables_of(one.pid))
            agent.process.send_signal(signal.SIGSTOP)
            one.remove()
            agent.process.send_signal(signal.SIGCONT)
            assert wait_for(lambda: "e0" not in world.sh("ip -br link"))
    finally:
        agent.stop()


def test_nothing_stays(docker, tmp_path):
    """After a stop, and at the next start or by --cleanup after kill -9."""
    with two_tasks(docker) as (_, (one, two)):
        def left():
            return [p for p in (os.getpid(), one.pid, two.pid) if OURS in tables_of(p)] + \
                   [t.sysctl(s) for t in (one, two) for s in ("nf_conntrack_acct", "nf_conntrack_events") if t.sysctl(s) == "1"] + \
                   [s for s in [HOST_ACCOUNTS.read_text()] if s == "1\n"]

        HOST_ACCOUNTS.write_text("0")  # as the kernel has it

        agent = Agent(tmp_path, docker.socket, [docker.data]).start()
        assert wait_for(lambda: len(left()) == 8), left()
        agent.stop()
        assert left() == []
        agent.start()
        assert wait_for(lambda: len(left()) == 8), left()
        assert run([BUILD / "ecsguardd", "--cleanup"], check=False).returncode == 1  # one runs
        agent.stop(signal.SIGKILL)
        assert len(left()) == 8
        agent.start()
        agent.stop()
        assert left() == [], agent.text()
        assert "removed the nft tables" in agent.text()
        agent.start()
        assert wait_for(lambda: len(left()) == 8), left()
        agent.stop(signal.SIGKILL)
        done = run([BUILD / "ecsguardd", "--cleanup"])
        assert "3 nft tables" in done.stderr, done.stderr
        assert left() == []


@pytest.mark.parametrize("wanted", [False, True])
def test_the_hosts_own_tracking_is_the_administrators_choice(tmp_path, wanted):
    """In a fresh network namespace, which then is the host's for the agent: nothing tracks there."""
    agent = Agent(tmp_path, prefix=["unshare", "-n"], config=f"flows:\n  track_host: {str(wanted).lower()}\n").start()
    try:
        def table():
            return run(["nsenter", f"--net=/proc/{agent.process.pid}/ns/net", "nft", "list", "table", "inet", "ecsguard"], check=False).stdout

        assert wait_for(lambda: "log group 3781" in table())
        assert ("ct status" in table()) is wanted
    finally:
        agent.stop()
