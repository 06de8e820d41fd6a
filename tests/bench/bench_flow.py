#!/usr/bin/env python3
"""20,000 new flows a second in a container: every one is in a stored row or a counted loss, and what that costs.

The flows are UDP packets to distinct ports of addresses bound in the container's own network namespace; they do not leave it. Each is deleted
from conntrack a second later, so that as many end as begin: two events a flow. The agent's table switches tracking on, for the peers two rules of a
firewall do. The peer is conntrack(8), writing the same events to a file. What a flow costs its maker is compared with the agent running, with
tracking alone and with a mere listener, in turns and in short pieces: in CPU time, which holds what the kernel does to tell of the flow; the time on
the clock, which depends on what else this machine does, is told as a note.
"""

import json
import resource
import socket
import statistics
import subprocess
import tempfile
import time

from measure import LOAD, Docker, cpu_seconds, figure, inside, is_wanted, note, settle, temporary_agent, wait_for, work_dir

FLOWS = 100000
RATE = 20000
TURNS = 8
SLICES = 8
SLICE_FLOWS = 5000
NETLINK_NETFILTER, SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, SO_RCVBUFFORCE = 12, 270, 8, 33
FIGURES = ["flows_uncounted_loss", "flow_cpu_us", "flow_slowdown_pct"]
RULES = "table ip ecsguard_bench { chain out { type filter hook output priority 0; ct state new counter; }; chain in { type filter hook input priority 0; ct state new counter; }; }"


def counters(agent, component):
    return json.loads(agent.health()[component]["counters"])


class Tracking:
    """Tracking alone, by rules of a firewall."""

    def __init__(self, pid):
        self.pid = pid

    def __enter__(self):
        inside(self.pid, "nft", RULES)

    def __exit__(self, *_):
        inside(self.pid, "nft", "delete table ip ecsguard_bench")


def started(docker, pid):
    """An agent that tracks."""
    agent = temporary_agent(docker_socket=docker.socket, layers=[docker.data])
    agent.start()
    if not wait_for(lambda: "ct status" in inside(pid, "nft", "list ruleset"), 20):
        raise SystemExit("the agent does not track: " + agent.text()[-1000:])
    return agent


def make(pid, flows, rate, mode="make"):
    """Makes flows; how many, and in how many seconds."""
    made, seconds = inside(pid, LOAD / "load_flow", mode, flows, rate).split()
    return int(made), float(seconds)


def end_all(pid):
    inside(pid, "conntrack", "-F")


class Meters:
    """What the agent did between two moments."""

    def __init__(self, agent):
        self.agent, self.since = agent, agent.query("select max(id) m from events")[0]["m"]
        self.before, self.cpu = self.lost(), cpu_seconds(agent.process.pid)

    def lost(self):
        return counters(self.agent, "flow")["lost"] + counters(self.agent, "writer")["dropped"] + counters(self.agent, "flow_rows")["unsummed"]

    def spent(self):
        return cpu_seconds(self.agent.process.pid) - self.cpu

    def told(self):
        return self.agent.query("select sum(coalesce(flows, 1)) n from flow_event where id > ? and begin_id is null and src like '198.51.100.%'",
                                self.since)[0]["n"] or 0

    def newly_lost(self):
        return self.lost() - self.before


def measure_agent(agent, pid):
    """(flows, seconds, told, lost, CPU seconds) of one storm."""
    meters = Meters(agent)
    made, seconds = make(pid, FLOWS, RATE)
    settle(agent, timeout=30)
    cpu = meters.spent()
    time.sleep(8)  # rows of bursts, and the counters in `health`
    return made, seconds, meters.told(), meters.newly_lost(), cpu


def measure_peer(pid):
    """CPU seconds that conntrack(8) takes for the same, and the lines it wrote."""
    with tempfile.NamedTemporaryFile() as out, Tracking(pid):
        peer = subprocess.Popen(["nsenter", f"--net=/proc/{pid}/ns/net", "conntrack", "-E", "-b", str(8 << 20), "-o", "timestamp,extended"],
                                stdout=out, stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        made, _ = make(pid, FLOWS, RATE)
        time.sleep(1)
        own = int(open(f"/proc/{peer.pid}/schedstat").read().split()[0]) / 1e9
        peer.terminate()
        peer.wait()
        return made, own, sum(1 for _ in open(out.name))


class IdleListener:
    """Somebody who listens to conntrack's events of all namespaces and never reads: what the kernel's telling costs by itself."""

    def __enter__(self):
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self.socket.setsockopt(SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        self.socket.bind((0, 7))

    def __exit__(self, *_):
        self.socket.close()


def speed(pid):
    """Seconds and CPU seconds of a flow that begins."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    made, seconds = make(pid, SLICE_FLOWS, RATE, "begin")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    end_all(pid)
    return seconds / made, (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / made


def slices(pid):
    """What a flow costs in the midst of a storm: in each of some short pieces of it, but not in the first, of which more is told."""
    return [speed(pid) for _ in range(SLICES + 1)][1:]


def beside_agent(docker, pid):
    agent = started(docker, pid)
    time.sleep(1)
    costs = slices(pid)
    agent.stop()
    return costs


def beside_listener(pid):
    with Tracking(pid), IdleListener():
        return slices(pid)


def tracking_alone(pid):
    with Tracking(pid):
        return slices(pid)


def slowdown(docker, pid):
    """How much more a flow costs its maker than with tracking alone, in percent of CPU time: with the agent, and with an idle listener. The fastest
    quarter of the pieces counts: whatever else goes on in this machine only makes them slower."""
    costs = {"alone": [], "agent": [], "listener": []}
    for _ in range(TURNS):
        costs["alone"] += tracking_alone(pid)
        costs["agent"] += beside_agent(docker, pid)
        costs["listener"] += beside_listener(pid)
    clock, cpu = ({who: statistics.quantiles([c[i] for c in all_of])[0] for who, all_of in costs.items()} for i in (0, 1))
    more = {who: 100 * (cpu[who] / cpu["alone"] - 1) for who in cpu}
    note(f"a flow's CPU time: {cpu['alone'] * 1e6:.2f} us with tracking alone, {cpu['agent'] * 1e6:.2f} with the agent, {cpu['listener'] * 1e6:.2f} with an "
         f"idle listener; time on the clock with the agent {100 * (clock['agent'] / clock['alone'] - 1):+.1f} %")
    return more["agent"], more["listener"]


def main():
    if not is_wanted(*FIGURES):
        return
    docker = Docker(work_dir())
    docker.start()
    try:
        container = docker.run()
        pid = str(container.pid)
        for i in range(1, 6):
            inside(pid, "ip", "addr", "add", f"198.51.100.{i}/32", "dev", "lo")
        if is_wanted("flows_uncounted_loss", "flow_cpu_us"):
            agent = started(docker, pid)
            time.sleep(6)
            made, seconds, told, lost, cpu = measure_agent(agent, pid)
            agent.stop()
            peer_made, peer_cpu, lines = measure_peer(pid)
            note(f"flows: {made} at {made / seconds:.0f}/s, told {told}, counted as lost {lost}; conntrack wrote {lines} lines of {2 * peer_made}")
            figure("flows_uncounted_loss", max(0, made - told - lost), "flows", "limit", 0)
            figure("flow_cpu_us", cpu / made * 1e6, "us", "conntrack -E", peer_cpu / peer_made * 1e6)
        if is_wanted("flow_slowdown_pct"):
            with_agent, with_listener = slowdown(docker, pid)
            figure("flow_slowdown_pct", with_agent, "%", "an idle listener", with_listener)
        container.remove()
    finally:
        docker.stop()


if __name__ == "__main__":
    main()
