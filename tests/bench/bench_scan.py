#!/usr/bin/env python3
"""1,000 ports of one address scanned out of a task in awsvpc shape: how long after the first one there is a committed finding, and how many rows the flows
of the scan get. By nmap (SYN scan, raw packets) and by a loop in bash (a connection each). Nothing leaves the namespaces."""

import subprocess
import sys
import time

from measure import Docker, figure, is_wanted, note, settle, temporary_agent, wait_for, work_dir
from netns_helpers import two_tasks

TARGET = "203.0.113.1"
SCAN = "Discovery:Runtime/PortScan"
BASH = f"for port in {{1..1000}}; do (exec 3<>/dev/tcp/{TARGET}/$port) 2>/dev/null; done; true"


def scan(agent, task, prefix, command):
    since = agent.query("select coalesce(max(id), 0) m from events")[0]["m"]
    ids = [c.id for c in task.containers]
    start = time.monotonic()
    scanner = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    found = wait_for(lambda: [f for f in agent.findings(type=SCAN) if f["container_id"] in ids], 30, 0.01)
    seconds = time.monotonic() - start
    scanner.wait()
    took = time.monotonic() - start
    if not found:
        sys.exit("no finding")
    settle(agent, timeout=30)
    n = len([f for f in agent.findings(type=SCAN) if f["container_id"] in ids])
    rows = agent.query("select count(*) n from flow_event where id > ? and dst = ?", since, TARGET)[0]["n"]
    note(f"{prefix}: finding after {seconds * 1000:.0f} ms, the scan took {took * 1000:.0f} ms; {n} finding(s), {rows} rows of flows")
    figure(f"{prefix}_finding_ms", seconds * 1000, "ms", "limit", 2000)
    figure(f"{prefix}_rows", rows, "rows")


def main():
    if not is_wanted("scan_finding_ms", "scan_rows", "scan_bash_finding_ms", "scan_bash_rows"):
        return
    docker = Docker(work_dir())
    docker.start()
    try:
        agent = temporary_agent(docker_socket=docker.socket, layers=[docker.data])
        agent.start()
        with two_tasks(docker) as (_, (one, other)):
            for task in (one, other):
                wait_for(lambda: "ct status" in task.sh("nft list table inet ecsguard", check=False), 10)
            scan(agent, one, "scan", one.args("nmap", "-n", "-Pn", "-sS", "--max-retries", "1", "-p1-1000", TARGET))
            scan(agent, other, "scan_bash", docker.command("exec", other.main.id, "bash", "-c", BASH))
        agent.stop()
    finally:
        docker.stop()


if __name__ == "__main__":
    main()
