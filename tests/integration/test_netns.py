"""The watch over network namespaces with the real agent: our nft table in tasks of awsvpc shape, in bridge and host mode; the conntrack guard; repair;
and that nothing of it stays. Addresses: netns_helpers.py. Needs root, dockerd, ip, nft, conntrack."""

import json
import os
import pathlib
import shutil
import subprocess
import time

import pytest

from harness import BUILD, Agent, wait_for
from netns_helpers import netns_of, run, tables_of, two_tasks

pytestmark = pytest.mark.skipif(not all(map(shutil.which, ("ip", "nft", "conntrack", "dockerd"))), reason="needs ip, nft, conntrack and dockerd")

OURS = "inet ecsguard"
LIMIT = pathlib.Path("/proc/sys/net/netfilter/nf_conntrack_max")

FILL = """
import socket, sys
for port in range(20000, 20000 + int(sys.argv[2])):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.sendto(b'x', (sys.argv[1], port))
    s.close()
print('sent')
"""


@pytest.fixture(scope="module")
def tasks(docker, agent):
    with two_tasks(docker) as (world, both):
        world.serve("203.0.113.1", 8080)
        world.serve("2001:db8::1", 8080)
        for task in both:
            assert wait_for(lambda: "ct status" in chains(task)), agent.text()
        yield world, both


def chains(task):
    return task.sh("nft list table inet ecsguard", check=False)


# A resolver on loopback that answers its one client over UDP and TCP, and the client: what each asks is its argument.
LOOPBACK_DNS = """
import socket, struct, sys, threading
def name(n): return b''.join(bytes([len(p)]) + p.encode() for p in n.split('.')) + b'\\0'
def query(n): return struct.pack('>6H', 7, 0x100, 1, 0, 0, 0) + name(n) + struct.pack('>2H', 1, 1)
def answer(q): return q[:2] + struct.pack('>5H', 0x8180, 1, 1, 0, 0) + q[12:] + struct.pack('>3HIH4B', 0xc00c, 1, 1, 60, 4, 203, 0, 113, 9)
family, address = (socket.AF_INET6, '::1') if sys.argv[1] == '6' else (socket.AF_INET, '127.0.0.1')
u = socket.socket(family, socket.SOCK_DGRAM)
u.bind((address, 53))
c = socket.socket(family, socket.SOCK_DGRAM)
c.sendto(query('udp' + sys.argv[1] + '.example.com'), (address, 53))
q, who = u.recvfrom(512)
u.sendto(answer(q), who)
c.recv(512)
s = socket.create_server((address, 53), family=family)
def serve():
    p, _ = s.accept()
    q = p.recv(512)
    a = answer(q[2:])
    p.sendall(struct.pack('>H', len(a)) + a)
    p.recv(1)
t = threading.Thread(target=serve)
t.start()
c = socket.create_connection((address, 53))
q = query('tcp' + sys.argv[1] + '.example.com')
c.sendall(struct.pack('>H', len(q)) + q)
c.recv(512)
c.close()
t.join()
"""


def events(agent, kind="netns", **where):
    """Recorded events of one kind, oldest first."""
    done = run([BUILD / "ecsguardctl", "events", "--kind", kind, "--json", "--db", agent.db, "--config", agent.config])
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return [e for e in rows if e["kind"] == kind and all(e.get(k) == v for k, v in where.items())]


def wait_event(agent, timeout=30, kind="netns", **where):
    found = wait_for(lambda: events(agent, kind, **where), timeout, 0.1)
    assert found, f"no {where}; there are: {events(agent, kind)[-20:]}\n{agent.text()[-1000:]}"
    return found[-1]


def counters(agent):
    return json.loads(agent.health()["netns"]["counters"])


def others_rules(task):
    """All rules but ours."""
    tables = [t for t in tables_of(task.pid) if t != OURS]
    return [task.sh(f"nft list table {t}") for t in tables]


def test_the_table_is_there_and_says_whose_it_is(agent, tasks):
    _, (one, two) = tasks
    for task in (one, two):
        text = chains(task)
        assert "ecsguard agent" in text and "log group 3781" in text and "hold_back" in text
        assert task.sysctl("nf_conntrack_acct") == "1" and task.sysctl("nf_conntrack_events") == "1"
        watched = wait_event(agent, netns=task.netns, netns_op="watched", tracks=True)
        assert watched["nsid"] >= 0
    host = run("nft list table inet ecsguard").stdout
    assert "log group 3781" in host and "ct st" not in host
    assert wait_for(lambda: counters(agent)["tracking"] >= 2, 12)
    assert agent.health()["netns"]["state"] == "ok", agent.health()["netns"]


def test_flows_of_a_task_are_seen_with_bytes(agent, docker, tasks):
    world, (one, _) = tasks
    for address in ("203.0.113.1", "2001:db8::1"):
        assert one.connect(address, 8080, 3000) == 5000
        new = wait_event(agent, kind="flow", dst=address, dport=8080, phase="new")
        assert new["src"] in (one.ip4, one.ip6) and new["nsid"] >= 0
        one.sh(f"conntrack -D -d {address}" + (" -f ipv6" if ":" in address else ""))
        end = wait_event(agent, kind="flow", dst=address, dport=8080, phase="end")
        assert end["bytes_out"] > 3000 and end["bytes_in"] > 5000
    flows = agent.query("select * from flows where dst = '203.0.113.1' and dport = 8080")
    assert flows and flows[0]["task_id"] == one.id


@pytest.mark.parametrize("version", ["4", "6"])
def test_dns_over_loopback_is_seen_once(agent, tasks, version):
    _, (one, _) = tasks
    one.main.exec("python3", "-c", LOOPBACK_DNS, version, check=True)
    for name in (f"udp{version}.example.com", f"tcp{version}.example.com"):
        wait_event(agent, kind="dns", dns_name=name, dns_op="answer")
        seen = [e["dns_op"] for e in events(agent, "dns", dns_name=name)]
        assert sorted(seen) == ["answer", "query"]


def test_bridge_and_host_mode(agent, docker):
    bridged, on_host = docker.run(flags=["--network=bridge"]), docker.run(flags=["--network=host"])
    try:
        assert wait_for(lambda: OURS in tables_of(bridged.pid))
        wait_event(agent, netns=netns_of(bridged.pid), netns_op="watched", tracks=False)
        time.sleep(2.5)  # longer than an interface is awaited
        text = run(["nsenter", f"--net=/proc/{bridged.pid}/ns/net", "nft", "list", "table", "inet", "ecsguard"]).stdout
        assert "log group" in text and "ct st" not in text  # its flows pass the host's conntrack
        assert netns_of(on_host.pid) == netns_of(os.getpid())
        assert tables_of(os.getpid()).count(OURS) == 1
    finally:
        inode = netns_of(bridged.pid)
        bridged.remove()
        on_host.remove()
    wait_event(agent, netns=inode, netns_op="end")
    assert OURS in tables_of(os.getpid())  # the host's stays


def test_removal_is_told_and_repaired(agent, tasks):
    _, (one, _) = tasks
    nft = subprocess.Popen(one.args("nft", "delete", "table", "inet", "ecsguard"))
    nft.wait()
    removed = wait_event(agent, netns=one.netns, netns_op="removed")
    assert removed["pid"] == nft.pid and "removed by process" in removed["reason"] and "(nft)" in removed["reason"]
    wait_event(agent, netns=one.netns, netns_op="restored", tracks=True)
    assert "ct status" in chains(one)
    # changes that leave it standing are found as well; the second time it is put back after a second
    one.sh("nft insert rule inet ecsguard out accept")
    assert wait_for(lambda: len(events(agent, netns=one.netns, netns_op="removed")) == 2)
    assert "was changed" in events(agent, netns=one.netns, netns_op="removed")[-1]["reason"]
    assert wait_for(lambda: len(events(agent, netns=one.netns, netns_op="restored")) == 2)
    assert "accept\n" not in chains(one).replace("policy accept;\n", "")
    # a change of somebody else's table is nobody's business
    one.sh("nft add table inet other; nft delete table inet other")
    time.sleep(0.3)
    assert len(events(agent, netns=one.netns, netns_op="removed")) == 2


def test_an_address_put_into_our_sets_is_told_and_repaired(agent, tasks):
    """Whoever lets the kernel hold back what is told of an address from its first flow on."""
    _, (_, two) = tasks
    two.sh("nft add element inet ecsguard flooded4 '{ 203.0.113.7 timeout 1d }'")
    removed = wait_event(agent, netns=two.netns, netns_op="removed")
    assert "was changed by process" in removed["reason"] and "(nft)" in removed["reason"]
    wait_event(agent, netns=two.netns, netns_op="restored", tracks=True)
    assert "203.0.113.7" not in chains(two)
    # what packets put there is as it should be
    two.main.exec("python3", "-c", FILL, "203.0.113.1", "20", check=True)
    assert wait_for(lambda: "203.0.113.1" in chains(two))
    time.sleep(0.5)
    assert len(events(agent, netns=two.netns, netns_op="removed")) == 1


def test_a_full_table_ends_tracking_not_packets(agent, tasks):
    world, (_, two) = tasks
    before = LIMIT.read_text()
    try:
        LIMIT.write_text("4000\n")
        assert two.main.exec("python3", "-c", FILL, "203.0.113.1", "3300", check=True) == "sent"
        withdrawn = wait_event(agent, netns=two.netns, netns_op="withdrawn")
        assert "of 4000 flows" in withdrawn["reason"]
        text = chains(two)
        assert "ct st" not in text and "log group" in text  # DNS is still seen
        assert two.sysctl("nf_conntrack_acct") == "0"
        # no flow is added any more, and no packet lost
        count = int(two.sysctl("nf_conntrack_count"))
        assert count < 4000
        two.main.exec("python3", "-c", FILL, "203.0.113.1", "2000", check=True)
        assert int(two.sysctl("nf_conntrack_count")) <= count
        for address in ("203.0.113.1", "2001:db8::1"):
            assert two.connect(address, 8080, 700) == 5000
            end = wait_event(agent, kind="flow", src=two.ip6 if ":" in address else two.ip4, dst=address, dport=8080, phase="end")
            assert end["bytes_out"] in (700, 701, 702) and end["bytes_in"] in (5000, 5001, 5002)
        # (the reason may still be the table that the test before took away)
        assert wait_for(lambda: json.loads(agent.health()["netns"]["counters"])["withdrawn"], 12)
        assert agent.health()["netns"]["state"] == "degraded"
        two.sh("conntrack -F")
        again = wait_for(lambda: [e for e in events(agent, netns=two.netns, netns_op="watched") if "again" in e.get("reason", "")])
        assert again and again[0]["tracks"] is True
        assert "ct status" in chains(two)
    finally:
        LIMIT.write_text(before)


def test_rules_of_others_stay_as_they_are(agent, docker, tasks):
    """Service Connect's NAT rules, or App Mesh's: made before and after ours."""
    _, (one, _) = tasks
    one.sh("iptables -t nat -N SC; iptables -t nat -A OUTPUT -p tcp --dport 15000 -j REDIRECT --to-ports 15001;"
           "nft add table inet mesh; nft 'add chain inet mesh out { type filter hook output priority 0 ; }';"
           "nft add rule inet mesh out meta skuid 1337 counter accept")
    rules = others_rules(one)
    assert len(rules) == 2
    one.sh("nft delete table inet ecsguard")
    assert wait_for(lambda: OURS in tables_of(one.pid))
    assert others_rules(one) == rules
    assert one.connect("203.0.113.1", 8080) == 5000


def test_a_namespace_is_let_go(agent, docker):
    with two_tasks(docker) as (world, (one, _)):
        assert wait_for(lambda: "ct status" in chains(one))
        world.serve("203.0.113.1", 8081)
        assert one.connect("203.0.113.1", 8081) == 5000
        inode = one.netns
        one.remove()
        # the interface goes with the namespace: its other end disappears. Flows that were left are told.
        assert wait_for(lambda: "e0" not in world.sh("ip -br link"), 60)  # the kernel takes dead namespaces apart one after the other
        wait_event(agent, netns=inode, netns_op="end")
        end = wait_event(agent, kind="flow", dport=8081, phase="end")
        assert end["bytes_in"] > 5000


def test_a_second_agent_waits(docker, agent, tmp_path):
    other = Agent(tmp_path, docker.socket, [docker.data]).start()
    try:
        assert wait_for(lambda: other.health().get("netns", {}).get("state") == "off", 15)
        assert "another ecsguardd" in other.health()["netns"]["reason"]
        assert OURS in tables_of(os.getpid())
    finally:
        other.stop()
    assert OURS in tables_of(os.getpid())
