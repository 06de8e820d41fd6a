#!/usr/bin/env python3
"""20,000 new flows a second in a container: every one is a stored event or a counted loss.

The flows are UDP packets to distinct ports of an address bound in the container's own network namespace, where a rule switches tracking on;
they do not leave it.
"""

import json
import subprocess
import sys
import tempfile
import time

from measure import Docker, cpu_seconds, figure, is_wanted, note, settle, temporary_agent

FLOWS = 200000
RATE = 20000
RULES = "table ip ecsguard_bench { chain out { type filter hook output priority 0; ct state new counter; }; chain in { type filter hook input priority 0; ct state new counter; }; }"

MAKER = """
import socket, sys, time
n, rate = int(sys.argv[1]), int(sys.argv[2])
s, start, made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), time.monotonic(), 0
for i in range(n):
    if i % 50000 == 0:
        s.close()
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        s.sendto(b'x', ('198.51.100.%d' % (1 + i // 50000), 10000 + i % 50000))
        made += 1
    except OSError:
        pass
    ahead = start + i / rate - time.monotonic()
    if ahead > 0.002:
        time.sleep(ahead)
print(made, time.monotonic() - start)
"""


def counters(agent, component):
    return json.loads(agent.health()[component]["counters"])


def inside(pid, *command):
    return subprocess.run(["nsenter", f"--net=/proc/{pid}/ns/net", *command], check=True, capture_output=True, text=True).stdout


def main():
    if not is_wanted("flows_uncounted_loss"):
        return
    docker = Docker(tempfile.mkdtemp(prefix="ecsguard-bench-"))
    docker.start()
    try:
        agent = temporary_agent(docker_socket=docker.socket, layers=[docker.data])
        agent.start()
        container = docker.run()
        time.sleep(2)
        pid = str(container.pid)
        for i in range(1, 6):
            inside(pid, "ip", "addr", "add", f"198.51.100.{i}/32", "dev", "lo")
        inside(pid, "nft", RULES)
        time.sleep(6)
        since = agent.query("select max(id) m from events")[0]["m"]
        before, cpu = {c: counters(agent, c) for c in ("flow", "writer")}, cpu_seconds(agent.process.pid)
        made, seconds = inside(pid, sys.executable, "-c", MAKER, str(FLOWS), str(RATE)).split()
        settle(agent, timeout=60)
        time.sleep(6)
        after, cpu = {c: counters(agent, c) for c in ("flow", "writer")}, cpu_seconds(agent.process.pid) - cpu
        told = agent.query("select count(*) n from flow_event where id > ? and phase = 1 and dst like '198.51.100.%'", since)[0]["n"]
        lost = after["flow"]["lost"] - before["flow"]["lost"] + after["writer"]["dropped"] - before["writer"]["dropped"]
        note(f"flows: {made} at {int(made) / float(seconds):.0f}/s, told {told}, counted as lost {lost}, agent CPU {cpu / int(made) * 1e6:.1f} us a flow")
        container.remove()
        agent.stop()
        figure("flows_uncounted_loss", max(0, int(made) - told - lost), "flows", "limit", 0)
    finally:
        docker.stop()


if __name__ == "__main__":
    main()
