#!/usr/bin/env python3
"""20,000 DNS queries a second, all answered, in a container's network namespace: what the agent costs for each packet, and that each is in a stored
row (those beyond 500 questions and answers a second are added up in one) or a counted loss. The floor, in the same run: a program that takes the same packets from the kernel and does nothing with them.

And how long it takes from the query of a listed domain to the committed row of its finding: 99th percentile of 150 names, one every 50 ms.
"""

import json
import os
import statistics
import subprocess
import sys
import time

from measure import LOAD, Docker, cpu_seconds, figure, inside, is_wanted, note, settle, temporary_agent, wait_for, work_dir

QUERIES = 120000
RATE = 20000
NAMES = 1000
LISTED = 150
RULES = """table inet bench {
 chain o { type filter hook output priority -400; meta l4proto { udp, tcp } th dport 53 log group 3781 snaplen 2048; };
 chain i { type filter hook input priority -400; meta l4proto { udp, tcp } th sport 53 log group 3781 snaplen 2048; }; }"""


def load(pid, queries):
    """Packets that were sent: queries and their answers."""
    words = inside(pid, LOAD / "load_dns", queries, RATE, NAMES).split()
    note(f"load: {' '.join(words)}")
    return int(words[1]) + int(words[3])


def floor(pid):
    """CPU microseconds per packet of a reader that does nothing."""
    inside(pid, "nft", RULES)
    reader = subprocess.Popen(["nsenter", f"--net=/proc/{pid}/ns/net", LOAD / "load_dns", "read"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert reader.stdout.readline() == "ready\n"
    load(pid, QUERIES // 2)
    out, _ = reader.communicate()
    inside(pid, "nft", "delete table inet bench")
    note(f"floor: {out.strip()}")
    return float(out.split()[3])


def counters(agent, component):
    return json.loads(agent.health()[component]["counters"])


def threads(pid):
    """CPU seconds of each thread, by name."""
    times = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        base = f"/proc/{pid}/task/{task}"
        name = open(f"{base}/comm").read().strip()
        times[name] = times.get(name, 0) + int(open(f"{base}/schedstat").read().split()[0]) / 1e9
    return times


def told(agent):
    """Messages in rows, and rows."""
    row = agent.query("select sum(coalesce(messages, 1)) n, count(*) r from dns_event where dns_name glob '*.example.com'")[0]
    return row["n"] or 0, row["r"]


def lost(agent):
    return counters(agent, "dns")["lost"] + counters(agent, "writer")["dropped"] + counters(agent, "dns_rows")["unsummed"]


def measured(agent, pid, queries):
    """CPU microseconds per packet of the agent, and packets that are neither rows nor counted."""
    process = agent.process.pid
    time.sleep(5)  # the idle loop and health rows of the start are over
    (messages, rows), before, cpu, each = told(agent), lost(agent), cpu_seconds(process), threads(process)
    packets = load(pid, queries)
    settle(agent, timeout=60)
    cpu, each = cpu_seconds(process) - cpu, {n: t - each.get(n, 0) for n, t in threads(process).items()}
    time.sleep(6)  # until health tells, and the rows of bursts
    missed = lost(agent) - before
    messages, rows = told(agent)[0] - messages, told(agent)[1] - rows
    spent = ", ".join(f"{n} {t / packets * 1e6:.2f}" for n, t in sorted(each.items(), key=lambda x: -x[1]) if t / packets * 1e6 >= 0.01)
    note(f"agent: {packets} packets, {messages} told in {rows} rows, {missed} counted as lost; us per packet by thread: {spent}")
    return cpu / packets * 1e6, max(0, packets - messages - missed)


# Asks for each name that it reads; prints when (wall clock, ns).
ASKER = """
import socket, struct, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for line in sys.stdin:
    q = struct.pack('>6H', 7, 0x100, 1, 0, 0, 0) + b''.join(bytes([len(l)]) + l.encode() for l in line.strip().split('.')) + b'\\0\\0\\1\\0\\1'
    print(time.time_ns(), flush=True)
    s.sendto(q, ('198.51.100.53', 53))
"""


def findings(agent):
    return agent.query("select count(*) n from finding")[0]["n"]


def found_after(agent, asker, name):
    """Milliseconds until there is one finding more that others can read; None when it never comes."""
    seen, end = findings(agent), time.monotonic() + 5
    asker.stdin.write(name + "\n")
    asker.stdin.flush()
    asked = int(asker.stdout.readline())
    while time.monotonic() < end:
        if findings(agent) > seen:
            return (time.time_ns() - asked) / 1e6
        time.sleep(0.002)
    return None


def latency(agent, pid):
    asker = subprocess.Popen(["nsenter", f"--net=/proc/{pid}/ns/net", sys.executable, "-c", ASKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    times = []
    for i in range(LISTED):
        times.append(found_after(agent, asker, f"d{i:03d}.example.net"))
        time.sleep(0.05)
    asker.communicate()
    missed = times.count(None)
    times = sorted(t for t in times if t is not None)
    note(f"finding of a listed domain: p50 {statistics.median(times):.1f} ms, max {times[-1]:.1f} ms, missed {missed} of {LISTED}")
    return float("inf") if missed else times[int(len(times) * 0.99)]


def main():
    if not is_wanted("dns_cpu_us", "dns_uncounted_loss", "dns_finding_p99_ms"):
        return
    docker = Docker(work_dir())
    docker.start()
    try:
        container = docker.run()
        pid = container.pid
        inside(pid, "ip", "addr", "add", "198.51.100.53/32", "dev", "lo")
        least = floor(pid)
        agent = temporary_agent(docker_socket=docker.socket, layers=[docker.data])
        (agent.intel / "listed.txt").write_text("# category: phishing\n" + "".join(f"d{i:03d}.example.net\n" for i in range(LISTED)))
        agent.start()
        assert wait_for(lambda: load(pid, 10) and time.sleep(0.5) is None and told(agent)[1], 20), "no DNS message of the container is told"
        if is_wanted("dns_finding_p99_ms"):
            settle(agent)
            figure("dns_finding_p99_ms", latency(agent, pid), "ms", "limit", 250)
        cpu, uncounted = measured(agent, pid, QUERIES)
        agent.stop()
        container.remove()
        figure("dns_cpu_us", cpu, "us", "reader", least)
        figure("dns_uncounted_loss", uncounted, "packets", "limit", 0)
    finally:
        docker.stop()


if __name__ == "__main__":
    sys.exit(main())
