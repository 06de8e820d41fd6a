"""Fixtures over harness.py: one dockerd for the session, one agent for each file of tests."""

import os
import shutil
import tempfile

import pytest

from harness import Agent, Docker, wait_for


@pytest.fixture(scope="session")
def dockerd():
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if not shutil.which("dockerd"):
        pytest.skip("dockerd is not installed")
    with tempfile.TemporaryDirectory(prefix="ecsguard-docker-", ignore_cleanup_errors=True) as path:
        daemon = Docker(path)
        daemon.start()
        yield daemon
        daemon.stop()


@pytest.fixture(scope="module")
def docker(dockerd):
    """Without containers when a file of tests is done: those of a test that failed would be found by the agents of the next."""
    yield dockerd
    dockerd.remove_all()


@pytest.fixture(scope="module")
def agent(docker, tmp_path_factory):
    a = Agent(tmp_path_factory.mktemp("agent"), docker.socket, [docker.data])
    (a.intel / "c2.txt").write_text("# category: c2\n203.0.113.66\n2001:db8:bad::/48\n")
    a.start()
    yield a
    a.stop()


@pytest.fixture
def container(docker, agent):
    c = docker.run()
    # the agent knows it by its task; only then an attack is timed against it
    assert wait_for(lambda: agent.query("select 1 from containers where container_id = ?", c.id))
    yield c
    c.remove()
