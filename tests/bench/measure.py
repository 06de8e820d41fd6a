"""What the benchmarks share: the agent under test, the load programs, CPU times out of /proc, and the line that a figure is."""

import atexit
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from harness import BUILD, WITH_TRACEFS, Agent, Docker, wait_for  # noqa: E402,F401

signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # in an orderly way: agents and dockerd end, too
TICK = os.sysconf("SC_CLK_TCK")
LOAD = BUILD / "tests/bench"


def figure(name, value, unit, peer=None, peer_value=None):
    """One line of the report; only what was asked for on the command line."""
    wanted = sys.argv[1:]
    if wanted and name not in wanted:
        return
    line = f"bench: {name} {value:.2f} {unit}" if isinstance(value, float) else f"bench: {name} {value} {unit}"
    if peer:
        line += f" vs {peer} {peer_value:.2f}" if isinstance(peer_value, float) else f" vs {peer} {peer_value}"
    print(line, flush=True)


def is_wanted(*names):
    return not sys.argv[1:] or any(n in sys.argv[1:] for n in names)


def join_groups(pid):
    """Puts this process into the control groups of a container's process: then it is the container's."""
    for line in open(f"/proc/{pid}/cgroup"):
        _, controller, path = line.strip().split(":", 2)
        for top in (controller.removeprefix("name=") or "unified", ""):
            try:
                with open(f"/sys/fs/cgroup/{top}{path}/cgroup.procs", "w") as procs:
                    procs.write("0")
                break
            except OSError:
                continue


def inside(pid, *command):
    """What a program prints that runs in the container of `pid`, in its control groups and network namespace, with the host's files."""
    return subprocess.run(["nsenter", f"--net=/proc/{pid}/ns/net", *map(str, command)], check=True, capture_output=True, text=True,
                          preexec_fn=lambda: join_groups(pid)).stdout


def note(text):
    print(text, file=sys.stderr, flush=True)


def cpu_seconds(pid):
    """User and system time of a process with all its threads, from schedstat (ns) where it is, else from stat (10 ms)."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            total += int(open(f"/proc/{pid}/task/{task}/schedstat").read().split()[0])
        except (OSError, IndexError):
            pass
    return total / 1e9


def rss_mib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{pid}/status").read()).group(1)) / 1024


def settle(agent, quiet=0.5, timeout=20):
    """Waits until the agent has nothing left to do: its CPU time stands still."""
    end = time.monotonic() + timeout
    last = cpu_seconds(agent.process.pid)
    while time.monotonic() < end:
        time.sleep(quiet)
        now = cpu_seconds(agent.process.pid)
        if now - last < 0.02 * quiet:
            return
        last = now


def exec_load(program, loops, count, pause_us=0, cpu=None):
    """Runs `loops` loops of `count` execs of the program with tagged arguments, on one CPU or on any; the load program's figures as a dict."""
    place = ["taskset", "-c", str(cpu)] if cpu is not None else []
    out = subprocess.run([*place, LOAD / "load_exec", str(loops), str(count), str(pause_us), str(program)], capture_output=True, text=True, check=True)
    words = out.stdout.split()
    return {words[i]: float(words[i + 1]) for i in range(0, len(words) - 1, 2)}


class Busy:
    """Processes that keep the CPUs busy."""

    def __init__(self, n):
        self.n = n

    def __enter__(self):
        self.children = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(self.n)]
        time.sleep(0.3)

    def __exit__(self, *_):
        for c in self.children:
            c.kill()
            c.wait()


def work_dir():
    """A directory that is gone when the benchmark has ended."""
    path = tempfile.mkdtemp(prefix="ecsguard-bench-")
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def temporary_agent(**options):
    """An agent that does not outlive the benchmark."""
    agent = Agent(work_dir(), **options)
    atexit.register(lambda: agent.process and agent.process.poll() is None and agent.stop())
    return agent
