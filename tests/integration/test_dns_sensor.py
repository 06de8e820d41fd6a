"""The DNS sensor against the real kernel: network namespaces of our own, a real resolver in them. Needs root, nft, dnsmasq."""
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

from dns_helpers import A, AAAA, ASK, RULES, TXT, Resolver, inside

BUILD = pathlib.Path(os.environ.get("ECSGUARD_BUILD", pathlib.Path(__file__).parents[2] / "build"))
PROBE = BUILD / "tests/integration/dns_probe"

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not PROBE.exists(), reason=f"{PROBE} is not built"),
    pytest.mark.skipif(not all(map(shutil.which, ("ip", "nft", "dnsmasq"))), reason="needs ip, nft and dnsmasq"),
]


class Netns:
    """A network namespace held by a sleeping process, with our rules, two addresses and a resolver."""

    def __init__(self):
        self.holder = subprocess.Popen(["unshare", "-n", "sh", "-c", "ip link set lo up; echo ready; exec sleep 600"], stdout=subprocess.PIPE)
        assert self.holder.stdout.readline() == b"ready\n"
        self.pid = self.holder.pid
        inside(self.pid, "sh", "-ec", "ip addr add 198.51.100.53/24 dev lo; ip -6 addr add 2001:db8::53/64 dev lo nodad")
        inside(self.pid, "nft", RULES)
        self.resolver = Resolver(self.pid, "198.51.100.53", "2001:db8::53")

    def ask(self, server, name, kind, *how, uid=0):
        out = inside(self.pid, "setpriv", "--reuid", uid, "--clear-groups", sys.executable, "-c", ASK, server, name, kind, *how)
        return [int(n) for n in out.split()]

    def close(self):
        self.resolver.close()
        self.holder.kill()
        self.holder.wait()


class Probe:
    def __init__(self, *places):
        self.process = subprocess.Popen([PROBE, *places], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.queue, self.seen = queue.Queue(), []
        assert self.process.stdout.readline() == "ready\n"
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.queue.put(json.loads(line))

    def collect(self, seconds=0.2):
        """What came until it was silent that long, as (op, type, name, records)."""
        new = []
        while True:
            try:
                new.append(self.queue.get(timeout=seconds))
            except queue.Empty:
                self.seen += new
                return new

    def close(self):
        """Its counters."""
        self.process.stdin.close()
        assert self.process.wait(10) == 0
        self.collect()
        return next(e for e in self.seen if e["kind"] == "stats")


@pytest.fixture
def netns():
    n = Netns()
    yield n
    n.close()


@pytest.fixture
def probe(netns):
    p = Probe(f"{netns.pid}:7")
    yield p
    if p.process.poll() is None:
        p.close()


def test_question_and_answer(netns, probe):
    netns.ask("198.51.100.53", "alias.example.com", A, uid=1234)
    query, answer = probe.collect()
    assert (query["dns_op"], query["dns_name"], query["dns_type"], query["uid"], query["nsid"]) == ("query", "alias.example.com", A, 1234, 7)
    assert query["netns"] == os.stat(f"/proc/{netns.pid}/ns/net").st_ino
    assert answer["dns_answers"] == ["alias.example.com CNAME 300 second.example.com", "second.example.com CNAME 300 www.example.com",
                                     "www.example.com A 300 198.51.100.80"]
    for e in (query, answer):  # the client is the source of both
        assert (e["dst"], e["dport"], e["sport"], e["dns_id"]) == ("198.51.100.53", 53, query["sport"], 0x1234)
    assert "uid" not in answer and answer["dns_rcode"] == 0
    netns.ask("198.51.100.53", "nothere.example.com", A)
    assert [e.get("dns_rcode") for e in probe.collect()] == [None, 3]
    assert probe.close()["malformed"] == 0


@pytest.mark.parametrize("how", [[], ["tcp"]])
def test_ipv6(netns, probe, how):
    netns.ask("2001:db8::53", "www.example.com", AAAA, *how)
    query, answer = probe.collect()
    assert query["src"] == "2001:db8::53" and query["proto"] == (6 if how else 17)
    assert answer["dns_answers"] == ["www.example.com AAAA 300 2001:db8::80"]


def test_large_answers(netns, probe):
    """150 addresses: cut over plain UDP, 74 fit into what dnsmasq gives with EDNS, all come over TCP, of which we read the first 2 KiB."""
    size, _ = netns.ask("198.51.100.53", "many.example.com", A)
    answer = probe.collect()[1]
    assert size <= 512 and answer["dns_truncated"] and answer["dns_size"] == size
    size, _ = netns.ask("198.51.100.53", "many.example.com", A, "edns")
    answer = probe.collect()[1]
    assert 1000 < size <= 1232 and len(answer["dns_answers"]) == 74
    size, _ = netns.ask("198.51.100.53", "many.example.com", A, "tcp")
    answer = probe.collect()[1]
    assert size > 2400 and answer["dns_size"] == size and 100 < len(answer["dns_answers"]) < 150 and answer["dns_truncated"]
    assert probe.close()["malformed"] == 0


def test_what_is_no_dns(netns, probe):
    script = ("import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
              "for m in (b'', b'x', b'GET / HTTP/1.0\\r\\n\\r\\n', bytes(40), b'\\xff' * 500): s.sendto(m, ('198.51.100.53', 53))\n"
              "s.sendto(b'hello', ('198.51.100.53', 5353))")
    inside(netns.pid, sys.executable, "-c", script)
    assert [e for e in probe.collect() if e["dns_op"] == "query"] == []  # dnsmasq answers one of them with REFUSED
    assert probe.close()["malformed"] == 5


def test_a_busy_namespace_does_not_delay_a_quiet_one(netns):
    """Packets of a flood are gathered by the kernel; a single question elsewhere is told at once."""
    quiet = Netns()
    probe = Probe(f"{netns.pid}:7", f"{quiet.pid}:8")
    flood = subprocess.Popen(["nsenter", f"--net=/proc/{netns.pid}/ns/net", sys.executable, "-c", FLOOD, "10000", "5000"])
    time.sleep(0.5)
    started = time.monotonic()
    quiet.ask("198.51.100.53", "txt.example.com", TXT)
    flood.wait()
    probe.collect()
    assert time.monotonic() - started < 10
    mine = [e for e in probe.seen if e.get("nsid") == 8]
    assert [e["dns_op"] for e in mine] == ["query", "answer"]
    probe.close()
    quiet.close()


# FLOOD N PER_SECOND: questions, each with its own name, to where nobody answers
FLOOD = """
import socket, struct, sys, time
n, rate = int(sys.argv[1]), int(sys.argv[2])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
start = time.monotonic()
for i in range(n):
    q = struct.pack('>6H', i & 0xffff, 0x100, 1, 0, 0, 0) + b'\\x08%08d' % i + b'\\7example\\3com\\0\\0\\1\\0\\1'
    s.sendto(q, ('198.51.100.99', 53))
    ahead = start + i / rate - time.monotonic()
    if ahead > 0.002: time.sleep(ahead)
"""


def test_a_flood_is_told_or_counted(netns):
    inside(netns.pid, "ip", "addr", "add", "198.51.100.99/32", "dev", "lo")
    probe = subprocess.Popen([PROBE, "-q", f"{netns.pid}:7"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert probe.stdout.readline() == "ready\n"
    inside(netns.pid, sys.executable, "-c", FLOOD, 20000, 20000)
    probe.send_signal(signal.SIGSTOP)  # nobody reads: the kernel must drop
    inside(netns.pid, sys.executable, "-c", FLOOD, 40000, 100000)
    probe.send_signal(signal.SIGCONT)
    time.sleep(1.5)  # it catches up
    inside(netns.pid, sys.executable, "-c", FLOOD, 100, 100000)  # what the gap is, is known from here on
    time.sleep(0.3)
    out, _ = probe.communicate()
    stats = json.loads(out)
    assert stats["queries"] + stats["lost"] == 60100 and stats["lost"] > 10000 and stats["told_lost"] == stats["lost"]


def test_only_one_socket_has_the_group(netns, probe):
    other = subprocess.run([PROBE, f"{netns.pid}:7"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert other.returncode == 1 and "busy" in other.stderr.lower()
