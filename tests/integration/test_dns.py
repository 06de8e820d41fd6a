"""DNS of containers as people see it: a real resolver, Docker's embedded one, and the agent's database."""
import json
import shutil
import subprocess
import time

import pytest

from dns_helpers import ASK, TXT, Resolver, inside
from harness import BUILD, wait_for

pytestmark = pytest.mark.skipif(not shutil.which("dnsmasq"), reason="needs dnsmasq")


def messages(agent, container, n=1, **where):
    """Rows of the view `dns` of a container, once there are `n`."""
    def find():
        rows = agent.query("select * from dns where container_id = ? order by id", container.id)
        return [r for r in rows if all(r[k] == v for k, v in where.items())]
    wait_for(lambda: len(find()) >= n, 5)
    time.sleep(0.2)  # or one too many
    return find()


def is_watched(pid):
    return "group 3781" in inside(pid, "nft", "list", "ruleset")


@pytest.fixture
def asker(agent, container):
    """A container with a resolver in its own network namespace."""
    inside(container.pid, "sh", "-ec", "ip addr add 198.51.100.53/32 dev lo; echo 0 > /proc/sys/net/ipv6/conf/lo/disable_ipv6; ip -6 addr add 2001:db8::53/128 dev lo nodad")
    resolver = Resolver(container.pid, "198.51.100.53", "2001:db8::53")
    assert wait_for(lambda: is_watched(container.pid))
    yield container
    resolver.close()


def test_a_container_asks(agent, asker):
    asker.py(ASK.replace("sys.argv[1:]", "['198.51.100.53', 'alias.example.com', '1']"), user="1000", check=True)
    query, answer = messages(agent, asker, 2)
    assert (query["op"], query["name"], query["type"], query["uid"], query["server"], query["proto"]) == ("query", "alias.example.com", "A", 1000, "198.51.100.53", "udp")
    assert (query["comm"], query["owner"], query["exe"]) == ("python3", "only-uid", "/usr/bin/python3")
    assert answer["rcode"] == "NOERROR" and answer["answer"] == ("alias.example.com CNAME 300 second.example.com; "
                                                                 "second.example.com CNAME 300 www.example.com; www.example.com A 300 198.51.100.80")
    assert (answer["pid"], answer["owner"], answer["src"], answer["server"]) == (query["pid"], "only-uid", query["src"], "198.51.100.53")


@pytest.mark.parametrize("how", ["", "tcp"])
def test_ipv6_and_tcp(agent, asker, how):
    asker.py(ASK.replace("sys.argv[1:]", f"['2001:db8::53', 'txt.example.com', '{TXT}', '{how}']"), check=True)
    query, answer = messages(agent, asker, 2)
    assert answer["answer"] == 'txt.example.com TXT 300 "v=spf1 -all"'
    assert query["proto"] == (how or "udp") and query["src"] == "2001:db8::53"
    assert query["comm"] == "python3" and query["owner"] in ("only", "recent")  # `sleep` of the container is root's as well


@pytest.fixture
def network(docker):
    """A user-defined network: Docker answers on 127.0.0.11 in its containers. Nothing leads out of them."""
    name = "dnstest"
    docker("network", "create", "--subnet=198.51.100.128/28", name)
    yield name
    docker("network", "rm", name)


def test_docker_embedded_resolver(agent, docker, network):
    peer = docker.run(flags=[f"--network={network}", "--name=peer"])
    asker = docker.run(flags=[f"--network={network}", "--dns=198.51.100.53"])
    inside(asker.pid, "sh", "-ec", "ip route del default; ip addr add 198.51.100.53/32 dev lo")
    resolver = Resolver(asker.pid, "198.51.100.53", config="cname=gateway.example.com,gw.example.com\nhost-record=gw.example.com,198.51.100.129\n")
    try:
        assert wait_for(lambda: is_watched(asker.pid))
        asker.py(ASK.replace("sys.argv[1:]", "['127.0.0.11', 'peer', '1']"), check=True)
        seen = messages(agent, asker, 2)
        assert [(r["op"], r["name"], r["server"], r["forwarded"]) for r in seen] == [("query", "peer", "127.0.0.11", 0), ("answer", "peer", "127.0.0.11", 0)]
        assert seen[1]["answer"].startswith("peer A 600 198.51.100.1")
        assert seen[0]["comm"] == "python3"
        # what Docker does not know itself it asks of the container's server, out of the container's namespace
        asker.py(ASK.replace("sys.argv[1:]", "['127.0.0.11', 'www.example.com', '1']"), check=True)
        seen = messages(agent, asker, 4, name="www.example.com")
        assert [(r["op"], r["server"], r["forwarded"]) for r in seen] == [
            ("query", "127.0.0.11", 0), ("query", "198.51.100.53", 1), ("answer", "198.51.100.53", 1), ("answer", "127.0.0.11", 0)]
        assert seen[1]["pid"] is None and seen[3]["pid"] == seen[0]["pid"]
        # a flow carries the name that the container asked for, not the last of its CNAMEs
        asker.py(ASK.replace("sys.argv[1:]", "['127.0.0.11', 'gateway.example.com', '1']") +
                 "\nimport time\ntime.sleep(0.5)\nu = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nu.sendto(b'x', ('198.51.100.129', 9999))", check=True)
        rows = wait_for(lambda: agent.query("select * from flow_event where dst = '198.51.100.129' and dport = 9999"))
        assert rows and rows[0]["domain"] == "gateway.example.com"
    finally:
        resolver.close()
        asker.remove()
        peer.remove()


FLOOD = """
import socket, struct, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(4000):
    name = b"".join(bytes([len(l)]) + l.encode() for l in f"x{i:04d}.t.example.net".split(".")) + b"\\0"
    s.sendto(struct.pack(">6H", i, 0x100, 1, 0, 0, 0) + name + struct.pack(">2H", 16, 1), ("198.51.100.53", 53))
time.sleep(1)  # who asked is sought among those who live when a packet is read
"""


def test_a_flood_is_a_bounded_number_of_rows(agent, asker):
    counters = lambda component: json.loads(agent.health()[component]["counters"])
    lost_before = counters("dns")["lost"]
    asker.py(FLOOD, check=True)
    rows = lambda: agent.query("select * from dns where container_id = ? and op = 'query' and name glob '*.t.example.net'", asker.id)
    told, lost = lambda: sum(r["messages"] for r in rows()), lambda: counters("dns")["lost"] - lost_before
    assert wait_for(lambda: told() + lost() >= 4000, 20), (told(), lost(), len(rows()))  # each is told or counted
    bursts = [r for r in rows() if r["names"]]
    assert 3000 < told() <= 4000 and len(rows()) - len(bursts) < 2500 and 1 <= len(bursts) <= 3, (told(), lost(), len(rows()), len(bursts))
    assert {(r["name"], r["type"], r["server"], r["comm"]) for r in bursts} == {("*.t.example.net", "TXT", "198.51.100.53", "python3")}
    assert all(0.8 * r["messages"] < r["names"] <= r["messages"] for r in bursts)
    out = subprocess.run([BUILD / "ecsguardctl", "dns", "--db", agent.db, "--container", asker.id[:12], "--name", "t.example.net", "--limit", "0"],
                         capture_output=True, text=True, check=True).stdout
    assert f"*.t.example.net query ({bursts[0]['messages']} messages, " in out
    assert wait_for(lambda: counters("dns_rows")["folded"] > 1000)
