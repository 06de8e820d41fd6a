#!/usr/bin/env python3
"""Are all command lines seen, what does an exec cost the agent, and what does it cost the program?

Capture: every exec carries a serial number in its arguments; what the database (or a peer's output) has of them counts. Three busy loops compete
for the two CPUs. The peers' execs come behind the agent's own, as what writes their output competes for the disk; the agent sees those as well.
CPU: time of all threads of the agent over the number of execs, until it is quiet again.
Added time: median from execve to exit, alternately with and without the agent; the floor is a reader that only takes the kernel's message. Once the
program stays on one CPU; once the scheduler may choose: the readers' real-time share makes it start the new program on the other, colder CPU more
often, and that is in the figure.
"""

import os
import re
import signal
import statistics
import subprocess
import tempfile
import time

from measure import LOAD, Busy, cpu_seconds, exec_load, figure, is_wanted, note, settle, temporary_agent

COUNT = 20000
PEER_COUNT = 8000
STATIC = LOAD / "exit_now"


def tags(text):
    return len(set(re.findall(r"TAG-\d+-\d+", text)))


def stored_tags(agent, since):
    return agent.query("select count(distinct cmdline) n from process_event where id > ? and cmdline like '%TAG-%'", since)[0]["n"]


def last_id(agent):
    return agent.query("select coalesce(max(id), 0) m from events")[0]["m"]


class Peer:
    """forkstat or extrace writing to a file."""

    def __init__(self, *command):
        self.command = command

    def __enter__(self):
        self.file = tempfile.NamedTemporaryFile("r", suffix=".txt")
        self.process = subprocess.Popen(self.command, stdout=open(self.file.name, "w"), stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def cpu(self):
        return cpu_seconds(self.process.pid)

    def tags(self):
        return tags(open(self.file.name, errors="replace").read())


def captured(agent, program, loops, count):
    since = last_id(agent)
    exec_load(program, loops, count // loops)
    settle(agent)
    return stored_tags(agent, since)


def capture(agent, name, program, loops):
    if not is_wanted(name):
        return
    with Busy(3):
        ours = captured(agent, program, loops, COUNT)
        with Peer("forkstat", "-e", "exec", "-l") as forkstat, Peer("extrace", "-f") as extrace:
            beside = captured(agent, program, loops, PEER_COUNT)
            time.sleep(1)
    figure(name, 100.0 * ours / COUNT, "%", "forkstat", 100.0 * forkstat.tags() / PEER_COUNT)
    note(f"{name}: {ours} of {COUNT}; {beside} of {PEER_COUNT} beside forkstat and extrace, which has {100.0 * extrace.tags() / PEER_COUNT:.1f} %")


def exec_cpu(agent):
    if not is_wanted("exec_cpu_us"):
        return
    settle(agent)
    n = COUNT
    before = cpu_seconds(agent.process.pid)
    exec_load(STATIC, 1, n)
    settle(agent)
    ours = (cpu_seconds(agent.process.pid) - before) / n * 1e6
    with Peer("extrace", "-f") as extrace:
        before = extrace.cpu()
        exec_load(STATIC, 1, n)
        time.sleep(0.5)
        peer = (extrace.cpu() - before) / n * 1e6
    figure("exec_cpu_us", ours, "us", "extrace", peer)
    # few enough that every one is read in full
    before, count = cpu_seconds(agent.process.pid), 1500
    exec_load(STATIC, 1, count, 3000)
    settle(agent)
    note(f"exec_cpu_us: at 300/s, read in full: {(cpu_seconds(agent.process.pid) - before) / count * 1e6:.1f} us")


def exec_added(agent, name, cpu, rounds):
    """Nothing, an empty reader, the agent, in turns. The median of the rounds' medians."""
    if not is_wanted(name):
        return
    nothing, floor, ours = [], [], []
    for _ in range(rounds):
        nothing.append(exec_load(STATIC, 1, 4000, cpu=cpu)["p50_us"])
        reader = subprocess.Popen([LOAD / "load_reader"])
        time.sleep(0.3)
        floor.append(exec_load(STATIC, 1, 4000, cpu=cpu)["p50_us"])
        reader.terminate()
        reader.wait()
        agent.start()
        settle(agent)
        ours.append(exec_load(STATIC, 1, 4000, cpu=cpu)["p50_us"])
        settle(agent)
        agent.stop()
    base = statistics.median(nothing)
    figure(name, statistics.median(ours) - base, "us", "empty_reader", statistics.median(floor) - base)
    note(f"{name}: execve to exit p50 without agent {base:.0f} us")


def main():
    agent = temporary_agent()
    if is_wanted("argv_captured_static_1", "argv_captured_static_4", "argv_captured_true_1", "argv_captured_true_4", "exec_cpu_us"):
        agent.start()
        settle(agent)
        for program, word in ((STATIC, "static"), ("/bin/true", "true")):
            for loops in (1, 4):
                capture(agent, f"argv_captured_{word}_{loops}", program, loops)
        exec_cpu(agent)
        note("exec sensor: " + agent.health()["exec"]["counters"])
        agent.stop()
    exec_added(agent, "exec_added_us", min(os.sched_getaffinity(0)), 5)
    exec_added(agent, "exec_added_any_cpu_us", None, 3)


if __name__ == "__main__":
    main()
