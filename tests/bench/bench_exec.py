#!/usr/bin/env python3
"""Are all command lines seen, what does an exec cost the agent, and what does it cost the program?

Capture: every exec carries a serial number in its arguments; what the database (or a peer's output) has of them counts. Three busy loops compete
for the two CPUs. CPU: time of all threads of the agent over the number of execs, until it is quiet again. Added time: median from execve to
exit, alternately with and without the agent; the floor is a reader that only takes the kernel's message.
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


def capture(agent, name, program, loops):
    """The agent and both peers see the same execs."""
    if not is_wanted(name):
        return
    since = last_id(agent)
    with Busy(3), Peer("forkstat", "-e", "exec", "-l") as forkstat, Peer("extrace", "-f") as extrace:
        exec_load(program, loops, COUNT // loops)
        time.sleep(1)
    settle(agent)
    ours = stored_tags(agent, since)
    figure(name, 100.0 * ours / COUNT, "%", "forkstat", 100.0 * forkstat.tags() / COUNT)
    note(f"{name}: {ours} of {COUNT}; extrace {100.0 * extrace.tags() / COUNT:.1f} %")


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


def exec_added(agent):
    """Paired rounds: nothing, an empty reader, the agent. The median of the rounds' medians."""
    if not is_wanted("exec_added_us"):
        return
    nothing, floor, ours = [], [], []
    for _ in range(5):
        nothing.append(exec_load(STATIC, 1, 4000)["p50_us"])
        reader = subprocess.Popen([LOAD / "load_reader"])
        time.sleep(0.3)
        floor.append(exec_load(STATIC, 1, 4000)["p50_us"])
        reader.terminate()
        reader.wait()
        agent.start()
        settle(agent)
        ours.append(exec_load(STATIC, 1, 4000)["p50_us"])
        settle(agent)
        agent.stop()
    base = statistics.median(nothing)
    figure("exec_added_us", statistics.median(ours) - base, "us", "empty_reader", statistics.median(floor) - base)
    note(f"exec_added_us: execve to exit p50 without agent {base:.0f} us")


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
    exec_added(agent)


if __name__ == "__main__":
    main()
