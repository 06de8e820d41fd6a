"""Findings about the network, end to end: tasks in awsvpc shape with a world of their own (netns_helpers.py), a real resolver in it, the agent. Nothing
leaves the test's namespaces. Needs root, dockerd, dnsmasq."""
import json
import os
import shutil
import subprocess
import time

import pytest

from dns_helpers import Resolver
from harness import SOON, Agent, wait_for
from netns_helpers import CREDENTIALS, Task, World, tables_of

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not shutil.which("dnsmasq") and not os.path.exists("/usr/sbin/dnsmasq"), reason="needs dnsmasq"),
]

RESOLVER = "198.51.100.1"
LISTS = {
    "c2.txt": "# category: c2\n203.0.113.166\n2001:db8::166\nevil.example.com\n",
    "more.txt": "# category: blackhole\n203.0.113.167\n# category: tor-guard\n203.0.113.168\n",
}
NAMES = """
host-record=evil.example.com,203.0.113.166
host-record=redirected.example.com,203.0.113.167
host-record=rebind.example.com,169.254.169.254
host-record=innocent.example.com,203.0.113.180
cname=chain.example.com,rebind.example.com
"""

# The task's program: an application that gets its credentials as SDKs do, looks names up and serves; what stands in /tmp/order it runs in a shell, as
# a program with a hole would.
APP = """
import os, socket, struct, subprocess, threading, time, urllib.request
def look_up(name, kind=1):
    q = struct.pack('>6H', os.getpid() & 0xffff, 0x100, 1, 0, 0, 0) + b''.join(bytes([len(l)]) + l.encode() for l in name.split('.')) + b'\\0'
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(5)
    s.sendto(q + struct.pack('>HH', kind, 1), ('198.51.100.1', 53))
    return s.recv(4096)
def work():
    while True:
        urllib.request.urlopen('http://169.254.170.2' + os.environ['AWS_CONTAINER_CREDENTIALS_RELATIVE_URI']).read()
        urllib.request.urlopen('http://169.254.170.2/v4/0a1b/task').read()
        urllib.request.urlopen('http://169.254.169.254/latest/meta-data/placement/region').read()
        look_up('innocent.example.com'), look_up('innocent.example.com', 28), look_up('missing.example.com')
        open('/tmp/worked', 'a').write('x')
        time.sleep(0.5)
def serve():
    s = socket.create_server(('0.0.0.0', 8080))
    while True:
        s.accept()[0].close()
for f in (work, serve):
    threading.Thread(target=f, daemon=True).start()
while True:
    if os.path.exists('/tmp/order'):
        os.rename('/tmp/order', '/tmp/order.now')
        subprocess.run(['bash', '/tmp/order.now'])
    time.sleep(0.05)
"""

# ask.py NAME TYPE: prints when it asked
ASK = """
import socket, struct, sys, time
q = struct.pack('>6H', 0x1234, 0x100, 1, 0, 0, 0) + b''.join(bytes([len(l)]) + l.encode() for l in sys.argv[1].split('.')) + b'\\0'
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(5)
print(time.time(), flush=True)
s.sendto(q + struct.pack('>HH', int(sys.argv[2]), 1), ('198.51.100.1', 53))
s.recv(4096)
time.sleep(0.3)
"""

CONNECT = """
import socket, sys, time
print(time.time(), flush=True)
try:
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)
    s.sendall(b'x')
except OSError:
    pass
time.sleep(0.5)
"""


class Place:
    def __init__(self, world, task, agent):
        self.world, self.task, self.agent = world, task, agent

    def order(self, script):
        """What the task's program then runs in a shell."""
        self.task.app.exec("bash", "-c", f"cat > /tmp/order.new <<'END'\n{script}\nEND\nmv /tmp/order.new /tmp/order", check=True)

    def timed(self, program, *args, type, **where):
        """Runs a program in the task that prints when it did it; the finding, and how long after that it could be read."""
        docker = self.task.docker
        child = subprocess.Popen(docker.command("exec", self.task.main.id, "python3", "-c", program, *map(str, args)), stdout=subprocess.PIPE, text=True)
        found = self.agent.wait_finding(type, **where)
        seen = time.time()
        began = float(child.stdout.readline())
        child.stdout.close()
        child.wait(20)
        return found, self.agent.evidence(found)[0]["evidence"], seen - began


def start_alone(agent, seconds=60):
    """Only one agent on a host watches its network namespaces: another one's test may run beside this one."""
    end = time.monotonic() + seconds
    while True:
        agent.start()
        netns = wait_for(lambda: agent.health().get("netns"))
        if netns["state"] != "off":
            return
        agent.stop()
        if time.monotonic() > end:
            pytest.skip(f"DNS of namespaces is not seen: {netns['reason']}")
        time.sleep(1)


@pytest.fixture(scope="module")
def place(docker, tmp_path_factory):
    agent = Agent(tmp_path_factory.mktemp("network"), docker.socket, [docker.data])
    for name, text in LISTS.items():
        (agent.intel / name).write_text(text)
    world = World()
    resolver = task = None
    try:
        resolver = Resolver(world.pid, RESOLVER, config=NAMES)
        start_alone(agent)
        task = Task(docker, world, 0)
        task.app = task.join("python3", "-c", APP, flags=["-e", f"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI={CREDENTIALS}"])
        known = "select 1 from containers where container_id = ?"
        assert wait_for(lambda: agent.query(known, task.main.id) and agent.query(known, task.app.id))
        assert wait_for(lambda: tables_of(task.pid)), agent.text()[-2000:]
        assert wait_for(lambda: task.app.exec("cat", "/tmp/worked").startswith("x"))
        yield Place(world, task, agent)
    finally:
        if task:
            task.remove()
        agent.stop()
        if resolver:
            resolver.close()
        world.close()


# By rules on command lines: of no interest here.
ON_COMMANDS = ("Discovery:Runtime/SuspiciousCommand", "Execution:Runtime/SuspiciousTool", "Execution:Runtime/SuspiciousCommand")


def findings_of(place):
    """Of the task's containers."""
    ids = [c.id for c in place.task.containers]
    return [f for f in place.agent.findings() if f["container_id"] in ids and f["type"] not in ON_COMMANDS]


def test_ordinary_life_is_silent(place):
    """First: what the application does all the time, health checks, and a person's lookups."""
    place.task.main.exec("python3", "-c", ASK, "innocent.example.com", "1")
    for _ in range(3):
        place.task.app.exec("bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080")
        time.sleep(0.5)
    place.world.sh(f"exec 3<>/dev/tcp/{place.task.ip4}/8080", check=False)
    assert wait_for(lambda: place.task.app.exec("cat", "/tmp/worked").count("x") >= 4)
    assert findings_of(place) == []


def test_listed_name(place):
    found, e, delay = place.timed(ASK, "evil.example.com", 1, type="Backdoor:Runtime/C&CActivity.B!DNS")
    assert e["name"] == "evil.example.com" and e["list"] == "c2 (c2)" and e["result"] == "NOERROR" and e["addresses"] == ["203.0.113.166"]
    assert found["task_id"] == place.task.id and found["severity"] == "high"
    assert delay < SOON


def test_name_that_leads_to_a_listed_address(place):
    found, e, delay = place.timed(ASK, "redirected.example.com", 1, type="Trojan:Runtime/BlackholeTraffic!DNS")
    assert e["listed_address"] == "203.0.113.167" and delay < SOON


def test_listed_address(place):
    place.world.serve("203.0.113.166", 443)
    found, e, delay = place.timed(CONNECT, "203.0.113.166", 443, type="Backdoor:Runtime/C&CActivity.B")
    assert e["remote"] == "203.0.113.166:443" and e["process_known"] is True and found["exe"] == "/usr/bin/python3"
    assert e["domain"] == "evil.example.com"  # it was looked up before
    assert found["container_id"] == place.task.main.id and delay < SOON


def test_listed_address_of_ipv6_that_nobody_has(place):
    place.task.main.exec("python3", "-c", CONNECT, "2001:db8::166", "443")
    assert wait_for(lambda: [x for f in place.agent.findings(type="Backdoor:Runtime/C&CActivity.B") for x in place.agent.evidence(f)
                             if x["evidence"]["remote"] == "[2001:db8::166]:443"], 5)


def test_tor_guard(place):
    place.world.serve("203.0.113.168", 9001)
    found, e, delay = place.timed(CONNECT, "203.0.113.168", 9001, type="UnauthorizedAccess:Runtime/TorClient")
    assert e["relays_connected_to"] == 1 and delay < SOON


def test_rebinding(place):
    found, e, delay = place.timed(ASK, "chain.example.com", 1, type="UnauthorizedAccess:Runtime/MetadataDNSRebind")
    assert e["name"] == "chain.example.com" and e["address"] == "169.254.169.254" and e["aliases"] == 1
    assert delay < SOON


def test_tools_that_the_program_started_use_the_services(place):
    # a request is sent a moment after the connection was made: whose it is, is found while it lives
    place.order("for a in 169.254.169.254 169.254.170.2; do (sleep 0.5; printf 'GET / HTTP/1.0\\r\\n\\r\\n') | nc -w 2 $a 80; done")
    imds = place.agent.wait_finding("CredentialAccess:Runtime/InstanceMetadataAccess")
    assert imds["container_id"] == place.task.app.id and imds["severity"] == "medium"
    e = place.agent.evidence(imds)[0]
    assert e["evidence"]["ancestry"] == "started by a program of the task"
    assert [p["comm"] for p in e["lineage"]][:3] == ["nc", "bash", "python3"]
    task = place.agent.wait_finding("CredentialAccess:Runtime/TaskCredentialAccess")
    assert task["container_id"] == place.task.app.id and "nc" in task["exe"]


def test_removed_table(place):
    family, table = tables_of(place.task.pid)[0].split()
    place.task.sh(f"nft delete table {family} {table}")
    found = place.agent.wait_finding("DefenseEvasion:Runtime/MonitoringTampered")
    assert found["severity"] == "high" and found["comm"] == "nft"
    assert wait_for(lambda: tables_of(place.task.pid))


def test_management_port_of_the_host(place, docker):
    c = docker.run(flags=["--network=bridge"])
    try:
        assert wait_for(lambda: place.agent.query("select 1 from containers where container_id = ?", c.id))
        gateway = docker("network", "inspect", "bridge", "-f", "{{(index .IPAM.Config 0).Gateway}}")
        c.exec("python3", "-c", CONNECT, gateway, "2375")
        found = place.agent.wait_finding("LateralMovement:Runtime/HostManagementPort")
        assert found["container_id"] == c.id and json.loads(place.agent.query("select evidence from evidence where finding_id = ?", found["id"])[0]["evidence"])
    finally:
        c.remove()


def test_ordinary_life_stayed_silent(place):
    """What the application did all the time was blamed on nobody."""
    allowed = {"nc", "python3", "nft", "bash"}
    for f in findings_of(place):
        assert f["comm"] in allowed, f
    for kind in ("CredentialAccess:Runtime/InstanceMetadataAccess", "CredentialAccess:Runtime/TaskCredentialAccess"):
        assert {f["comm"] for f in place.agent.findings(type=kind)} == {"nc"}
