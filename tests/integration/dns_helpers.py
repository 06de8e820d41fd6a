"""A real resolver (dnsmasq) in a network namespace, questions to it, and the nft rules by which the agent hears of them."""
import os
import socket
import struct
import subprocess
import tempfile
import time

# As agent/sensors/netns_table.c makes them in every namespace.
RULES = ("add table inet t; add chain inet t o {{ type filter hook output priority -400; }}; add chain inet t i {{ type filter hook input priority -400; }};"
         "add rule inet t o meta l4proto {{ udp, tcp }} th dport 53 log group 3781 snaplen 2048;"
         "add rule inet t i meta l4proto {{ udp, tcp }} th sport 53 log group 3781 snaplen 2048").replace("{{", "{").replace("}}", "}")

CONFIG = """
no-resolv
no-hosts
user=root
bind-interfaces
pid-file=
local-ttl=300
auth-ttl=300
cache-size=0
local=/example.com/
host-record=www.example.com,198.51.100.80,2001:db8::80
cname=alias.example.com,second.example.com
cname=second.example.com,www.example.com
txt-record=txt.example.com,"v=spf1 -all"
""" + "".join(f"host-record=many.example.com,203.0.113.{i}\n" for i in range(1, 151))

A, TXT, AAAA = 1, 16, 28


def inside(pid, *command, **options):
    return subprocess.run(["nsenter", f"--net=/proc/{pid}/ns/net", *map(str, command)], check=True, capture_output=True, text=True, **options).stdout


class Resolver:
    """dnsmasq in the network namespace of a process."""

    def __init__(self, pid, *addresses, config=""):
        self.dir = tempfile.TemporaryDirectory()
        path = os.path.join(self.dir.name, "dnsmasq.conf")
        with open(path, "w") as f:
            f.write(CONFIG + config + "".join(f"listen-address={a}\n" for a in addresses))
        self.process = subprocess.Popen(["nsenter", f"--net=/proc/{pid}/ns/net", "dnsmasq", "-k", "-C", path])
        for _ in range(200):  # until it listens
            if ":0035 " in inside(pid, "cat", "/proc/net/udp", "/proc/net/udp6"):
                return
            time.sleep(0.02)
        raise AssertionError("dnsmasq does not listen")

    def close(self):
        self.process.kill()
        self.process.wait()
        self.dir.cleanup()


# ask.py SERVER NAME TYPE [tcp] [edns]: one question; prints the size and result code of the answer
ASK = """
import socket, struct, sys
server, name, kind, *how = sys.argv[1:]
q = struct.pack('>6H', 0x1234, 0x100, 1, 0, 0, int('edns' in how)) + b''.join(bytes([len(l)]) + l.encode() for l in name.split('.')) + b'\\0'
q += struct.pack('>HH', int(kind), 1) + (b'\\0' + struct.pack('>HHIH', 41, 4096, 0, 0) if 'edns' in how else b'')
family = socket.AF_INET6 if ':' in server else socket.AF_INET
s = socket.socket(family, socket.SOCK_STREAM if 'tcp' in how else socket.SOCK_DGRAM)
s.settimeout(5)
s.connect((server, 53))
if 'tcp' in how:
    s.sendall(struct.pack('>H', len(q)) + q)
    size, = struct.unpack('>H', s.recv(2, socket.MSG_WAITALL))
    a = s.recv(size, socket.MSG_WAITALL)
else:
    s.send(q)
    a = s.recv(65536)
print(len(a), a[3] & 15)
"""
