"""Detections that join facts: hashes, command lines, sensitive files, load, sequences; and filters. On a real agent with real containers."""

import hashlib
import json
import pathlib
import signal
import subprocess

import pytest

from harness import BUILD, Agent, wait_for

SOURCE = pathlib.Path(__file__).resolve().parents[2]
NEW_BINARY = "Execution:Runtime/NewBinaryExecuted"
MALICIOUS = "Execution:Runtime/MaliciousFileExecuted.Custom"
COMMAND = "Execution:Runtime/SuspiciousCommand"
SENSITIVE = "Persistence:Runtime/SensitiveFileModified"
SEQUENCE = "AttackSequence:ECS/CompromisedTask"
MINER = "Impact:Runtime/CryptoMinerExecuted"

FILTERS = """suppress:
  - name: known tool
    when:
      - severity <= medium
      - exe matches /tmp/known*
"""


@pytest.fixture(scope="module")
def agent(docker, tmp_path_factory):
    path = tmp_path_factory.mktemp("correlation")
    config = (f"sequences:\n  shipped: {SOURCE}/agent/rules/sequences/sequences.yaml\n  dir: {path}/sequences.d\nminer:\n  time: 30s\n  cpu_percent: 15\n" + FILTERS)
    a = Agent(path, docker.socket, [docker.data], config)
    digest = hashlib.sha256(pathlib.Path("/bin/busybox").read_bytes() + b"marked").hexdigest()
    (a.intel / "files.txt").write_text(f"{digest}\n")
    a.start()
    yield a
    a.stop()


def ctl(agent, *args):
    done = subprocess.run([BUILD / "ecsguardctl", *args, "--db", agent.db, "--config", agent.config], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def counters(agent, component):
    return json.loads(agent.health()[component]["counters"])


def test_listed_file_is_found_although_it_ends_at_once(agent, container):
    container.sh("cp /bin/busybox /tmp/marked; printf marked >> /tmp/marked; /tmp/marked true")
    f = agent.wait_finding(MALICIOUS, container_id=container.id)
    assert f["exe"] == "/tmp/marked" and f["severity"] == "high"
    e = agent.evidence(f)[0]["evidence"]
    assert e["list"] == "files" and e["category"] == "custom" and len(e["sha256"]) == 64
    container.sh("/tmp/marked true; /bin/busybox true")
    assert wait_for(lambda: agent.findings(type=MALICIOUS, container_id=container.id)[0]["count"] == 2)


def test_suspicious_command_names_its_features(agent, container):
    container.sh("sh -c 'echo dHJ1ZQ== | base64 -d | sh'")
    f = agent.wait_finding(COMMAND, container_id=container.id, rule="suspicious_command")
    assert "decode_to_shell" in [x["feature"] for x in agent.evidence(f)[0]["evidence"]["features"]]


def test_sensitive_file_beside_drift(agent, container):
    container.sh("mkdir -p /root/.ssh; echo key > /root/.ssh/authorized_keys; sleep 0.3; cp /bin/busybox /tmp/drift; /tmp/drift true; true")
    f = agent.wait_finding(SENSITIVE, container_id=container.id)
    e = agent.evidence(f)[0]["evidence"]
    assert e["path"] == "/root/.ssh/authorized_keys" and e["beside"]["type"]


def test_filter_suppresses_counts_and_keeps(agent, container):
    container.sh("cp /bin/busybox /tmp/known1; /tmp/known1 true; cp /bin/busybox /tmp/other; /tmp/other true")
    assert agent.wait_finding(NEW_BINARY, container_id=container.id, exe="/tmp/known1")["status"] == "suppressed"
    assert agent.wait_finding(NEW_BINARY, container_id=container.id, exe="/tmp/other")["status"] == "open"
    listed = [json.loads(line) for line in ctl(agent, "findings", "--json", "--container", container.id[:12]).splitlines()]
    assert "/tmp/known1" not in [f["exe"] for f in listed] and "/tmp/other" in [f["exe"] for f in listed]
    hidden = [json.loads(line) for line in ctl(agent, "findings", "--suppressed", "--json", "--container", container.id[:12]).splitlines()]
    assert {(f["exe"], f["suppressed_by"]) for f in hidden} == {("/tmp/known1", "known tool")}
    assert wait_for(lambda: counters(agent, "suppress").get("known tool", 0) >= 1)


def test_filters_are_read_again(agent, docker, container):
    text = agent.config.read_text()
    agent.config.write_text(text.replace("/tmp/known*", "/tmp/later*").replace("exe matches", "exe looks_like"))
    agent.process.send_signal(signal.SIGHUP)
    assert wait_for(lambda: agent.health()["suppress"]["state"] == "degraded")
    assert "no operator after \"exe\"" in agent.health()["suppress"]["reason"]
    container.sh("cp /bin/busybox /tmp/known2; /tmp/known2 true")
    assert agent.wait_finding(NEW_BINARY, container_id=container.id, exe="/tmp/known2")["status"] == "suppressed"  # those before stay
    agent.config.write_text(text.replace("/tmp/known*", "/tmp/later*"))
    agent.process.send_signal(signal.SIGHUP)
    assert wait_for(lambda: agent.health()["suppress"]["state"] == "ok")
    container.sh("cp /bin/busybox /tmp/later1; /tmp/later1 true; cp /bin/busybox /tmp/known3; /tmp/known3 true")
    assert agent.wait_finding(NEW_BINARY, container_id=container.id, exe="/tmp/later1")["status"] == "suppressed"
    assert agent.wait_finding(NEW_BINARY, container_id=container.id, exe="/tmp/known3")["status"] == "open"
    assert counters(agent, "suppress")["known tool"] >= 2  # it went on counting
    agent.config.write_text(text)
    agent.process.send_signal(signal.SIGHUP)


def test_sequence_names_its_findings(agent, container):
    container.sh("cp /bin/busybox /tmp/drift; /tmp/drift true")
    container.sh("sleep 1; chmod u+s /bin/bash")
    f = agent.wait_finding(SEQUENCE, container_id=container.id, rule="foothold, then more power")
    assert f["severity"] == "critical"
    signals = agent.evidence(f)[0]["evidence"]["signals"]
    known = {x["id"] for x in agent.findings(container_id=container.id)}
    assert len(signals) >= 2 and {s["finding"] for s in signals} <= known


def test_miner_by_load_and_arguments(agent, docker):
    quiet = docker.run("python3", "-c", "while True: pass")
    miner = docker.run("python3", "-c", "while True: pass", "stratum+tcp://pool.invalid:3333")
    try:
        f = agent.wait_finding(MINER, timeout=90, container_id=miner.id, rule="miner_by_cpu")
        e = agent.evidence(f)[0]["evidence"]
        assert f["severity"] == "high" and f["exe"].startswith("/usr/bin/python3") and e["sign"] == "argument stratum+tcp://"
        assert not agent.findings(container_id=quiet.id, type=MINER)
        assert agent.health()["cpu"]["state"] == "ok"
    finally:
        miner.remove()
        quiet.remove()
