#!/usr/bin/env python3
"""What the agent costs a container that opens files, and that it loses no file event uncounted.

Slowdown: read-only opens of the image's unmodified files, rounds with and without the agent in turn; the median of the pairs' ratios.
Loss: opens of 100,000 files each at 50,000/s, a fifth of them for writing, and then all of them, as far as the machine gets; every file that was written is
a stored event or a counted loss.
"""

import json
import statistics
import time

from measure import LOAD, Docker, figure, is_wanted, note, settle, temporary_agent, work_dir


ROUNDS = 9
FILES = 500
OPENS, RATE = 100000, 50000


def opens(container, directory, files, operations, how, rate=0):
    """Microseconds per open, and opens per second."""
    out = container.exec("/load_open", directory, str(files), str(operations), how, str(rate), check=True, timeout=120).split()
    return float(out[0]), float(out[1])


def slowdown(docker, agent):
    ratios, ours, bare = [], [], []
    maker = docker.run(flags=["-v", f"{LOAD}/load_open:/load_open:ro"])
    opens(maker, "/files", FILES, 0, "p")
    image = docker("commit", maker.id)  # now they are the image's
    maker.remove()
    container = docker.run(flags=["-v", f"{LOAD}/load_open:/load_open:ro"], image=image)
    opens(container, "/files", FILES, 60000, "r")
    for _ in range(ROUNDS):
        bare.append(opens(container, "/files", FILES, 60000, "r")[0])
        agent.start()
        settle(agent)
        time.sleep(1)
        ours.append(opens(container, "/files", FILES, 60000, "r")[0])
        agent.stop()
        ratios.append(ours[-1] / bare[-1])
    container.remove()
    note(f"open: {statistics.median(ours):.2f} us with the agent, {statistics.median(bare):.2f} us without; ratios {[round(r, 3) for r in ratios]}")
    figure("open_slowdown_pct", (statistics.median(ratios) - 1) * 100, "%", "limit", 5)


def counters(agent, component):
    return json.loads(agent.health()[component]["counters"])


def loss(agent, container, how, written):
    """Files whose write-opens are neither told nor counted as lost."""
    settle(agent, timeout=60)
    time.sleep(6)
    since = agent.query("select max(id) m from events")[0]["m"]
    before = {c: counters(agent, c) for c in ("layers", "overlay", "writer")}
    rate = opens(container, "/files", OPENS, OPENS, how, RATE)[1]
    settle(agent, timeout=60)
    time.sleep(6)
    after = {c: counters(agent, c) for c in ("layers", "overlay", "writer")}
    told = agent.query("select count(distinct path) n from file_event where id > ? and path like '/files/%'", since)[0]["n"]
    lost = sum(after[c][k] - before[c][k] for c, k in (("layers", "lost"), ("overlay", "lost"), ("writer", "dropped")))
    overflowed = sum(after[c]["overflows"] - before[c]["overflows"] for c in ("layers", "overlay"))
    note(f"opens: {OPENS} at {rate:.0f}/s, {written} of them for writing, told {told}, counted as lost {lost}, kernel overflows {overflowed}")
    # no excuse for an overflow of the kernel's queue, which counts as one loss whatever its size: a missing file is a missing file
    return max(0, written - told - lost)


def losses(docker, agent):
    agent.start()
    container = docker.run(flags=["-v", f"{LOAD}/load_open:/load_open:ro"])
    time.sleep(2)
    opens(container, "/files", OPENS, 0, "p")
    uncounted = loss(agent, container, "m", OPENS // 5) + loss(agent, container, "w", OPENS)
    container.remove()
    agent.stop()
    figure("opens_uncounted_loss", uncounted, "events", "limit", 0)


def main():
    docker = Docker(work_dir())
    docker.start()
    try:
        agent = temporary_agent(docker_socket=docker.socket, layers=[docker.data])
        if is_wanted("open_slowdown_pct"):
            slowdown(docker, agent)
        if is_wanted("opens_uncounted_loss"):
            losses(docker, agent)
    finally:
        docker.stop()


if __name__ == "__main__":
    main()
