"""Whose a flow, a listening socket or a packet socket is: containers on the bridge, on the host's network, and in awsvpc shape."""

import os
import socket
import subprocess
import sys

import pytest

from harness import Agent, wait_for
from netns_helpers import two_tasks

BRIDGE = "172.31.253.1"  # of our dockerd
TCP, UDP = 6, 17
PRESENT, NEW, END = 1, 2, 3
RULE = """
- rule: Packet socket created in container
  desc: A container reads the packets of its network.
  condition: evt.type = socket and evt.arg.domain contains AF_PACKET and container.id != host and not proc.name in (tcpdump)
  output: packet socket (process=%proc.name domain=%evt.arg.domain type=%evt.arg.type proto=%evt.arg.proto container=%container.id)
  priority: NOTICE
"""

# Connects, says its local port, waits for the end of its input.
CLIENT = """
import os, socket, sys, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
s.send(b'x')
s.recv(1)
time.sleep(0.3)
print(s.getsockname()[1], flush=True)
"""


@pytest.fixture(scope="module")
def agent(docker, tmp_path_factory):
    a = Agent(tmp_path_factory.mktemp("agent"), docker.socket, [docker.data])
    (a.path / "rules.d").mkdir()
    (a.path / "rules.d/packet.yaml").write_text(RULE)
    a.start()
    yield a
    assert a.stop() == 0


@pytest.fixture
def run(docker, agent):
    """Starts a container that the agent knows."""
    made = []

    def start(*flags):
        made.append(docker.run(flags=flags))
        assert wait_for(lambda: number_of(agent, made[-1]))
        return made[-1]

    yield start
    for c in made:
        c.remove()


def number_of(agent, container):
    """Row id of a container, 0 while it is unknown."""
    rows = agent.query("select id from container where container_id = ?", container.id)
    return rows[0]["id"] if rows else 0


def listens(agent, phase, port, **where):
    rows = agent.query("select * from other_event where listen_phase = ? and sport = ?", phase, port)
    return [r for r in rows if all(r[k] == v for k, v in where.items())]


def one_listen(agent, phase, port, **where):
    found = wait_for(lambda: listens(agent, phase, port, **where))
    assert found, (phase, port, where, agent.query("select * from other_event where listen_phase is not null and sport = ?", port), agent.health()["listen"])
    assert len(found) == 1
    return found[0]


def comm_of(agent, pid):
    """What the process ran last, as its exec told."""
    rows = agent.query("select cmdline from process_event where pid = ? and cmdline is not null order by id desc", pid)
    return rows[0]["cmdline"] if rows else None


SERVER = "import socket,sys,time; s=socket.create_server(('{address}',{port})); u=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); u.bind(('{address}',{port}+1)); time.sleep({seconds})"


@pytest.mark.parametrize("network", ["none", "bridge", "host"])
def test_listener_of_a_container(agent, run, network):
    port = {"none": 7100, "bridge": 7110, "host": 7120}[network]
    container = run(f"--network={network}")
    own = number_of(agent, container)
    address = "127.0.0.1" if network == "host" else "0.0.0.0"
    # the namespace was looked at before
    assert wait_for(lambda: agent.health()["listen"]["state"] == "ok")
    subprocess.run(["sleep", "1"], check=True)
    container.exec("python3", "-c", SERVER.format(address=address, port=port, seconds=3), detach=True)
    tcp = one_listen(agent, NEW, port)
    assert (tcp["container"], tcp["proto"], tcp["src"], tcp["uid"], tcp["owner"]) == (own, TCP, address, 0, 1)
    assert str(port) in str(comm_of(agent, tcp["pid"]))
    udp = one_listen(agent, NEW, port + 1)
    assert (udp["container"], udp["proto"], udp["pid"]) == (own, UDP, tcp["pid"])
    assert one_listen(agent, END, port)["container"] == own
    assert one_listen(agent, END, port + 1)["container"] == own
    assert (tcp["nsid"] == -1) == (network == "host")


def test_listener_of_the_host(agent):
    program = """
import os, socket, sys, time
s = socket.create_server(('127.0.0.1', 7130), reuse_port=True)
w = socket.create_server(('127.0.0.1', 7130), reuse_port=True)
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.bind(('127.0.0.1', 45130))
print('ready', flush=True)
if os.fork() == 0:
    sys.stdin.read()
    os._exit(0)
sys.stdin.read()
"""
    p = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert p.stdout.readline() == b"ready\n"
    new = one_listen(agent, NEW, 7130)  # one listener: two sockets, two processes; the oldest is named
    assert (new["container"], new["pid"], new["nsid"]) == (0, p.pid, -1)
    p.stdin.close()
    assert p.wait(5) == 0
    one_listen(agent, END, 7130, pid=p.pid)
    # a UDP socket on a port of the kernel's choice may be anybody's who sent something
    assert not listens(agent, NEW, 45130) and not listens(agent, END, 45130)


def test_listeners_before_the_agent(docker, tmp_path):
    """They are told as present, and what follows as new."""
    server = socket.create_server(("127.0.0.1", 7140))
    a = Agent(tmp_path, docker.socket, [docker.data])
    try:
        a.start()
        assert one_listen(a, PRESENT, 7140)["pid"] == os.getpid()
        server.close()
        one_listen(a, END, 7140)
        with socket.create_server(("127.0.0.1", 7140)):
            assert one_listen(a, NEW, 7140)["pid"] == os.getpid()
    finally:
        assert a.stop() == 0


def test_packet_socket(agent, run):
    container = run("--network=none", "--cap-add=NET_RAW")
    container.exec("python3", "-c", "import socket,time; s=socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)); time.sleep(3)", detach=True)
    finding = wait_for(lambda: [f for f in agent.findings() if f["rule"] == "Packet socket created in container"])
    assert finding, ({k: v for r in agent.query("select * from other_event where syscall = 'socket'") for k, v in r.items() if v is not None}, agent.query("select * from rule_status where name like 'Packet%'"), agent.text()[-500:])
    assert finding[0]["container_id"] == container.id and "python3" in finding[0]["exe"]
    row = agent.query("select * from other_event where syscall = 'socket'")[0]
    assert (row["arg0"], row["arg1"], row["container"], row["owner"]) == (17, 3, number_of(agent, container), 1)
    output = agent.evidence(finding[0])[0]["evidence"]
    assert "domain=AF_PACKET type=3 proto=768" in str(output) + finding[0]["description"], (output, finding[0])


@pytest.fixture
def echo():
    """A server of the host on the bridge's address."""
    program = f"""
import socket, threading
s = socket.create_server(('{BRIDGE}', 7200), backlog=64)
def serve(c):
    c.recv(1); c.send(b'y'); c.recv(1)
print('ready', flush=True)
while True:
    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
"""
    p = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert p.stdout.readline() == b"ready\n"
    yield p
    p.kill()
    p.wait()


def flow_rows(agent, sport, dport):
    return agent.query("select * from flow_event where sport = ? and dport = ? order by id", sport, dport)


def owner_of_flow(agent, sport, dport):
    rows = wait_for(lambda: [r for r in flow_rows(agent, sport, dport) if r["pid"]])
    assert rows, (flow_rows(agent, sport, dport), agent.health()["owner"])
    assert {r["pid"] for r in rows} == {rows[0]["pid"]}, (rows, agent.health()["owner"])
    return rows[0]


@pytest.mark.parametrize("network", ["bridge", "host"])
def test_client_of_a_container(agent, run, echo, network):
    container = run(f"--network={network}")
    sport = int(container.exec("python3", "-c", CLIENT, BRIDGE, "7200", check=True))
    row = owner_of_flow(agent, sport, 7200)
    assert (row["owner"], row["container"]) == (1, number_of(agent, container))
    assert BRIDGE in comm_of(agent, row["pid"])


def test_clients_of_awsvpc_tasks(agent, docker):
    """Two containers in the network namespace of a pause container: each flow is the one's that made it."""
    with two_tasks(docker) as (world, (task, _)):
        other = task.join()
        world.serve("203.0.113.9", 7300)
        assert wait_for(lambda: number_of(agent, other))
        assert wait_for(lambda: agent.query("select 1 from other_event where netns = ? and tracks = 1", task.netns))
        for container in (task.main, other):
            out = container.exec("python3", "-c", CLIENT.replace("s.recv(1)\n", "s.shutdown(1)\ns.recv(1)\n"), "203.0.113.9", "7300", check=True)
            row = owner_of_flow(agent, int(out), 7300)
            assert (row["owner"], row["container"]) == (1, number_of(agent, container)), (
                flow_rows(agent, int(out), 7300), agent.health()["owner"], agent.query("select * from container"), task.netns)
            assert "203.0.113.9" in comm_of(agent, row["pid"])


def test_connecting_process_is_named_not_its_child(agent, run, echo):
    """The child inherits the socket and outlives the one that connected."""
    container = run("--network=bridge")
    out = container.py(f"""
import os, socket, time
s = socket.create_connection(('{BRIDGE}', 7200))
s.send(b'x'); s.recv(1)
port = s.getsockname()[1]
if os.fork() == 0:
    time.sleep(0.5)
    print(port, flush=True)
    os._exit(0)
""", check=True)
    row = owner_of_flow(agent, int(out), 7200)
    assert BRIDGE in comm_of(agent, row["pid"])
    forks = agent.query("select pid from process_event where ppid = ? and kind = 1", row["pid"])
    assert forks and row["pid"] != forks[0]["pid"]
