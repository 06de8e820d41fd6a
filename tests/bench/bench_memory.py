#!/usr/bin/env python3
"""Resident memory after 100,000 short-lived processes and 500 short-lived containers (as many as the time allows), and CPU when idle."""

import shutil
import time

from measure import LOAD, Docker, cpu_seconds, exec_load, figure, is_wanted, note, rss_mib, settle, temporary_agent, work_dir

IDLE_SECONDS = 30
CONTAINER_SECONDS = 150


def run_containers(docker):
    end, n = time.monotonic() + CONTAINER_SECONDS, 0
    while n < 500 and time.monotonic() < end:
        docker.run("true")
        n += 1
        if n % 20 == 0:
            for cid in docker("ps", "-aq").split():
                docker("rm", "-f", cid)
    return n


def main():
    agent, docker = temporary_agent(), None
    if is_wanted("rss_mib") and shutil.which("dockerd"):
        docker = Docker(work_dir())
        docker.start()
        agent = temporary_agent(docker_socket=docker.socket, layers=[docker.data])
    agent.start()
    settle(agent)
    if is_wanted("idle_cpu_pct"):
        before = cpu_seconds(agent.process.pid)
        time.sleep(IDLE_SECONDS)
        figure("idle_cpu_pct", (cpu_seconds(agent.process.pid) - before) / IDLE_SECONDS * 100, "%", "limit", 0.3)
    if is_wanted("rss_mib"):
        start = rss_mib(agent.process.pid)
        exec_load(LOAD / "exit_now", 2, 25000)
        settle(agent)
        middle = rss_mib(agent.process.pid)
        exec_load(LOAD / "exit_now", 2, 25000)
        containers = run_containers(docker) if docker else 0
        settle(agent)
        end = rss_mib(agent.process.pid)
        note(f"rss_mib: at start {start:.1f}, after 50,000 processes {middle:.1f}, after 100,000 and {containers} containers {end:.1f}")
        figure("rss_mib", end, "MiB", "limit", 64)
    agent.stop()
    if docker:
        docker.stop()


if __name__ == "__main__":
    main()
