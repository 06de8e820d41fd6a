"""Findings out of what containers do on the network over time, with the real agent, real scanners and a real resolver, in namespaces of our own
(netns_helpers.py): scans, a flood, a tunnel and a generator of names, listeners; and ordinary work that must stay silent. Needs root, dockerd, nmap, dnsmasq."""

import hashlib
import pathlib
import shutil
import subprocess
import sys
import time

import pytest

from dns_helpers import Resolver
from harness import SOON, Agent, wait_for
from netns_helpers import two_tasks

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "dga"))
import families  # noqa: E402

pytestmark = pytest.mark.skipif(not all(map(shutil.which, ("ip", "nft", "nmap", "dnsmasq", "dockerd"))), reason="needs ip, nft, nmap, dnsmasq and dockerd")

SCAN = "Discovery:Runtime/PortScan"
FLOOD = "Backdoor:Runtime/DenialOfService.Udp"
TUNNEL = "Trojan:Runtime/DNSDataExfiltration!DNS"
GENERATED = "Trojan:Runtime/DGADomainRequest.B"
LISTENER = "Persistence:Runtime/NewListener"
ALL = [SCAN, FLOOD, TUNNEL, GENERATED, LISTENER, "Backdoor:Runtime/Beacon", "Exfiltration:Runtime/UnusualDataVolume"]
CLOSED = "203.0.113.1"

# Asks a server for each name of its standard input; the answers are read and thrown away. Arguments: server, type, pause in ms.
ASK_ALL = """
import socket, struct, sys, time
server, kind, pause = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]) / 1000
for i, line in enumerate(sys.stdin):
    name = b''.join(bytes([len(p)]) + p.encode() for p in line.strip().split('.')) + b'\\0'
    s = socket.socket(socket.AF_INET6 if ':' in server else socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(2)
    s.sendto(struct.pack('>6H', i + 1, 0x100, 1, 0, 0, 0) + name + struct.pack('>2H', kind, 1), (server, 53))
    s.recv(2048)
    s.close()
    time.sleep(pause)
"""

FLOOD_ALL = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for port in range(10000, 10000 + int(sys.argv[2])):
    try:
        s.sendto(b'x' * 100, (sys.argv[1], port))
    except OSError:
        pass
"""


@pytest.fixture(scope="module")
def agent(docker, tmp_path_factory):
    a = Agent(tmp_path_factory.mktemp("statistics"), docker.socket, [docker.data], "network:\n  listen_after: 2s\n")
    a.start()
    yield a
    a.stop()


@pytest.fixture(scope="module")
def world_and_tasks(docker, agent):
    with two_tasks(docker) as (world, both):
        world.serve("203.0.113.1", 8080)
        resolver = Resolver(world.pid, "198.51.100.1", "2001:db8::1", config="local=/biz/\nlocal=/info/\n")
        for task in both:
            assert wait_for(lambda: "ct status" in task.sh("nft list table inet ecsguard", check=False)), agent.text()
        yield world, both
        resolver.close()


@pytest.fixture
def task(world_and_tasks):
    return world_and_tasks[1][0]


def ask(container, server, names, kind=1, pause_ms=1):
    subprocess.run(container.docker.command("exec", "-i", container.id, "python3", "-c", ASK_ALL, server, str(kind), str(pause_ms)), input="\n".join(names), text=True,
                   check=True, timeout=60)


def of_task(task):
    return [c.id for c in task.containers]


def finding_of(agent, type, ids, timeout=30, **where):
    found = wait_for(lambda: [f for f in agent.findings(type=type, **where) if f["container_id"] in ids], timeout)
    assert found, ([(f["type"], f["container_id"]) for f in agent.findings()], agent.health(), agent.text()[-2000:])
    return found


def test_ordinary_work_is_silent(agent, world_and_tasks):
    world, (_, task) = world_and_tasks
    for _ in range(15):
        task.connect("203.0.113.1", 8080)
    ask(task.main, "198.51.100.1", ["www.example.com", "alias.example.com", "many.example.com", "missing.example.com"] * 50)
    ask(task.main, "2001:db8::1", ["www.example.com"] * 50, kind=28)
    ask(task.main, "198.51.100.1", [f"{n}.2.0.192.in-addr.arpa" for n in range(120)], kind=12)
    task.main.sh("for port in 80 443 8080 3306; do timeout 1 bash -c \"exec 3<>/dev/tcp/203.0.113.1/$port\"; done 2>/dev/null; true")
    task.connect("203.0.113.1", 8080, 1 << 20)
    time.sleep(2)
    assert not [f for f in agent.findings() if f["type"] in ALL and f["container_id"] in of_task(task)]


def test_scan_by_nmap_is_one_finding(agent, task):
    since = agent.query("select coalesce(max(id), 0) m from events")[0]["m"]
    task.sh(f"nmap -n -Pn -sS --max-retries 1 -p1-1000 {CLOSED}")
    f = finding_of(agent, SCAN, of_task(task), SOON)[0]
    assert f["severity"] == "medium" and f["container_id"] in of_task(task) and f["rule"] == "port_scan"
    assert f["mitre"] == "TA0007 T1046"
    rows = agent.query("select count(*) n from flow_event where id > ? and dst = ?", since, CLOSED)[0]["n"]
    assert wait_for(lambda: agent.evidence(agent.findings(id=f["id"])[0])[-1]["evidence"]["scans"][0]["ports"] > 800, 12)
    assert len(finding_of(agent, SCAN, of_task(task))) == 1
    assert rows < 400


def scanned(agent, task):
    """Addresses in the evidence of the scans out of a task."""
    return {scan["address"] for f in agent.findings(type=SCAN) if f["container_id"] in of_task(task) for e in agent.evidence(f) for scan in e["evidence"]["scans"]}


def test_scan_by_bash(agent, world_and_tasks):
    _, (_, task) = world_and_tasks
    task.main.sh(f"for port in {{1..400}}; do (exec 3<>/dev/tcp/{CLOSED}/$port) 2>/dev/null; done; true")
    assert finding_of(agent, SCAN, of_task(task))[0]["severity"] == "medium"
    assert CLOSED in scanned(agent, task)


def test_scan_by_ipv6_is_more_evidence(agent, world_and_tasks):
    _, (_, task) = world_and_tasks
    task.sh("nmap -6 -n -Pn -sT --max-retries 1 -p1-300 2001:db8::1")
    assert wait_for(lambda: "2001:db8::1" in scanned(agent, task), 12)


def test_flood_of_datagrams(agent, task):
    task.main.exec("python3", "-c", FLOOD_ALL, CLOSED, "25000", check=True)
    f = finding_of(agent, FLOOD, of_task(task))[0]
    assert f["severity"] == "high"
    assert agent.evidence(f)[0]["evidence"]["flows"] >= 2000


def test_tunnel_through_the_resolver(agent, task):
    ask(task.main, "198.51.100.1", [f"{hashlib.sha1(b'%d' % n).hexdigest()}.{n:x}.t.example.com" for n in range(250)])
    f = finding_of(agent, TUNNEL, of_task(task))[0]
    e = agent.evidence(f)[0]["evidence"]
    assert e["domain"] == "example.com" and e["names"] >= 90 and e["encoded_percent"] >= 80


def test_generated_names(agent, task):
    ask(task.main, "198.51.100.1", [f"{name}.biz" for name in families.names(families.digest, 60, 9)], pause_ms=5)
    f = finding_of(agent, GENERATED, of_task(task))[0]
    assert agent.evidence(f)[0]["evidence"]["generated"] >= 10


def test_listener_of_a_tool(agent, container):
    time.sleep(3)  # network.listen_after
    container.exec("busybox", "nc", "-l", "-p", "4444", detach=True)
    f = finding_of(agent, LISTENER, [container.id])[0]
    assert f["severity"] == "medium" and "4444" in f["description"]
