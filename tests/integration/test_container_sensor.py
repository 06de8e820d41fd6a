"""The container sensor and both clients against a real dockerd, a stand-in ECS agent, and faults."""
import json
import os
import pathlib
import secrets
import subprocess
import tempfile
import time

import pytest

from container_helpers import BUILD, Dockerd, FakeDocker, Probe, refuse_connections, wait_until
from ecs_standin import Standin

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

ACCOUNT = "arn:aws:ecs:eu-central-1:123456789012"
CGROUPS = pathlib.Path("/sys/fs/cgroup")
CGROUP = pathlib.Path("/sys/fs/cgroup/memory" if os.path.isdir("/sys/fs/cgroup/memory") else "/sys/fs/cgroup")

CGROUP2 = next((pathlib.Path(line.split()[4]) for line in open("/proc/self/mountinfo") if " - cgroup2 " in line), None)


@pytest.fixture(scope="module", autouse=True)
def build():
    subprocess.run(["make", "-s", "-C", BUILD, "tests/integration/container_probe"], check=True)


@pytest.fixture(scope="module")
def dockerd(build):
    with tempfile.TemporaryDirectory(prefix="ecsguard-docker-") as directory:
        d = Dockerd(directory)
        yield d
        d.stop()


@pytest.fixture
def docker(dockerd):
    """Without containers afterwards: those of a test that failed would be found by the agents of others."""
    yield dockerd
    dockerd.remove_all()


@pytest.fixture
def start():
    """Starts probes and stand-ins, and ends them."""
    started = []

    def add(thing):
        started.append(thing)
        return thing
    yield add
    for thing in reversed(started):
        thing.stop()


def make_cgroup(hierarchy):
    path = hierarchy / ("guardtest-" + secrets.token_hex(4))
    path.mkdir()
    yield path
    for tree in {path, *CGROUPS.glob("*/" + path.name)}:  # Docker makes it in every hierarchy
        for d in sorted((p for p in tree.rglob("*") if p.is_dir()), key=lambda p: -len(p.parts)):
            d.rmdir()
        tree.rmdir()


@pytest.fixture
def private_cgroup():
    """A part of the hierarchy that no other dockerd uses, so that a probe of it is undisturbed."""
    yield from make_cgroup(CGROUP)


@pytest.fixture
def private_cgroup2():
    if not CGROUP2:
        pytest.skip("no cgroup v2 is mounted")
    yield from make_cgroup(CGROUP2)


def task_id():
    return secrets.token_hex(16)


def ecs_labels(task, name="app"):
    labels = {"task-arn": "%s:task/prod/%s" % (ACCOUNT, task), "container-name": name, "task-definition-family": "web",
              "task-definition-version": "8", "cluster": "prod"}
    return [o for k, v in labels.items() for o in ("--label", "com.amazonaws.ecs.%s=%s" % (k, v))]


def ecs_file(tmp_path, tasks):
    """`tasks`: {task id: {container id: name}}"""
    file = tmp_path / "ecs.json"
    file.write_text(json.dumps({
        "Cluster": "prod", "ContainerInstanceArn": ACCOUNT + ":container-instance/prod/" + "a" * 32,
        "Tasks": [{"Arn": "%s:task/prod/%s" % (ACCOUNT, task), "KnownStatus": "RUNNING", "Family": "web", "Version": "8",
                   "Containers": [{"DockerId": i, "DockerName": "ecs-web-8-" + n, "Name": n, "Image": "tiny:1", "ImageID": "sha256:0",
                                   "Networks": [{"NetworkMode": "awsvpc", "IPv4Addresses": ["10.0.0.2"]}]} for i, n in ids.items()]}
                  for task, ids in tasks.items()]}))
    return file


def facts(probe, container_id, seconds=30):
    """The event that says that its init process is in place."""
    return wait_until(lambda: [e for e in probe.select("container", source="cgroup", container_id=container_id, container_phase="facts")],
                      seconds, "facts of " + container_id)[0]


def test_life_of_a_container(docker, start):
    probe = start(Probe())
    task = task_id()
    cid = docker.start(task)
    first = probe.wait("container", container_id=cid, container_phase="start")
    assert first["task_id"] == task and first["runtime"] == "docker"
    assert first["cgroup"] == "/ecs/%s/%s" % (task, cid)
    known = facts(probe, cid)
    pid = int(docker.run("inspect", "-f", "{{.State.Pid}}", cid).stdout)
    assert int(known["pid"]) == pid
    for name in ("mnt", "net", "pid"):
        assert int(known[name + "ns"]) == os.stat("/proc/%d/ns/%s" % (pid, name)).st_ino
    assert int(known["root_dev"]) == os.stat("/proc/%d/root/" % pid).st_dev
    assert known["upperdir"] == docker.run("inspect", "-f", "{{.GraphDriver.Data.UpperDir}}", cid).stdout.strip()
    assert abs(int(known["started"]) / 1e9 - time.time()) < 30
    assert probe.wait("cgroup", container_id=cid, pid=str(pid))["task_id"] == task
    ran = docker.stamp(cid)
    print("\nSTART %.1f ms, facts %.1f ms after the entrypoint's first line" %
          ((int(first["time"]) - ran) / 1e6, (int(known["time"]) - ran) / 1e6))
    assert int(first["time"]) < ran
    docker.remove(cid)
    assert probe.wait("container", container_id=cid, container_phase="end")["task_id"] == task
    assert not probe.select("loss")


def test_delays(docker, start):
    """How long before (-) or after (+) the entrypoint's first line are the two events? Printed; START must come first."""
    probe = start(Probe())
    starts, known = [], []
    for _ in range(8):
        cid = docker.start(task_id())
        ran = docker.stamp(cid)
        starts.append((int(probe.wait("container", container_id=cid, container_phase="start")["time"]) - ran) / 1e6)
        known.append((int(facts(probe, cid)["time"]) - ran) / 1e6)
        docker.remove(cid)
    print("\nSTART after entrypoint, ms:", " ".join("%.1f" % x for x in sorted(starts)))
    print("facts after entrypoint, ms:", " ".join("%.1f" % x for x in sorted(known)))
    assert max(starts) < 0


def test_exec_is_seen(docker, start):
    probe = start(Probe())
    task = task_id()
    cid = docker.start(task)
    facts(probe, cid)
    process = subprocess.Popen(["docker", "-H", "unix://" + docker.socket, "exec", cid, "/bin/sleep", "60"])
    sleeper = wait_until(lambda: [p for p in docker.run("top", cid, "-eo", "pid,comm").stdout.splitlines() if "sleep" in p], 10, "sleep")
    pid = sleeper[0].split()[0]
    event = probe.wait("cgroup", container_id=cid, pid=pid)
    assert event["task_id"] == task
    docker.remove(cid)
    process.wait()


def test_running_containers_are_found_at_start(docker, start):
    task = task_id()
    cid = docker.start(task)
    pid = docker.run("inspect", "-f", "{{.State.Pid}}", cid).stdout.strip()
    probe = start(Probe(docker.socket))
    probe.wait("container", container_id=cid, container_phase="start", task_id=task)
    assert facts(probe, cid)["pid"] == pid
    assert probe.wait("container", source="docker", container_id=cid)["pid"] == pid
    docker.remove(cid)


def test_other_parents(docker, start):
    probe = start(Probe())
    for parent in ("/docker", "/my/own/place"):
        cid = docker.run("run", "-d", "--network", "none", "--cgroup-parent", parent, "tiny:1", "/bin/sleep", "60").stdout.strip()
        got = probe.wait("container", container_id=cid, container_phase="start")
        assert got["cgroup"] == "%s/%s" % (parent, cid) and "task_id" not in got
        docker.remove(cid)
        probe.wait("container", container_id=cid, container_phase="end")


def test_host_namespaces(docker, start):
    """Its own root is what tells that a container with the host's pid and network namespaces is in place."""
    probe = start(Probe())
    cid = docker.run("run", "-d", "--network", "host", "--pid", "host", "tiny:1", "/bin/sleep", "60").stdout.strip()
    known = facts(probe, cid)
    assert int(known["pidns"]) == os.stat("/proc/self/ns/pid").st_ino and known["upperdir"].endswith("/diff")
    docker.remove(cid)


def test_twenty_at_once(docker, start):
    probe = start(Probe(docker.socket))
    begin = time.monotonic()
    command = ["docker", "-H", "unix://" + docker.socket, "run", "-d", "--network", "none", "tiny:1", "/bin/sleep", "300"]
    docker.tasks += [task_id() for _ in range(20)]
    running = [subprocess.Popen(command[:-3] + ["--cgroup-parent", "/ecs/" + docker.tasks[-1 - i]] + command[-3:], stdout=subprocess.PIPE, text=True)
               for i in range(20)]
    ids = [p.communicate()[0].strip() for p in running]
    print("\n20 containers started in %.1f s" % (time.monotonic() - begin))
    for cid in ids:
        probe.wait("container", container_id=cid, container_phase="start")
        facts(probe, cid)
        probe.wait("container", seconds=20, source="docker", container_id=cid, image="tiny:1")
    docker.remove(*ids)
    for cid in ids:
        probe.wait("container", container_id=cid, container_phase="end")
    assert probe.stats("container")["lost"] == 0


def test_short_containers(docker, start):
    """Containers that end at once: every one has a start and an end."""
    probe = start(Probe())
    ids = []
    for _ in range(10):
        docker.tasks.append(task_id())
        cid = docker.run("create", "--network", "none", "--cgroup-parent", "/ecs/" + docker.tasks[-1], "tiny:1", "/bin/true").stdout.strip()
        docker.run("start", "-a", cid)
        ids.append(cid)
    for cid in ids:
        probe.wait("container", container_id=cid, container_phase="start")
        probe.wait("container", container_id=cid, container_phase="end")
    with_root = sum(bool(probe.select("container", source="cgroup", container_phase="facts", container_id=cid)) for cid in ids)
    print("\nown root seen in %d of %d containers that ran /bin/true" % (with_root, len(ids)))
    docker.remove(*ids)


def test_restart_keeps_the_id(docker, start):
    probe = start(Probe(docker.socket))
    cid = docker.start(task_id(), "/bin/sleep", "300")
    facts(probe, cid)
    docker.run("restart", "-t", "0", cid)
    wait_until(lambda: len(probe.select("container", container_id=cid, container_phase="start")) == 2, 10, "second start")
    assert len(probe.select("container", container_id=cid, container_phase="end")) == 1
    docker.remove(cid)


def test_docker_facts(docker, start):
    probe = start(Probe(docker.socket))
    task = task_id()
    cid = docker.start(task, options=ecs_labels(task))
    got = probe.wait("container", source="docker", container_id=cid, container_role="workload")
    assert got["image"] == "tiny:1" and got["image_id"].startswith("sha256:") and got["privileged"] == "0"
    assert got["task_arn"].endswith(task) and got["task_family"] == "web" and got["container_name"] == "app"
    wait_until(lambda: any("pid" in e and "started" in e for e in probe.select("container", source="docker", container_id=cid)), 10,
               "facts of the running container")
    assert probe.stats("docker")["lying"] == 0
    docker.remove(cid)


def test_labels_of_another_task_are_refused(docker, start):
    probe = start(Probe(docker.socket))
    cid = docker.start(task_id(), options=ecs_labels(task_id()))
    got = probe.wait("container", source="docker", container_id=cid)
    assert got["image"] == "tiny:1" and "task_arn" not in got and "task_family" not in got
    assert probe.stats("docker")["lying"] >= 1
    docker.remove(cid)


def test_ecs_facts(docker, start, tmp_path):
    task = task_id()
    app, pause = docker.start(task), docker.start(task)
    standin = start(Standin(ecs_file(tmp_path, {task: {app: "app"}})))
    probe = start(Probe(docker.socket, standin.url))
    got = probe.wait("container", source="ecs", container_id=app)
    assert got["task_arn"] == "%s:task/prod/%s" % (ACCOUNT, task) and got["cluster"] == "prod" and got["task_family"] == "web"
    assert got["task_revision"] == "8" and got["container_name"] == "app" and got["src"] == "10.0.0.2"
    # not in the answer: matched by the task of its cgroup path
    got = probe.wait("container", source="ecs", container_id=pause)
    assert got["task_arn"].endswith(task) and "container_name" not in got and got["src"] == "10.0.0.2"
    docker.remove(app, pause)


def test_ecs_single_question(docker, start, tmp_path):
    """One container is asked for by its id; facts that come late are asked for again; at most two requests a second."""
    task = task_id()
    file = ecs_file(tmp_path, {})
    standin = start(Standin(file))
    probe = start(Probe(ecs_url=standin.url, cgroup_dir="-"))
    cid = docker.start(task)
    wait_until(lambda: len(standin.requests) >= 3, 10, "questions")
    assert not probe.select("container", source="ecs", container_id=cid)
    ecs_file(tmp_path, {task: {cid: "app"}})
    probe.wait("container", seconds=20, source="ecs", container_id=cid, container_name="app")
    times = [t for t, _ in standin.requests]
    assert min(b - a for a, b in zip(times, times[1:])) > 0.4
    docker.remove(cid)


def test_ecs_lying(docker, start, tmp_path):
    task = task_id()
    cid = docker.start(task)
    standin = start(Standin(ecs_file(tmp_path, {task: {cid: "app"}}), "lying"))
    probe = start(Probe(ecs_url=standin.url))
    wait_until(lambda: probe.stats("ecs")["lying"] >= 1, 10, "lying counted")
    assert not probe.select("container", source="ecs", container_id=cid)
    docker.remove(cid)


@pytest.mark.parametrize("mode", ["404", "500", "slow", "close", "huge", "malformed", "types", "absent"])
def test_ecs_faults(docker, start, tmp_path, mode):
    """Survived, counted, and facts come once the fault is over."""
    task = task_id()
    cid = docker.start(task)
    file = ecs_file(tmp_path, {task: {cid: "app"}})
    if mode == "absent":
        standin = Standin(file)
        port = standin.server_address[1]
        standin.stop()
    else:
        standin = start(Standin(file, mode))
    probe = start(Probe(ecs_url=standin.url))
    if mode == "404":
        wait_until(lambda: probe.stats("ecs")["requests"] >= 2, 10, "requests")
    elif mode in ("huge", "malformed", "types"):
        wait_until(lambda: probe.stats("ecs")["malformed"] >= 2, 10, "counted")
    else:
        wait_until(lambda: probe.stats("ecs")["failed"] >= 1, 10, "counted")
        got = probe.stats("ecs")
        assert got["state"] == 1 and "ECS agent" in got["reason"]
        print("\n" + got["reason"])
    assert not probe.select("container", source="ecs", container_id=cid)
    facts(probe, cid)  # what the kernel shows is known all the same
    if mode == "absent":
        standin = start(Standin(file, port=port))
    standin.mode = "normal"
    standin.released.set()
    probe.wait("container", seconds=20, source="ecs", container_id=cid, container_name="app")
    assert probe.stats("ecs")["state"] == 2
    docker.remove(cid)


@pytest.mark.parametrize("mode", ["404", "500", "slow", "close", "reset", "huge", "malformed", "types", "lying"])
def test_docker_faults(docker, start, tmp_path, mode):
    fake = start(FakeDocker(tmp_path / "d.sock", mode))
    probe = start(Probe(str(tmp_path / "d.sock")))
    cid = docker.start(task_id())
    facts(probe, cid)
    if mode in ("500", "slow", "close", "reset"):
        wait_until(lambda: probe.stats("docker")["failed"] >= 1, 10, "counted")
        got = probe.stats("docker")
        assert got["state"] == 1 and "Docker at" in got["reason"]
        print("\n" + got["reason"])
    elif mode == "404":
        wait_until(lambda: sum(cid in r for r in fake.requests) >= 3, 10, "asked again")
    elif mode == "types":
        wait_until(lambda: probe.select("container", source="docker", container_id=cid), 10, "an event with its id only")
        assert "image" not in probe.select("container", source="docker", container_id=cid)[0]
    else:
        wait_until(lambda: probe.stats("docker")["malformed"] >= 1, 10, "counted")
        if mode == "lying":
            assert probe.stats("docker")["lying"] >= 1
    assert not [e for e in probe.select("container", source="docker") if e.get("docker_name") == "trusted"]
    docker.remove(cid)
    probe.wait("container", container_id=cid, container_phase="end")


def test_docker_absent_then_there(docker, start, tmp_path):
    path = tmp_path / "late.sock"
    probe = start(Probe(str(path)))
    cid = docker.start(task_id())
    wait_until(lambda: probe.stats("docker")["failed"] >= 2, 10, "counted")
    print("\n" + probe.stats("docker")["reason"])
    os.symlink(docker.socket, path)
    probe.wait("container", seconds=20, source="docker", container_id=cid, image="tiny:1")
    assert probe.stats("docker")["state"] == 2
    docker.remove(cid)


def test_a_new_container_is_a_reason_to_ask_docker_at_once(docker, start, tmp_path):
    """Docker was started after the agent, which by then asks rarely."""
    path = tmp_path / "late.sock"
    probe = start(Probe(str(path)))
    wait_until(lambda: probe.stats("docker")["failed"] >= 5, 10, "counted")
    os.symlink(docker.socket, path)  # the next question would come in 4 s
    cid = docker.start(task_id())
    begun = int(probe.wait("container", source="cgroup", container_id=cid, container_phase="start")["time"])
    known = int(probe.wait("container", source="docker", container_id=cid, image="tiny:1")["time"])
    assert known - begun < 1.5e9
    docker.remove(cid)


def test_docker_dead_socket(start, tmp_path):
    refuse_connections(tmp_path / "dead.sock")
    probe = start(Probe(str(tmp_path / "dead.sock")))
    wait_until(lambda: probe.stats("docker")["failed"] >= 1, 10, "counted")
    assert probe.stats("docker")["state"] == 1


def test_overflow_is_counted_and_resynchronised(docker, start, private_cgroup):
    """Stopped while more notices come than the kernel keeps: says so, and what is there afterwards is right."""
    name = private_cgroup.name
    task = task_id()
    probe = start(Probe(cgroup_dir=str(private_cgroup)))
    gone = docker.start(task, options=["--cgroup-parent", "/%s/ecs/%s" % (name, task)])
    probe.wait("container", container_id=gone, container_phase="start")
    queue = int(open("/proc/sys/fs/inotify/max_queued_events").read())
    if queue > 20000:
        pytest.skip("the kernel keeps %d notices" % queue)
    probe.process.send_signal(19)
    churn = private_cgroup / "churn"
    for _ in range(queue // 2 + 100):
        churn.mkdir()
        churn.rmdir()
    docker.remove(gone)
    new = docker.start(task, options=["--cgroup-parent", "/%s/ecs/%s" % (name, task)])
    probe.process.send_signal(18)
    probe.wait("loss")
    probe.wait("container", container_id=gone, container_phase="end")
    got = probe.wait("container", container_id=new, container_phase="start")
    assert got["task_id"] == task
    facts(probe, new)
    got = probe.stats("container")
    assert got["resyncs"] == 1 and got["lost"] >= 1
    docker.remove(new)


def test_made_up_groups(start, private_cgroup):
    """Directories that only look like containers, too deep ones, and an empty container are no containers that started."""
    for d in ("docker/x", "ecs/" + task_id(), "docker.service/" + "a" * 64, "/".join("abcdefghij") + "/" + "b" * 64, "docker/" + "c" * 64):
        (private_cgroup / d.lstrip("/")).mkdir(parents=True)
    probe = start(Probe(cgroup_dir=str(private_cgroup)))
    time.sleep(0.5)
    assert not probe.select("container")
    child = subprocess.Popen(["sleep", "60"])
    (private_cgroup / "docker" / ("c" * 64) / "cgroup.procs").write_text(str(child.pid))
    assert probe.wait("container", container_phase="start")["pid"] == str(child.pid)
    probe.wait("cgroup", pid=str(child.pid))
    child.kill()
    child.wait()


def test_shapes_of_v2(start, private_cgroup2):
    """The unified hierarchy with directories made as systemd and podman make them; all of them while the sensor watches."""
    probe = start(Probe(cgroup_dir=str(private_cgroup2)))
    task, old = task_id(), "01234567-89ab-cdef-0123-456789abcdef"
    slices = ["ecstasks.slice"] + ["ecstasks-%s.slice" % "-".join(old.split("-")[:n]) for n in range(1, 6)]
    places = {"a" * 64: "ecstasks.slice/ecstasks-%s.slice/docker-%s.scope" % (task, "a" * 64),
              "b" * 64: "/".join(slices) + "/docker-%s.scope" % ("b" * 64),
              "c" * 64: "machine.slice/libpod-%s.scope/container" % ("c" * 64),
              "d" * 64: "system.slice/docker-%s.scope" % ("d" * 64),
              "e" * 64: "kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1.slice/cri-containerd-%s.scope" % ("e" * 64)}
    tasks = {"a" * 64: task, "b" * 64: old}
    children = []
    for cid, place in places.items():
        (private_cgroup2 / place).mkdir(parents=True)
        for n in range(2):
            child = subprocess.Popen(["sleep", "60"])
            children.append(child)
            (private_cgroup2 / place / "cgroup.procs").write_text(str(child.pid))
            probe.wait("cgroup", container_id=cid, pid=str(child.pid))
        got = probe.wait("container", container_id=cid, container_phase="start")
        assert got.get("task_id") == tasks.get(cid)
        assert len(probe.select("container", container_id=cid, container_phase="start")) == 1
    for child in children:
        child.kill()
        child.wait()
    for cid, place in places.items():
        (private_cgroup2 / place).rmdir()
        if "libpod" in place:
            (private_cgroup2 / place).parent.rmdir()
        probe.wait("container", container_id=cid, container_phase="end")
    assert len(probe.select("container", container_phase="end")) == len(places)


def test_idle_cpu(docker, start, private_cgroup, tmp_path):
    """With five containers that do nothing, facts complete, nobody in between."""
    task = task_id()
    parent = ["--cgroup-parent", "/%s/ecs/%s" % (private_cgroup.name, task)]
    ids = [docker.start(task, options=parent) for _ in range(5)]
    standin = start(Standin(ecs_file(tmp_path, {task: {i: "app" for i in ids}})))
    probe = start(Probe(docker.socket, standin.url, str(private_cgroup)))
    for cid in ids:
        probe.wait("container", source="docker", container_id=cid)
        probe.wait("container", source="ecs", container_id=cid)
    time.sleep(3)
    cpu, switches, begin = probe.cpu_seconds(), probe.context_switches(), time.monotonic()
    time.sleep(10)
    seconds = time.monotonic() - begin
    used, woken = probe.cpu_seconds() - cpu, probe.context_switches() - switches
    print("\nidle: %.3f s CPU and %d context switches in %.0f s" % (used, woken, seconds))
    assert woken / seconds < 20 and used / seconds < 0.02  # the share itself is a figure of tests/bench
    docker.remove(*ids)
