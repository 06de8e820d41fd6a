"""What the tests of the system call sensor share. tracefs is mounted in mount namespaces of their own; instances are the whole kernel's, so only one
agent at a time can have its own."""

import os
import platform
import subprocess

import pytest

from harness import WITH_TRACEFS, Agent, wait_for

INSTANCE = "ecsguard"
NUMBERS = {
    "x86_64": {"ptrace": 101, "process_vm_writev": 311, "userfaultfd": 323, "mount": 165, "setns": 308, "unshare": 272, "memfd_create": 319, "bpf": 321},
    "aarch64": {"ptrace": 117, "process_vm_writev": 271, "userfaultfd": 282, "mount": 40, "setns": 268, "unshare": 97, "memfd_create": 279, "bpf": 280},
}.get(platform.machine())
# In the container's python: call("mount", 0, 0, 0, 4096, 0). `one`: a vector of one byte of this process.
CALLS = (f"import ctypes,os,sys,time,threading; numbers={NUMBERS}; libc=ctypes.CDLL(None); b=ctypes.create_string_buffer(b'x'); "
         "v=(ctypes.c_ulong*2)(ctypes.addressof(b),1); one=ctypes.addressof(v)\n"
         "def call(name,*a): return libc.syscall(numbers[name],*[ctypes.c_ulong(x&(1<<64)-1) for x in a])\n")


def has_tracefs():
    return subprocess.run([*WITH_TRACEFS, "test", "-d", "/sys/kernel/tracing/events/syscalls/sys_enter_setns"], capture_output=True).returncode == 0


needs = [pytest.mark.skipif(os.geteuid() != 0, reason="needs root"), pytest.mark.skipif(not NUMBERS, reason="other machine"),
         pytest.mark.skipif(os.geteuid() == 0 and not has_tracefs(), reason="no tracefs, or a kernel without CONFIG_FTRACE_SYSCALLS")]


def instances():
    return subprocess.run([*WITH_TRACEFS, "ls", "/sys/kernel/tracing/instances"], capture_output=True, text=True, check=True).stdout.split()


def new_agent(path, prefix=WITH_TRACEFS, config="sensors:\n  syscalls: true\n", **options):
    return Agent(path, config=config, prefix=prefix, **options)


def state(agent):
    """The sensor's line of health, when the agent has told it."""
    wait_for(lambda: "syscalls" in agent.health(), 7)
    return agent.health()["syscalls"]
