#!/usr/bin/env python3
"""Which process made a connection, when each is a new one that lives for less than 50 ms: against the truth that the load program tells.

TCP and UDP, IPv4 and IPv6 by turns, within the network namespace of a container (pid namespace of the host, so that the load program knows
its own pid), 100 a second, so that several run at the same time. The figure is the share of flows whose row names the right process; what is told
wrong, and what is told of the container, is printed beside it for each lifetime.
"""

import subprocess
import sys
import time

from measure import LOAD, Docker, cpu_seconds, figure, inside, is_wanted, note, settle, temporary_agent, work_dir

RULES = ("table inet ecsguard_bench { chain out { type filter hook output priority 0; ct state new counter; };"
         " chain in { type filter hook input priority 0; ct state new counter; }; }")
V4, V6, PORT = "198.51.100.1", "2001:db8::1", 7000
# name, connections, lifetime in us: from, to; first local port
MIXES = [("mix", 1000, 0, 50000, 34000), ("2 ms", 250, 2000, 2000, 35000), ("10 ms", 250, 10000, 10000, 35250), ("40 ms", 250, 40000, 40000, 35500)]

SERVER = """
import socket, sys, threading
def accept(s):
    while True:
        c = s.accept()[0]
        threading.Thread(target=lambda: (c.recv(1), c.close()), daemon=True).start()
def echo(u):
    while True:
        u.sendto(*u.recvfrom(100))
for family, address in ((socket.AF_INET, sys.argv[1]), (socket.AF_INET6, sys.argv[2])):
    s = socket.create_server((address, int(sys.argv[3])), family=family, backlog=256)
    threading.Thread(target=accept, args=(s,), daemon=True).start()
    u = socket.socket(family, socket.SOCK_DGRAM)
    u.bind((address, int(sys.argv[3])))
    threading.Thread(target=echo, args=(u,), daemon=True).start()
print('ready', flush=True)
threading.Event().wait()
"""


def rows(agent, since):
    """What is told of each flow: (proto, src, sport, dst, dport) -> (pid, container)."""
    told = {}
    for r in agent.query("select proto, src, sport, dst, dport, pid, container from flow_event where id > ? order by id", since):
        key = (r["proto"], r["src"], r["sport"], r["dst"], r["dport"])
        before = told.get(key, (None, None))
        told[key] = (r["pid"] or before[0], r["container"] or before[1])
    return told


def measure(agent, container, pid, own, name, count, least, most, first):
    since = agent.query("select max(id) m from events")[0]["m"]
    cpu = cpu_seconds(agent.process.pid)
    out = container.exec("/bin/load_owner", *map(str, (count, 10000, least, most, V4, V6, PORT, first)), check=True)
    truth = {(int(p), local, int(lport), peer, int(pport)): (int(who), int(lived)) for who, p, local, lport, peer, pport, lived in map(str.split, out.splitlines())}
    assert len(truth) == count, f"{len(truth)} of {count}"
    settle(agent)
    time.sleep(0.5)
    cpu = cpu_seconds(agent.process.pid) - cpu
    told = rows(agent, since)
    right = sum(told.get(k, (None, None))[0] == who for k, (who, _) in truth.items())
    wrong = sum(told.get(k, (None, None))[0] not in (None, who) for k, (who, _) in truth.items())
    there = sum(told.get(k, (None, None))[1] == own for k in truth)
    lived = sorted(us for _, us in truth.values())
    note(f"owner, {name}: process right {100 * right / count:.1f} %, wrong {100 * wrong / count:.1f} %, unknown {100 * (count - right - wrong) / count:.1f} %; "
         f"container right {100 * there / count:.1f} %; lived {lived[0] / 1e3:.1f} to {lived[-1] / 1e3:.1f} ms, median {lived[count // 2] / 1e3:.1f} ms; "
         f"agent CPU {cpu / count * 1e6:.0f} us for each (process, files and flow)")
    return 100 * right / count, 100 * wrong / count, 100 * there / count


def main():
    if not is_wanted("owner_process_right_pct", "owner_process_wrong_pct", "owner_container_right_pct"):
        return
    docker = Docker(work_dir())
    docker.start()
    agent = temporary_agent(docker_socket=docker.socket, layers=[docker.data])
    try:
        agent.start()
        container = docker.run(flags=("--pid=host",))
        pid = str(container.pid)
        docker("cp", str(LOAD / "load_owner"), f"{container.id}:/bin/load_owner")
        inside(pid, "sh", "-c", "for i in all lo; do echo 0 > /proc/sys/net/ipv6/conf/$i/disable_ipv6; done")
        for address in (f"{V4}/32", f"{V6}/128"):
            inside(pid, "ip", "addr", "add", address, "dev", "lo")
        inside(pid, "nft", RULES)
        container.exec("python3", "-c", SERVER, V4, V6, str(PORT), detach=True)
        time.sleep(6)
        own = agent.query("select id from container where container_id = ?", container.id)[0]["id"]
        results = [measure(agent, container, pid, own, *mix) for mix in MIXES]
        note(f"owner: health {agent.health()['owner']}")
        figure("owner_process_right_pct", results[0][0], "percent", "least", 90.0)
        figure("owner_process_wrong_pct", max(r[1] for r in results), "percent", "limit", 0.0)
        figure("owner_container_right_pct", min(r[2] for r in results), "percent", "least", 100.0)
    finally:
        agent.stop()
        docker.stop()


if __name__ == "__main__":
    main()
