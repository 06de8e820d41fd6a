"""Rare system calls: real calls from containers through a private tracefs instance."""

import json
import time

import pytest

from harness import wait_for
from syscall_helpers import CALLS, INSTANCE, instances, needs, new_agent, state

VM_WRITE = "DefenseEvasion:Runtime/ProcessInjection.VirtualMemoryWrite"
ANTI_DEBUGGING = "DefenseEvasion:Runtime/PtraceAntiDebugging"
UNCONFINED = ["--security-opt", "seccomp=unconfined", "--cap-add", "SYS_ADMIN", "--cap-add", "SYS_PTRACE"]

pytestmark = needs


def told(agent, container, name=None):
    return [r for r in agent.query("select * from events where kind = 'syscall' and container_id = ? order by id", container.id)
            if not name or r["syscall"] == name]


@pytest.fixture(scope="module")
def traced(docker, tmp_path_factory):
    a = new_agent(tmp_path_factory.mktemp("traced"), docker_socket=docker.socket).start()
    yield a
    a.stop()
    assert INSTANCE not in instances()


@pytest.fixture
def open_container(docker, traced):
    c = docker.run(flags=UNCONFINED)
    assert wait_for(lambda: traced.query("select 1 from containers where container_id = ?", c.id))
    yield c
    c.remove()


def test_calls_are_told_with_their_arguments(traced, open_container):
    open_container.py(CALLS + """
call('process_vm_writev', os.getpid(), one, 1, one, 1, 0)
call('userfaultfd', 1)
call('mount', 0, 0, 0, 0x1000, 0)
call('setns', -1, 0x20000)
call('unshare', 0x04000000)
call('memfd_create', ctypes.addressof(b), 1)
call('bpf', 5, 0, 0)
time.sleep(0.3)""")
    last = wait_for(lambda: told(traced, open_container, "bpf"))[-1]
    pid = last["pid"]
    rows = [r for r in told(traced, open_container) if r["pid"] == pid]
    assert [r["syscall"] for r in rows] == ["process_vm_writev", "userfaultfd", "mount", "setns", "unshare", "memfd_create", "bpf"]
    assert last["comm"] == "python3" and last["source"] == "tracefs" and last["task_id"] == open_container.task
    assert rows[0]["target_pid"] == pid
    args = {r["id"]: [r[f"arg{i}"] for i in range(6)] for r in traced.query("select * from other_event where pid = ?", pid)}
    by_name = {r["syscall"]: args[r["id"]] for r in rows}
    assert by_name["mount"] == [0, 0, 0, 0x1000, 0, None]
    assert by_name["setns"][:2] == [-1, 0x20000]
    assert by_name["bpf"] == [5, 0, 0, None, None, None]


def test_ordinary_arguments_are_dropped_in_the_kernel(traced, open_container):
    open_container.py(CALLS + """
call('mount', 0, 0, 0, 0x44000, 0)
call('mount', 0, 0, 0, 0x21, 0)
call('setns', -1, 0x40000000)
call('unshare', 0x400)
call('memfd_create', ctypes.addressof(b), 9)
call('bpf', 1, 0, 0)
call('ptrace', 7, 0, 0, 0)
call('userfaultfd', 1)
time.sleep(0.3)""")
    assert wait_for(lambda: told(traced, open_container, "userfaultfd"))
    pid = told(traced, open_container, "userfaultfd")[-1]["pid"]
    assert [r["syscall"] for r in told(traced, open_container) if r["pid"] == pid] == ["userfaultfd"]


def test_the_upper_half_of_an_int_hides_nothing(traced, open_container):
    open_container.py(CALLS + "call('bpf', 5 | 1 << 40, 0, 0); time.sleep(0.3)")
    row = wait_for(lambda: told(traced, open_container, "bpf"))[-1]
    assert traced.query("select arg0 from other_event where id = ?", row["id"])[0]["arg0"] == 5


def test_a_threads_call_belongs_to_its_process(traced, open_container):
    open_container.py(CALLS + "t = threading.Thread(target=lambda: [call('userfaultfd', 1), time.sleep(0.5)]); t.start(); t.join()")
    row = wait_for(lambda: told(traced, open_container, "userfaultfd"))[-1]
    execs = traced.query("select pid from process_event where id = ?", row["exec_id"])
    assert execs and execs[0]["pid"] == row["pid"]


def test_injection_names_its_target(traced, open_container):
    open_container.py(CALLS + "call('process_vm_writev', 1, one, 1, one, 1, 0); time.sleep(0.3)")
    f = traced.wait_finding(VM_WRITE, container_id=open_container.id)
    assert f["severity"] == "high" and f["task_id"] == open_container.task
    assert traced.evidence(f)[0]["evidence"]["target"]["pid"] == open_container.pid


def test_anti_debugging_is_told_from_debugging(traced, open_container):
    open_container.py(CALLS + "call('ptrace', 0, 0, 0, 0); time.sleep(0.8)")
    f = traced.wait_finding(ANTI_DEBUGGING, container_id=open_container.id)
    assert f["severity"] == "low" and f["comm"] == "python3"
    n = len(told(traced, open_container, "ptrace"))
    # as a debugger does it: the child asks, then executes; the debugger lets it go on
    open_container.py(CALLS + """
pid = os.fork()
if not pid:
    call('ptrace', 0, 0, 0, 0)
    os.execv('/bin/true', ['true'])
os.waitpid(pid, 0)
call('ptrace', 7, pid, 0, 0)
os.waitpid(pid, 0)""")
    assert wait_for(lambda: len(told(traced, open_container, "ptrace")) == n + 1)
    time.sleep(1.5)
    assert traced.findings(type=ANTI_DEBUGGING, container_id=open_container.id)[0]["count"] == 1


def test_what_seccomp_refuses_did_not_happen(docker, traced):
    c = docker.run()
    out = c.py(CALLS + "print(call('userfaultfd', 1))")
    if out != "-1":
        pytest.skip("Docker's profile lets userfaultfd through")
    time.sleep(1)
    assert told(traced, c, "userfaultfd") == []
    c.remove()


def test_ordinary_containers_make_few_events(docker, traced):
    since = traced.query("select coalesce(max(id), 0) n from events")[0]["n"]
    c = docker.run()
    for _ in range(5):
        c.exec("true")
    c.remove()
    time.sleep(1)
    rows = traced.query("select comm, syscall, count(*) n from events where kind = 'syscall' and id > ? group by 1, 2", since)
    print(json.dumps(rows))
    assert sum(r["n"] for r in rows) < 200
    assert not [f for f in traced.findings() if f["container_id"] == c.id]


def test_a_flood_is_counted(traced, open_container):
    """Neither kept whole nor passed over in silence."""
    def counted():
        return json.loads(state(traced)["counters"])
    time.sleep(5.2)
    before = counted()["lost"]
    open_container.py(CALLS + "[call('userfaultfd', -1) for _ in range(20000)]; time.sleep(0.5)", timeout=60)
    assert wait_for(lambda: counted()["lost"] > before)
    time.sleep(5.2)
    n = len(told(traced, open_container, "userfaultfd"))
    assert 200 <= n < 20000
    assert n + counted()["lost"] - before == 20000
    assert counted()["malformed"] == 0
