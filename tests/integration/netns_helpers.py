"""ECS tasks in awsvpc shape, as the ECS agent and its CNI plugins make them, without a network of the host's:

  world    a network namespace that stands for everything outside: the bridge `vpc` (198.51.100.1/24, 203.0.113.1/24, 2001:db8::1/64, and
           169.254.169.254 for the instance metadata) and the bridge `ecs-bridge` (169.254.172.1/22) with 169.254.170.2, where a stand-in of
           the ECS agent serves credentials and task metadata. It has no way out.
  task     a pause container with Docker's network `none`, and containers joined to it with --network container:ID. `eth0` (198.51.100.10+n/24,
           2001:db8::10+n/64, default routes to the world) and `ecs-eth0` (169.254.172.10+n/22, a route to 169.254.170.2 only) are moved in:
           both ends of their veth pairs never were in the host's namespace, as an ENI that was moved away.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile

from harness import wait_for

CREDENTIALS = "/v2/credentials/0b24a1c6-4c5d-4bd1-a2b0-3c1f3a0a7f11"

# Answers every GET; one line "ADDRESS PATH" on stdout for each.
STAND_IN = """
import http.server, json, socket, sys, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print(self.client_address[0], self.path, flush=True)
        if self.path.startswith('/v2/credentials/'):
            body = {'RoleArn': 'arn:aws:iam::123456789012:role/task', 'AccessKeyId': 'ASIATEST', 'SecretAccessKey': 'not-a-secret', 'Token': 'none',
                    'Expiration': '2030-01-01T00:00:00Z'}
        else:
            body = {'path': self.path}
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    def log_message(self, *args):
        pass
class Server(http.server.ThreadingHTTPServer):
    def server_bind(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = self.server_address[0], self.server_address[1]
servers = [Server((a, 80), Handler) for a in sys.argv[1:]]
print('ready', flush=True)
for s in servers[1:]:
    threading.Thread(target=s.serve_forever, daemon=True).start()
servers[0].serve_forever()
"""

# Takes what each client sends until its end, then sends that many bytes and closes. UDP: answers each datagram with itself.
PEER = """
import socket, sys, threading
address, port, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
family = socket.AF_INET6 if ':' in address else socket.AF_INET
u = socket.socket(family, socket.SOCK_DGRAM)
u.bind((address, port))
s = socket.create_server((address, port), family=family, backlog=256)
def datagrams():
    while True:
        data, who = u.recvfrom(65536)
        u.sendto(data, who)
def client(c):
    with c:
        try:
            while c.recv(65536): pass
            c.sendall(b'y' * size)
        except OSError:
            pass
threading.Thread(target=datagrams, daemon=True).start()
print('ready', flush=True)
while True:
    threading.Thread(target=client, args=(s.accept()[0],), daemon=True).start()
"""

# Lives long enough for whoever looks for the connection's process.
CLIENT = """
import socket, sys, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
s.sendall(b'x' * int(sys.argv[3]))
time.sleep(0.5)
s.shutdown(1)
n = 0
while (d := s.recv(65536)): n += len(d)
print(n)
"""


def run(command, check=True, **options):
    done = subprocess.run(command, shell=isinstance(command, str), capture_output=True, text=True, **options)
    assert not check or done.returncode == 0, f"{command}: {done.stderr}"
    return done


class Netns:
    """A network namespace held by a sleeping process (as a pause container holds it): no name, no file."""

    def __init__(self):
        self.children = []
        self.holder = subprocess.Popen(["unshare", "-n", "sh", "-c", "ip link set lo up; echo ready; exec sleep 600"], stdout=subprocess.PIPE)
        assert self.holder.stdout.readline() == b"ready\n"
        self.pid = self.holder.pid

    def args(self, *command):
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", *map(str, command)]

    def sh(self, script, check=True):
        return run(self.args("sh", "-ec", script), check).stdout.strip()

    def popen(self, *command, **options):
        """A process in it, ended with it."""
        self.children.append(subprocess.Popen(self.args(*command), **options))
        return self.children[-1]

    def python(self, text, *args):
        """Runs a Python program in it; returns when it says "ready"."""
        child = self.popen(sys.executable, "-c", text, *args, stdout=subprocess.PIPE, text=True)
        assert child.stdout.readline() == "ready\n"
        return child

    def close(self):
        for child in [*self.children, self.holder]:
            child.kill()
        for child in [*self.children, self.holder]:
            child.wait()
            for stream in (child.stdin, child.stdout, child.stderr):
                if stream:
                    stream.close()


class World(Netns):
    """What is outside of the tasks."""

    def __init__(self):
        super().__init__()
        self.sh("ip link add vpc type bridge; ip link add ecs-bridge type bridge; ip link set vpc up; ip link set ecs-bridge up;"
                "ip addr add 198.51.100.1/24 dev vpc; ip addr add 203.0.113.1/24 dev vpc; ip addr add 169.254.169.254/32 dev vpc;"
                "ip -6 addr add 2001:db8::1/64 dev vpc nodad;"
                "ip addr add 169.254.172.1/22 dev ecs-bridge; ip addr add 169.254.170.2/32 dev ecs-bridge")
        self.log = tempfile.TemporaryFile("w+")
        self.stand_in = self.popen(sys.executable, "-c", STAND_IN, "169.254.170.2", "169.254.169.254", stdout=self.log)
        assert wait_for(lambda: "ready" in self.requests())

    def requests(self):
        """Lines "ADDRESS PATH" of all GETs that the stand-in answered."""
        self.log.seek(0)
        return self.log.read().splitlines()

    def serve(self, address, port, size=5000):
        """A TCP and UDP server (see PEER) on an address of the world's (added if it is another one of 198.51.100.0/24, 203.0.113.0/24, 2001:db8::/64)."""
        if address not in self.sh("ip -o addr").replace("/", " ").split():
            self.sh(f"ip addr add {address}/{'128 dev vpc nodad' if ':' in address else '32 dev vpc'}")
        return self.python(PEER, address, str(port), str(size))

    def close(self):
        super().close()
        self.log.close()


class Task:
    """One awsvpc task: `pause`, `main`, and `join()` for more containers."""

    def __init__(self, docker, world, number, flags=()):
        self.docker, self.world = docker, world
        self.ip4, self.ip6, self.link_local = f"198.51.100.{10 + number}", f"2001:db8::{10 + number}", f"169.254.172.{10 + number}"
        self.pause = docker.run(labels=["com.amazonaws.ecs.container-name=~internal~ecs~pause"], flags=["--network=none"])
        self.id = self.pause.task
        self.pid = self.pause.pid
        self.containers = [self.pause]
        self.wire(number)
        self.main = self.join(flags=flags)

    def wire(self, number):
        eth, ecs = f"e{number}", f"c{number}"
        self.world.sh(f"ip link add {eth} type veth peer name eth0 netns {self.pid}; ip link set {eth} master vpc up;"
                      f"ip link add {ecs} type veth peer name ecs-eth0 netns {self.pid}; ip link set {ecs} master ecs-bridge up")
        # Docker's network `none` has no IPv6
        self.sh(f"for i in eth0 lo; do echo 0 > /proc/sys/net/ipv6/conf/$i/disable_ipv6; done;"
                f"ip addr add {self.ip4}/24 dev eth0; ip -6 addr add {self.ip6}/64 dev eth0 nodad; ip link set eth0 up;"
                f"ip addr add {self.link_local}/22 dev ecs-eth0; ip link set ecs-eth0 up;"
                f"ip route add default via 198.51.100.1; ip -6 route add default via 2001:db8::1; ip route add 169.254.170.2/32 dev ecs-eth0")

    def join(self, *command, flags=(), labels=(), image="ecsguard-test:1"):
        """One more container of the task, in the pause container's network namespace."""
        container = self.docker.run(*command, flags=[f"--network=container:{self.pause.id}", *flags], labels=labels, image=image, task=self.id)
        self.containers.append(container)
        return container

    @property
    def netns(self):
        """Inode number of its network namespace."""
        return netns_of(self.pid)

    def args(self, *command):
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", *map(str, command)]

    def sh(self, script, check=True):
        """A shell script of the host in the task's network namespace (what root of the host does: no container's process)."""
        return run(self.args("sh", "-ec", script), check).stdout.strip()

    def sysctl(self, name, value=None):
        path = f"/proc/sys/net/netfilter/{name}"
        return self.sh(f"echo {value} > {path}" if value is not None else f"cat {path}")

    def connect(self, address, port, size=1000, container=None):
        """Its container sends `size` bytes to a server of World.serve() and reads the answer; returns how much that was."""
        return int((container or self.main).exec("python3", "-c", CLIENT, address, str(port), str(size), check=True))

    def remove(self):
        self.docker("rm", "-f", *[c.id for c in reversed(self.containers)])


@contextlib.contextmanager
def two_tasks(docker, flags=()):
    """A world with two tasks in it: (world, [task, task])."""
    world, tasks = World(), []
    try:
        for number in range(2):
            tasks.append(Task(docker, world, number, flags))
        yield world, tasks
    finally:
        for task in tasks:
            task.remove()
        world.close()


def netns_of(pid):
    return os.stat(f"/proc/{pid}/ns/net").st_ino


def tables_of(pid):
    """Names "family name" of all nft tables in the network namespace of a process."""
    done = run(["nsenter", f"--net=/proc/{pid}/ns/net", "nft", "-j", "list", "tables"])
    return [f"{o['table']['family']} {o['table']['name']}" for o in json.loads(done.stdout)["nftables"] if "table" in o]
