#!/usr/bin/env python3
"""What the system call sensor costs: every program's system calls while it is on, and the agent for each call that it tells.

Slowdown: a loop of the cheapest system call (the worst case), and one of reads, writes and stats; rounds with and without the sensor in turn;
the median of the pairs' ratios. It decides the default of sensors.syscalls.
"""
import json
import statistics
import subprocess
import time

from measure import LOAD, WITH_TRACEFS, cpu_seconds, figure, is_wanted, note, settle, temporary_agent, wait_for

ROUNDS = 21
SECONDS = 6


def load(*arguments):
    return subprocess.run([*WITH_TRACEFS, LOAD / "load_syscall", *map(str, arguments)], capture_output=True, text=True, check=True).stdout


def slowdown():
    pairs = {}
    for line in load("pairs", ROUNDS, 0.2).splitlines():
        name, without, using = line.split()
        pairs.setdefault(name, []).append((float(without), float(using)))
    ratios = {}
    for name, values in pairs.items():
        ratios[name] = statistics.median(b / a for a, b in values)
        quartiles = statistics.quantiles([b / a for a, b in values])
        note(f"{name}: {statistics.median(a for a, _ in values):.0f} ns without, {statistics.median(b for _, b in values):.0f} ns with the sensor; "
             f"ratio {ratios[name]:.3f} (quartiles {quartiles[0]:.3f} to {quartiles[2]:.3f}), "
             f"{statistics.median(b - a for a, b in values):.0f} ns a call more")
    figure("syscall_sensor_slowdown", ratios["getppid"], "x")
    figure("syscall_sensor_mixed_slowdown", ratios["mixed"], "x")


def counters(agent):
    return json.loads(agent.health()["syscalls"]["counters"])


def agent_cost(agent, rate):
    """CPU seconds of the agent, events told, calls lost, calls made; over SECONDS at `rate` of each kind."""
    settle(agent)
    time.sleep(5.2)  # a report of what was before
    before, cpu = counters(agent), cpu_seconds(agent.process.pid)
    made = int(load("calls", rate, SECONDS))
    settle(agent)
    cpu = cpu_seconds(agent.process.pid) - cpu
    wait_for(lambda: counters(agent)["events"] > before["events"], 6)
    time.sleep(5.2)
    after = counters(agent)
    return cpu, after["events"] - before["events"], after["lost"] - before["lost"], made


def firing():
    only = "sensors:\n  syscalls: true\n  exec: false\n  proc: false\n  file: false\n  flow: false\n"  # what else happens on this machine is not its cost
    agent = temporary_agent(config=only, prefix=WITH_TRACEFS).start()
    if is_wanted("syscall_event_cpu_us"):
        cpu, events, lost, made = agent_cost(agent, 150)
        note(f"calls: {made} made, {events} told, {lost} lost, {cpu:.2f} s of the agent's CPU in {SECONDS} s")
        figure("syscall_event_cpu_us", cpu / events * 1e6, "us")
    if is_wanted("syscall_flood_cpu_pct"):
        cpu, events, lost, made = agent_cost(agent, 0)
        note(f"flood: {made} made ({made / SECONDS:.0f}/s), {events} told, {lost} lost, {made - events - lost} uncounted")
        figure("syscall_flood_cpu_pct", cpu / SECONDS * 100, "%")
    agent.stop()


def main():
    if is_wanted("syscall_sensor_slowdown", "syscall_sensor_mixed_slowdown"):
        slowdown()
    if is_wanted("syscall_event_cpu_us", "syscall_flood_cpu_pct"):
        firing()


if __name__ == "__main__":
    main()
