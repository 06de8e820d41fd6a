"""Whose a flow is, who began it, and which rows it gets: the real agent with containers in bridge mode, host mode, in another's network namespace and in
awsvpc shape. Outside is a network namespace of our own (203.0.113.66, behind a veth of the host's), and the world of netns_helpers.py."""

import json
import shutil
import subprocess
import sys
import time

import pytest

from harness import BUILD, Agent, wait_for
from netns_helpers import CLIENT, PEER, two_tasks

pytestmark = pytest.mark.skipif(not all(map(shutil.which, ("ip", "nft", "dockerd"))), reason="needs ip, nft and dockerd")

OUTSIDE, GATEWAY = "203.0.113.66", "203.0.113.1"

SCAN = """
import socket, sys, time
sockets = [socket.socket() for i in range(1000)]
for port, s in enumerate(sockets, 1):
    s.setblocking(False)
    try: s.connect((sys.argv[1], port))
    except OSError: pass
    if port % 50 == 0: time.sleep(0.02)
"""

# Sends now and then for some seconds on one connection.
LONG = """
import socket, sys, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
for i in range(int(sys.argv[3])):
    s.sendall(b'x' * 30000)
    time.sleep(0.5)
time.sleep(60)
"""


def run(*command):
    return subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def agent(docker, tmp_path_factory):
    a = Agent(tmp_path_factory.mktemp("agent"), docker.socket, [docker.data], "flows:\n  update_interval: 1s\n")
    a.start()
    yield a
    a.stop()


@pytest.fixture(scope="module")
def outside():
    """A network namespace that the host reaches over a veth, with a TCP and UDP server at 8080, and without an answer at other ports: nothing leaves the
    machine."""
    ns, dev = "ecsguard-flows", "ecsg-flows"
    run("ip", "netns", "add", ns)
    run("ip", "link", "add", dev, "type", "veth", "peer", "name", "eth0", "netns", ns)
    run("ip", "addr", "add", f"{GATEWAY}/24", "dev", dev)
    run("ip", "link", "set", dev, "up")
    for command in (f"addr add {OUTSIDE}/24 dev eth0", "link set eth0 up", "link set lo up", f"route add default via {GATEWAY}"):
        run("ip", "-n", ns, *command.split())
    run("ip", "netns", "exec", ns, "nft", "table ip quiet { chain in { type filter hook input priority 0; tcp dport != 8080 tcp flags & (syn|ack) == syn drop; }; }")  # tracks nothing
    server = subprocess.Popen(["ip", "netns", "exec", ns, sys.executable, "-c", PEER, OUTSIDE, "8080", "5000"], stdout=subprocess.PIPE, text=True)
    assert server.stdout.readline() == "ready\n"
    assert dev in run("ip", "route", "get", OUTSIDE)
    yield ns
    server.kill()
    server.wait()
    run("ip", "netns", "del", ns)


def known(agent, container):
    assert wait_for(lambda: agent.query("select 1 from containers where container_id = ?", container.id))
    return container


def flows(agent, **where):
    rows = agent.query("select * from flows order by id")
    return [r for r in rows if all(r[k] == v for k, v in where.items())]


def one(agent, timeout=30, until=lambda r: True, **where):
    """The one flow, once it is as wanted."""
    found = wait_for(lambda: [r for r in flows(agent, **where) if until(r)], timeout)
    assert len(found) == 1, json.dumps([{k: r[k] for k in ("id", "phase", "direction", "src", "dst", "dport", "pid", "container_id")} for r in flows(agent)][-20:])
    return found[0]


def python(container, program, *args, **kw):
    return container.exec("python3", "-c", program, *map(str, args), **kw)


def test_bridge_out_and_in(agent, docker, outside):
    c = known(agent, docker.run(flags=["--network=bridge", "-p", f"{GATEWAY}:8099:80"]))
    python(c, CLIENT, OUTSIDE, 8080, 1000, check=True)
    row = one(agent, dst=OUTSIDE, dport=8080, container_id=c.id, until=lambda r: r["pid"])
    assert (row["direction"], row["owner"], row["comm"], row["flows"]) == ("out", "socket", "python3", 1)

    python(c, PEER, "0.0.0.0", 80, 100, detach=True)
    reached = lambda: subprocess.run(["ip", "netns", "exec", outside, sys.executable, "-c", CLIENT, GATEWAY, "8099", "10"], capture_output=True, text=True)
    assert wait_for(lambda: reached().stdout == "100\n", 5, 0.2)
    row = wait_for(lambda: [r for r in flows(agent, src=OUTSIDE, dport=8099, container_id=c.id) if r["pid"]])[0]
    assert (row["direction"], row["reply_sport"], row["comm"]) == ("in", 80, "python3")
    c.remove()


def test_two_containers_in_one_namespace(agent, docker, outside):
    first = known(agent, docker.run(flags=["--network=bridge"]))
    second = known(agent, docker.run(flags=[f"--network=container:{first.id}"]))
    python(second, CLIENT, OUTSIDE, 8080, 20, check=True)
    row = one(agent, container_id=second.id, dport=8080, until=lambda r: r["pid"])
    assert (row["direction"], row["owner"]) == ("out", "socket")
    second.remove()
    first.remove()


def test_host_network(agent, docker, outside):
    c = known(agent, docker.run(flags=["--network=host"]))
    python(c, CLIENT, OUTSIDE, 8080, 30, check=True)
    row = one(agent, container_id=c.id, dst=OUTSIDE, until=lambda r: r["pid"])
    assert (row["direction"], row["src"]) == ("out", GATEWAY)
    # a process of the host's own is not the container's
    subprocess.run([sys.executable, "-c", CLIENT, OUTSIDE, "8080", "40"], check=True, capture_output=True)
    row = one(agent, container_id=None, dst=OUTSIDE, direction="out", until=lambda r: r["pid"] and r["comm"])
    assert row["comm"].startswith("python")
    c.remove()


def test_awsvpc_tasks(agent, docker):
    with two_tasks(docker) as (world, tasks):
        world.serve("203.0.113.1", 8080)
        world.serve("2001:db8::1", 8080)
        for task in tasks:
            known(agent, task.main)
            assert wait_for(lambda: "ct status" in task.sh("nft list table inet ecsguard", check=False)), agent.text()
        a, b = tasks
        sidecar = known(agent, a.join())
        a.connect("203.0.113.1", 8080)
        a.connect("2001:db8::1", 8080, container=sidecar)
        row = one(agent, container_id=a.main.id, dst="203.0.113.1", until=lambda r: r["pid"])
        assert (row["direction"], row["src"], row["owner"], row["task_id"]) == ("out", a.ip4, "socket", a.id)
        row = one(agent, container_id=sidecar.id, dst="2001:db8::1", until=lambda r: r["pid"])
        assert (row["direction"], row["src"]) == ("out", a.ip6)
        # from one task to another: each has its end
        python(b.main, PEER, b.ip4, 9000, 100, detach=True)
        assert wait_for(lambda: ":9000" in b.sh("ss -Hltn"))
        a.connect(b.ip4, 9000)
        assert one(agent, container_id=a.main.id, dport=9000)["direction"] == "out"
        assert one(agent, container_id=b.main.id, dport=9000)["direction"] == "in"


def test_a_scan_is_a_handful_of_rows(agent, docker, outside):
    c = known(agent, docker.run(flags=["--network=bridge"]))
    folded = json.loads(agent.health()["flow_rows"]["counters"])["folded"]
    python(c, SCAN, OUTSIDE, check=True)
    rows = lambda: flows(agent, container_id=c.id)
    assert wait_for(lambda: sum(r["flows"] for r in rows()) >= 1000)
    bursts = [r for r in rows() if r["phase"] == "burst"]
    assert sum(r["flows"] for r in rows()) == 1000 and len(rows()) <= 6 and 1 <= len(bursts) <= 5
    assert sum(r["ports"] for r in bursts) == sum(r["flows"] for r in bursts) > 900
    assert {(r["dst"], r["dport"], r["addresses"], r["direction"]) for r in bursts} == {(OUTSIDE, None, 1, "out")}
    assert {r["comm"] for r in bursts} == {"python3"}
    assert wait_for(lambda: json.loads(agent.health()["flow_rows"]["counters"])["folded"] > folded + 900)
    out = subprocess.run([BUILD / "ecsguardctl", "flows", "--db", agent.db, "--container", c.id[:12], "--to", OUTSIDE, "--limit", "0"], capture_output=True,
                         text=True, check=True).stdout
    assert f"{OUTSIDE}" in out and " ports" in out and "~python3[" in out
    c.remove()


def test_bytes_of_a_long_flow_are_known_before_its_end(agent, docker, outside):
    c = known(agent, docker.run(flags=["--network=bridge"]))
    python(c, LONG, OUTSIDE, 8080, 8, detach=True)
    row = one(agent, 10, container_id=c.id, dport=8080, until=lambda r: (r["bytes_out"] or 0) > 200000)
    assert (row["phase"], row["end"]) == ("update", None)
    assert 2 <= agent.query("select count(*) n from flow_event where begin_id = ?", row["id"])[0]["n"] <= 12
    top = [json.loads(line) for line in run(BUILD / "ecsguardctl", "flows", "--top", "--json", "--db", agent.db, "--container", c.id[:12]).splitlines()]
    assert top[0]["address"] == OUTSIDE and top[0]["bytes_sent"] > 200000 and top[0]["processes"] == "python3"
    c.remove()


def test_long_flows_of_a_task(agent, docker):
    with two_tasks(docker) as (world, tasks):
        world.serve("203.0.113.1", 8080)
        task = tasks[0]
        known(agent, task.main)
        assert wait_for(lambda: "ct status" in task.sh("nft list table inet ecsguard", check=False)), agent.text()
        python(task.main, LONG, "203.0.113.1", 8080, 8, detach=True)
        assert one(agent, 10, container_id=task.main.id, dport=8080, until=lambda r: (r["bytes_out"] or 0) > 200000)["phase"] == "update"


# Distinct flows from one socket, as fast as it goes.
RUSH = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
s = socket.socket(family, socket.SOCK_DGRAM)
for port in range(1, 20001): s.sendto(b'x', (sys.argv[1], 20000 + port))
s = socket.socket(family)
s.setblocking(False)
s.connect_ex((sys.argv[2], 81))
"""


@pytest.mark.parametrize("flooded, other", [("203.0.113.1", "203.0.113.2"), ("2001:db8::1", "2001:db8::2")])
def test_a_rush_is_told_at_its_end(agent, docker, flooded, other):
    """Beyond some thousands to one address the kernel holds begins back, which would slow the container down; every flow is in a row or counted all the
    same, and what goes elsewhere meanwhile is told at once."""
    lost = lambda: json.loads(agent.health()["flow"]["counters"])["lost"]
    with two_tasks(docker) as (_, (task, _)):
        known(agent, task.main)
        assert wait_for(lambda: "hold_back" in task.sh("nft list table inet ecsguard", check=False)), agent.text()
        lost_before = lost()
        rows = lambda to: [r for r in flows(agent, task_id=task.id) if r["dst"] == to and r["direction"] == "out"]
        told = lambda: sum(r["flows"] for r in rows(flooded))
        python(task.main, RUSH, flooded, other, check=True)
        assert wait_for(lambda: rows(other))
        assert wait_for(lambda: told() >= 2000) and told() < 6000, told()
        task.sh("conntrack -F")
        assert wait_for(lambda: told() + lost() - lost_before >= 20000, 20), (told(), lost())
        assert told() <= 20100 and len(rows(flooded)) < 1000, (told(), len(rows(flooded)))
