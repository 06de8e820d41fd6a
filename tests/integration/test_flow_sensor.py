"""The flow sensor, nsid lookup and socket owner lookups against the real kernel: network namespaces of our own, 198.51.100.0/24,
203.0.113.0/24 and 2001:db8::/32 in them. Needs root, ip, nft, nc."""
import json
import os
import pathlib
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

BUILD = pathlib.Path(os.environ.get("ECSGUARD_BUILD", pathlib.Path(__file__).parents[2] / "build"))
PROBE = BUILD / "tests/integration/flow_probe"
BENCH = BUILD / "tests/bench/load_flow"

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not PROBE.exists(), reason=f"{PROBE} is not built"),
    pytest.mark.skipif(not all(map(shutil.which, ("ip", "nft"))), reason="needs ip and nft"),
]

TRACK = ("add table inet t; add chain inet t o {{ type filter hook {hook} priority 0; }}; "
         "add rule inet t o ct state new counter")


def run(command, check=True):
    return subprocess.run(command, shell=isinstance(command, str), check=check, capture_output=True, text=True)


class Netns:
    """A network namespace held by a sleeping process (as a pause container holds it): no name, no file."""

    def __init__(self):
        self.holder = subprocess.Popen(["unshare", "-n", "sh", "-c", "ip link set lo up; echo ready; exec sleep 600"],
                                       stdout=subprocess.PIPE)
        assert self.holder.stdout.readline() == b"ready\n"
        self.pid = self.holder.pid

    def args(self, *command):
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", *map(str, command)]

    def run(self, command, check=True):
        return run(self.args("sh", "-c", command), check)

    def popen(self, *command, **options):
        return subprocess.Popen(self.args(*command), **options)

    def python(self, text, *args, **options):
        return self.popen(sys.executable, "-c", text, *args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options)

    def track(self, hook="output"):
        self.run(f"nft '{TRACK.format(hook=hook)}'")

    def sysctl(self, name, value=None):
        path = f"/proc/sys/net/netfilter/{name}"
        return self.run(f"echo {value} > {path}" if value is not None else f"cat {path}").stdout.strip()

    def close(self):
        self.holder.kill()
        self.holder.wait()


class Probe:
    """flow_probe events in a namespace."""

    def __init__(self, netns, *options):
        self.process = netns.popen(PROBE, "events", *options, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.queue = queue.Queue()
        self.seen = []
        threading.Thread(target=self.read, daemon=True).start()
        self.opened = self.queue.get(timeout=30)

    def read(self):
        for line in self.process.stdout:
            self.queue.put(json.loads(line))

    def go(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def collect(self, seconds=0.3):
        """What came until it was silent that long."""
        while True:
            try:
                self.seen.append(self.queue.get(timeout=seconds))
            except queue.Empty:
                return self.seen

    def flows(self, seconds=0.3, **want):
        self.collect(seconds)
        return [e for e in self.seen if e["kind"] == "flow" and all(e.get(k) == v for k, v in want.items())]

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(timeout=30) == 0
        time.sleep(0.1)
        self.collect(0.1)
        return next((e for e in reversed(self.seen) if e["kind"] == "stats"), None)


@pytest.fixture
def made():
    things = []

    def make(cls, *args):
        things.append(cls(*args))
        return things[-1]
    yield make
    for thing in reversed(things):
        thing.close()


CLIENT = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
s.sendall(b'x' * int(sys.argv[3]))
s.shutdown(1)
while s.recv(65536): pass
"""
SERVER = """
import socket, sys
f = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
s = socket.create_server((sys.argv[1], int(sys.argv[2])), family=f)
print('ready', flush=True)
while True:
    c, _ = s.accept()
    while c.recv(65536): pass
    c.sendall(b'y' * 5000)
    c.close()
"""


class Server:
    def __init__(self, netns, address, port):
        self.process = netns.python(SERVER, address, str(port))
        assert self.process.stdout.readline() == "ready\n"

    def close(self):
        self.process.kill()
        self.process.wait()


def connect(netns, address, port, size=1000):
    run(netns.args(sys.executable, "-c", CLIENT, address, port, size))


def flush(netns):
    netns.run("conntrack -F")


def link(a, b, address_a, address_b, name_a="eth0", name_b="eth0"):
    """A veth pair between two namespaces."""
    a.run(f"ip link add {name_a} type veth peer name {name_b} netns /proc/{b.pid}/ns/net", check=False)
    if a.run(f"ip link show {name_a}", check=False).returncode:
        a.run(f"ip link add {name_a} type veth peer name {name_b} netns {b.pid}")
    for ns, name, addresses in ((a, name_a, address_a), (b, name_b, address_b)):
        for address in addresses:
            ns.run(f"ip addr add {address} dev {name} {'nodad' if ':' in address else ''}")
        ns.run(f"ip link set {name} up")


@pytest.fixture
def host(made):
    """A namespace that plays the host's: it tracks, and it does nothing else."""
    ns = made(Netns)
    ns.run("ip addr add 198.51.100.1/32 dev lo; ip addr add 2001:db8::1/128 dev lo nodad")
    ns.track()
    return ns


@pytest.mark.parametrize("address,other", [("198.51.100.1", "127.0.0.1"), ("2001:db8::1", "::1")])
def test_tcp_flow_from_new_to_end(made, host, address, other):
    probe = made(Probe, host)
    assert probe.opened["state"] == "ok"
    made(Server, host, address, 8080)
    connect(host, address, 8080, 1000)
    flush(host)
    flows = probe.flows(dport=8080)
    assert [f["phase"] for f in flows][0] == "new" and flows[-1]["phase"] == "end"
    assert len({f["flow_id"] for f in flows}) == 1
    for f in flows:
        assert (f["proto"], f["src"], f["dst"], f["nsid"]) == (6, address, address, -1)
        assert (f["reply_src"], f["reply_sport"], f["reply_dst"], f["reply_dport"]) == (address, 8080, address, f["sport"])
    assert "update" in [f["phase"] for f in flows]
    assert 1000 < flows[-1]["bytes_out"] < 2500 and 5000 < flows[-1]["bytes_in"] < 6500
    assert flows[-1]["packets_out"] >= 4
    assert flows[0]["tcp_state"] == 2
    stats = probe.close()
    assert stats["lost"] == 0 and stats["malformed"] == 0


def test_udp_and_icmp(made, host):
    probe = made(Probe, host)
    host.run(f"""{sys.executable} -c '
import socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("198.51.100.1", 4000)); s.sendto(b"x", ("198.51.100.1", 4001))
r = socket.socket(socket.AF_INET, socket.SOCK_RAW, 1); b = struct.pack(">BBHHH", 8, 0, 0, 7, 1)
r.sendto(struct.pack(">BBHHH", 8, 0, 0xffff - 0x0800 - 8, 7, 1), ("198.51.100.1", 0))'""")
    udp = probe.flows(proto=17)
    assert (udp[0]["sport"], udp[0]["dport"]) == (4000, 4001)
    icmp = probe.flows(proto=1, sport=7)
    assert icmp[0]["dport"] == 8 << 8


def test_nat_both_tuples(made, host):
    host.run("nft 'add table ip n; add chain ip n o { type nat hook output priority -100; }; "
             "add chain ip n p { type nat hook postrouting priority 100; }; "
             "add rule ip n o ip daddr 203.0.113.9 tcp dport 80 dnat to 198.51.100.1:8080; "
             "add rule ip n p tcp dport 8080 snat to 198.51.100.77'")
    host.run("ip route add 203.0.113.0/24 dev lo; ip addr add 198.51.100.77/32 dev lo")
    probe = made(Probe, host)
    made(Server, host, "198.51.100.1", 8080)
    connect(host, "203.0.113.9", 80)
    new = probe.flows(phase="new", dport=80)[0]
    assert new["dst"] == "203.0.113.9"
    assert (new["reply_src"], new["reply_sport"]) == ("198.51.100.1", 8080)
    assert new["reply_dst"] == "198.51.100.77"


def test_loopback_can_be_left_out(made, host):
    probe = made(Probe, host, "-L")
    made(Server, host, "127.0.0.1", 8080)
    made(Server, host, "198.51.100.1", 8081)
    connect(host, "127.0.0.1", 8080)
    connect(host, "198.51.100.1", 8081)
    assert probe.flows(dport=8081) and not probe.flows(dport=8080)


def test_switches_are_restored(made, host):
    host.sysctl("nf_conntrack_acct", 0)
    host.sysctl("nf_conntrack_events", 0)
    probe = made(Probe, host)
    assert host.sysctl("nf_conntrack_acct") == "1" and host.sysctl("nf_conntrack_events") == "1"
    probe.close()
    assert host.sysctl("nf_conntrack_acct") == "0" and host.sysctl("nf_conntrack_events") == "0"
    host.sysctl("nf_conntrack_acct", 1)
    probe = made(Probe, host)
    probe.close()
    assert host.sysctl("nf_conntrack_acct") == "1"


def test_says_when_nothing_tracks(made):
    ns = made(Netns)
    probe = made(Probe, ns)
    assert probe.opened["state"] == "degraded"
    assert "tracks connections" in probe.opened["reason"]
    ns.track()
    ns.run("ip addr add 198.51.100.1/32 dev lo")
    made(Server, ns, "127.0.0.1", 8080)
    made(Server, ns, "::1", 8080)
    connect(ns, "127.0.0.1", 8080)
    connect(ns, "::1", 8080)
    assert probe.flows(dport=8080)
    assert probe.close()["state"] == "ok"
    assert not [f for f in probe.seen if f.get("phase") == "end"]  # nothing left of the question at open


def test_existing_flows_are_told_at_open(made, host):
    host.run(f"""{sys.executable} -c 'import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for p in range(300): s.sendto(b"x", ("198.51.100.1", 7000 + p))'""")
    probe = made(Probe, host)
    flows = probe.flows(phase="update", proto=17)
    assert {f["dport"] for f in flows} == set(range(7000, 7300))
    assert probe.close()["resyncs"] == 0


def test_not_permitted_is_off_with_a_reason(made, host):
    p = host.popen("setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", PROBE, "events", stdin=subprocess.DEVNULL,
                   stdout=subprocess.PIPE, text=True)
    out = json.loads(p.communicate(timeout=30)[0].splitlines()[0])
    assert p.returncode == 2 and out["state"] == "off" and "CAP_NET_ADMIN" in out["reason"]


def test_without_net_broadcast_only_the_own_namespace(made, host):
    p = host.popen("setpriv", "--bounding-set=-net_broadcast", "--inh-caps=-net_broadcast", PROBE, "events", stdin=subprocess.DEVNULL,
                   stdout=subprocess.PIPE, text=True)
    out = json.loads(p.communicate(timeout=30)[0].splitlines()[0])
    assert out["state"] == "degraded" and "CAP_NET_BROADCAST" in out["reason"]


# ---- several namespaces ----

@pytest.fixture
def bridged(made, host):
    """A container behind the host, and a machine behind that: container 203.0.113.2, outside 198.51.100.7."""
    container, outside = made(Netns), made(Netns)
    link(host, container, ["203.0.113.1/24", "2001:db8:1::1/64"], ["203.0.113.2/24", "2001:db8:1::2/64"], "vc")
    link(host, outside, ["198.51.100.6/24", "2001:db8:2::1/64"], ["198.51.100.7/24", "2001:db8:2::7/64"], "vo")
    host.run("sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
    host.run("nft 'add chain inet t f { type filter hook forward priority 0; }; add rule inet t f ct state new counter'")
    container.run("ip route add default via 203.0.113.1; ip -6 route add default via 2001:db8:1::1")
    outside.run("ip route add 203.0.113.0/24 via 198.51.100.6; ip -6 route add default via 2001:db8:2::1")
    return host, container, outside


def nsid_of(host, netns, assign=False):
    out = json.loads(run(host.args(PROBE, "nsid", netns.pid, *(["assign"] if assign else []))).stdout)
    assert out["result"] == 0
    assert out["inode"] == os.stat(f"/proc/{netns.pid}/ns/net").st_ino
    return out["nsid"]


@pytest.mark.parametrize("address", ["198.51.100.7", "2001:db8:2::7"])
@pytest.mark.parametrize("acct", [0, 1])
def test_outbound_flow_is_told_once(made, bridged, address, acct):
    host, container, outside = bridged
    container.track()
    container.sysctl("nf_conntrack_acct", acct)
    if ":" not in address:
        host.run("nft 'add table ip n; add chain ip n p { type nat hook postrouting priority 100; }; "
                 "add rule ip n p ip saddr 203.0.113.0/24 masquerade'")
    nsid = nsid_of(host, container, assign=True)
    assert nsid >= 0
    made(Server, outside, address, 8080)
    probe = made(Probe, host)
    connect(container, address, 8080, 1000)
    flush(container)
    time.sleep(0.2)
    flush(host)
    flows = probe.flows(dport=8080)
    assert [f["phase"] for f in flows].count("new") == 1
    assert {f["nsid"] for f in flows} == {nsid} and len({f["flow_id"] for f in flows}) == 1
    ends = [f for f in flows if f["phase"] == "end"]
    counted = [f for f in ends if "bytes_out" in f]
    assert len(counted) == 1 and 1000 < counted[0]["bytes_out"] < 2500 and counted[0]["bytes_in"] > 5000
    assert len(ends) == (1 if acct else 2)
    assert probe.close()["dropped"] >= 1


def test_inbound_behind_nat_is_one_flow(made, bridged):
    host, container, outside = bridged
    container.track("input")
    host.run("nft 'add table ip n; add chain ip n o { type nat hook prerouting priority -100; }; "
             "add rule ip n o ip daddr 198.51.100.6 tcp dport 80 dnat to 203.0.113.2:8080'")
    nsid = nsid_of(host, container, assign=True)
    made(Server, container, "203.0.113.2", 8080)
    probe = made(Probe, host)
    connect(outside, "198.51.100.6", 80)
    flush(host)
    time.sleep(0.2)
    flush(container)
    flows = [f for f in probe.flows() if f["proto"] == 6]
    assert [f["phase"] for f in flows].count("new") == 1
    assert len({f["flow_id"] for f in flows}) == 1
    assert (flows[0]["dst"], flows[0]["reply_src"], flows[0]["nsid"]) == ("198.51.100.6", "203.0.113.2", -1)
    assert {f["nsid"] for f in flows[1:]} == {nsid}
    counted = [f for f in flows if f["phase"] == "end" and "bytes_out" in f]
    assert len(counted) == 1 and counted[0]["bytes_out"] > 1000


def test_awsvpc_shape_needs_a_number(made, host):
    """A namespace that the host never met: no nsid, no flows; assigned, they come."""
    task = made(Netns)
    task.track()
    task.run("ip addr add 203.0.113.9/32 dev lo")
    made(Server, task, "203.0.113.9", 8080)
    assert nsid_of(host, task) == -2
    assert nsid_of(host, host) == -1
    probe = made(Probe, host)
    connect(task, "203.0.113.9", 8080)
    assert not probe.flows(dport=8080)
    nsid = nsid_of(host, task, assign=True)
    assert nsid >= 0 and nsid_of(host, task, assign=True) == nsid
    connect(task, "203.0.113.9", 8080)
    assert {f["nsid"] for f in probe.flows(dport=8080)} == {nsid}
    gone = run(host.args(PROBE, "nsid", 4194304)).stdout
    assert json.loads(gone)["result"] < 0


FORGE = """
import socket, struct, sys
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
s.bind((0, 0))
tuple_ = bytes.fromhex(sys.argv[1])
message = struct.pack('=IHHIIBBH', 20 + len(tuple_), 0x100, 0x400, 0, 0, 2, 0, 0) + tuple_
for i in range(5):
    s.sendto(message, (0, 1))
    s.sendto(b'garbage', (0, 1))
"""


def test_forged_and_malformed_datagrams_are_refused(made, bridged):
    """Root of a container can multicast to conntrack's group; only the kernel is believed."""
    host, container, _ = bridged
    sample = (pathlib.Path(__file__).parents[1] / "fixtures/ct/tcp4_0.bin").read_bytes()[20:]
    assert nsid_of(host, container, assign=True) >= 0
    probe = made(Probe, host)
    for ns in (container, host):
        run(ns.args(sys.executable, "-c", FORGE, sample.hex()))
    made(Server, host, "198.51.100.1", 8090)
    connect(host, "198.51.100.1", 8090)
    assert probe.flows(dport=8090)
    assert not probe.flows(dport=8081)
    assert probe.close()["malformed"] == 20


# ---- loss ----

def test_full_socket_is_counted_exactly_and_resynced(made, host):
    probe = made(Probe, host, "-b", "20000", "-w")
    n = 2000
    host.run(f"""{sys.executable} -c 'import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("198.51.100.1", 3000))
for p in range({n}): s.sendto(b"x", ("198.51.100.1", 7000 + p))'""")
    assert int(host.sysctl("nf_conntrack_count")) >= n
    probe.go()
    probe.collect(1)
    news = {f["dport"] for f in probe.flows(phase="new", proto=17, sport=3000)}
    updates = {f["dport"] for f in probe.flows(phase="update", proto=17, sport=3000)}
    stats = probe.close()
    assert 0 < len(news) < n
    assert stats["lost"] == n - len(news)  # the kernel's own count: nothing uncounted
    assert stats["overflows"] >= 1
    assert news | updates == set(range(7000, 7000 + n))
    losses = [e for e in probe.seen if e["kind"] == "loss"]
    assert sum(e["count"] for e in losses) == stats["lost"] and "full" in losses[0]["reason"]


def test_loss_later_causes_a_resync(made, host):
    probe = made(Probe, host, "-b", "8000")
    probe.collect(0.3)
    host.run(f"""{sys.executable} -c 'import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("198.51.100.1", 3000))
for p in range(5000): s.sendto(b"x", ("198.51.100.1", 7000 + p))'""")
    deadline = time.time() + 15  # resyncs are 10 s apart; the first was at open
    seen = set()
    while time.time() < deadline and len(seen) < 5000:
        seen = {f["dport"] for f in probe.flows(seconds=0.5, sport=3000)}
    stats = probe.close()
    assert stats["lost"] > 0 and stats["resyncs"] == 1
    assert len(seen) == 5000


@pytest.mark.skipif(not BENCH.exists(), reason=f"{BENCH} is not built")
def test_20000_flows_a_second_without_uncounted_loss():
    out = run([BENCH, "40000", "20000"]).stdout
    assert "bench: flow_sensor_uncounted_loss 0 events" in out, out


# ---- who owns a socket ----

def ask(ns, *args):
    lines = [json.loads(line) for line in run(ns.args(PROBE, *args)).stdout.splitlines()]
    return lines


@pytest.mark.parametrize("address", ["198.51.100.1", "2001:db8::1"])
def test_sockets_and_owner_of_python(made, host, address):
    family = "socket.AF_INET6" if ":" in address else "socket.AF_INET"
    p = host.python(f"""
import socket, sys
l = socket.create_server(('{address}', 9000), family={family})
c = socket.create_connection(('{address}', 9000))
a, _ = l.accept()
u = socket.socket({family}, socket.SOCK_DGRAM); u.bind(('{address}', 9001))
x = socket.socket(socket.AF_UNIX)
print(c.getsockname()[1], flush=True)
sys.stdin.read()
""")
    other = host.python("print('ready', flush=True); input()")
    other.stdout.readline()
    try:
        port = int(p.stdout.readline())
        *sockets, result = ask(host, "sockets", p.pid)
        assert result["result"] == 4 and len(sockets) == 4
        by = {(s["proto"], s["lport"], s["pport"]): s for s in sockets}
        assert by[6, 9000, 0]["listening"] and by[6, 9000, 0]["tcp_state"] == 10
        client = by[6, port, 9000]
        assert (client["local"], client["peer"], client["tcp_state"], client["listening"]) == (address, address, 1, False)
        assert by[17, 9001, 0]["local"] == address and by[17, 9001, 0]["peer"] == ""
        assert by[6, 9000, port]["peer"] == address
        for proto, lport, pport in ((6, port, 9000), (6, 9000, port), (17, 9001, 53), (6, 9000, 55)):
            answer = ask(host, "owner", host.pid, proto, address, lport, address, pport, other.pid, p.pid)[0]
            assert answer == {"result": 1, "pid": p.pid}
        # also without a hint
        assert ask(host, "owner", host.pid, 6, address, port, address, 9000, other.pid)[0] == {"result": 1, "pid": p.pid}
        assert ask(host, "owner", host.pid, 6, address, 1, address, 9000, p.pid)[0] == {"result": 0, "pid": 0}
        assert ask(host, "owner", host.pid, 17, address, 9000, "-", 0, p.pid)[0] == {"result": 0, "pid": 0}
        assert ask(host, "owner", os.getpid(), 6, address, port, address, 9000, p.pid)[0] == {"result": 0, "pid": 0}
    finally:
        for process in (p, other):
            process.kill()
            process.wait()
    assert ask(host, "sockets", p.pid)[-1]["result"] < 0


def test_owner_of_an_inherited_socket(made, host):
    """Of several processes that hold it, the one that was there first; the one left when that has ended."""
    p = host.python("""
import os, socket, sys, time
l = socket.create_server(('198.51.100.1', 9000))
c = socket.create_connection(('198.51.100.1', 9000))
time.sleep(0.05)
child = os.fork()
if child == 0:
    time.sleep(30)
    os._exit(0)
print(c.getsockname()[1], child, flush=True)
sys.stdin.read()
""")
    port, child = map(int, p.stdout.readline().split())
    question = ("owner", host.pid, 6, "198.51.100.1", port, "198.51.100.1", 9000)
    try:
        assert ask(host, *question, child, p.pid)[0] == {"result": 1, "pid": p.pid}
        p.kill()
        p.wait()
        assert ask(host, *question, p.pid)[0] == {"result": 1, "pid": child}
    finally:
        os.kill(child, signal.SIGKILL)


def test_owner_among_sockets_that_share_a_port(made, host):
    """A lookup gives any of them: then nobody is named."""
    program = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
s.bind(('198.51.100.1', 9050))
print('ready', flush=True)
sys.stdin.read()
"""
    first = host.python(program)
    first.stdout.readline()
    question = ("owner", host.pid, 17, "198.51.100.1", 9050, "198.51.100.1", 53)
    second = None
    try:
        assert ask(host, *question)[0] == {"result": 1, "pid": first.pid}
        second = host.python(program)
        second.stdout.readline()
        assert ask(host, *question)[0] == {"result": 0, "pid": 0}
    finally:
        for process in filter(None, (first, second)):
            process.kill()
            process.wait()


@pytest.mark.skipif(not shutil.which("nc"), reason="needs nc")
def test_owner_of_nc_seen_from_outside_its_namespace(made, host):
    here = made(Netns)
    server = host.popen("nc", "-l", "198.51.100.1", "9100", stdin=subprocess.DEVNULL)
    time.sleep(0.3)
    client = host.popen("nc", "198.51.100.1", "9100", stdin=subprocess.PIPE)
    time.sleep(0.3)
    try:
        *sockets, _ = ask(here, "sockets", client.pid)
        mine = next(s for s in sockets if s["pport"] == 9100)
        assert mine["tcp_state"] == 1
        for lport, pport, owner in ((mine["lport"], 9100, client.pid), (9100, mine["lport"], server.pid)):
            answer = ask(here, "owner", host.pid, 6, "198.51.100.1", lport, "198.51.100.1", pport, server.pid, client.pid)[0]
            assert answer == {"result": 1, "pid": owner}
    finally:
        for process in (server, client):
            process.kill()
            process.wait()
