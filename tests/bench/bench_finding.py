#!/usr/bin/env python3
"""From the hostile act to the committed row of its finding: 99th percentile over 200 reverse shells' first instruction, idle and at 1,000 exec/s.

The act is a shell that is executed with a socket as standard input. Its time is taken right before the exec; the row's time is when another
process can read it from the database.
"""

import os
import socket
import statistics
import subprocess
import threading
import time

from measure import LOAD, figure, is_wanted, note, settle, temporary_agent

ROUNDS = 150


def hostile(server_port):
    """One shell on a TCP socket; returns when it was about to run (wall clock, ns)."""
    s = socket.create_connection(("127.0.0.1", server_port))
    started = time.time_ns()
    subprocess.run(["/bin/sh", "-c", ":"], stdin=s, stdout=s, stderr=s)
    s.close()
    return started


def committed_after(agent, seen, started, timeout=5.0):
    """Milliseconds until the evidence has one row more; None when it never comes."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if agent.query("select count(*) n from evidence")[0]["n"] > seen:
            return (time.time_ns() - started) / 1e6
        time.sleep(0.002)
    return None


def measure(agent, port):
    times, missed = [], 0
    for _ in range(ROUNDS):
        seen = agent.query("select count(*) n from evidence")[0]["n"]
        ms = committed_after(agent, seen, hostile(port))
        if ms is None:
            missed += 1
        else:
            times.append(ms)
        time.sleep(0.02)
    times.sort()
    note(f"p50 {statistics.median(times):.1f} ms, max {times[-1]:.1f} ms, missed {missed} of {ROUNDS}")
    return times[min(len(times) - 1, int(len(times) * 0.99))] if not missed else float("inf")


def main():
    agent = temporary_agent()
    agent.start()
    settle(agent)
    server = socket.create_server(("127.0.0.1", 0))

    def accept():
        while True:
            try:
                server.accept()[0].close()
            except OSError:
                return
    threading.Thread(target=accept, daemon=True).start()
    port = server.getsockname()[1]
    if is_wanted("finding_p99_ms_idle"):
        figure("finding_p99_ms_idle", measure(agent, port), "ms", "limit", 250)
    if is_wanted("finding_p99_ms_1000eps"):
        load = subprocess.Popen([LOAD / "load_exec", "1", "1000000", "700", LOAD / "exit_now"], stdout=subprocess.DEVNULL)
        time.sleep(1)
        before, t = agent.query("select max(id) m from events")[0]["m"], time.monotonic()
        value = measure(agent, port)
        rate = agent.query("select count(*) n from process_event where id > ? and kind = 2", before)[0]["n"] / (time.monotonic() - t)
        load.kill()
        load.wait()
        note(f"exec events stored per second meanwhile: {rate:.0f}")
        figure("finding_p99_ms_1000eps", value, "ms", "limit", 1000)
    agent.stop()
    server.close()


if __name__ == "__main__":
    main()
