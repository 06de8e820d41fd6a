"""What the whole agent tells of files, mounts and runtime sockets in containers, as rows of its database. Needs root."""
import os
import socket
import subprocess
import threading
import time

import pytest

from harness import wait_for

PRIVILEGED = ["--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"]


@pytest.fixture
def started(docker, agent):
    made = []

    def start(*flags):
        c = docker.run(flags=flags)
        made.append(c)
        assert wait_for(lambda: agent.query("select 1 from containers where container_id = ?", c.id))
        time.sleep(0.5)  # its program runs, its marks are set
        return c

    yield start
    for c in made:
        c.remove()


def rows(agent, container, sql, *args, timeout=30):
    return wait_for(lambda: agent.query(f"select e.* from {sql}", *args, container.id), timeout)


def files(agent, container, where, *args, timeout=30):
    return rows(agent, container, "file_event e join container c on c.id = e.container where " + where + " and c.container_id = ?", *args, timeout=timeout)


def others(agent, container, where, *args):
    return rows(agent, container, "other_event e join container c on c.id = e.container where " + where + " and c.container_id = ?", *args)


def test_sensitive_reads_links_and_emptied_logs(agent, started):
    c = started()
    c.sh("mkdir -p /root/.ssh /var/log; echo key >/root/.ssh/id_rsa; echo x >/etc/shadow; echo line >/var/log/app.log; sleep 0.5; "
         "cat /etc/shadow /root/.ssh/id_rsa; busybox ln -s /etc/shadow /tmp/s; busybox ln /etc/shadow /tmp/h; : >/var/log/app.log; "
         "mkdir /tmp/d; busybox rmdir /tmp/d; cat /proc/1/environ >/dev/null", check=False)
    assert files(agent, c, "op = 8 and path = '/etc/shadow'")
    assert files(agent, c, "op = 8 and path = '/root/.ssh/id_rsa'")
    assert files(agent, c, "link_target = '/etc/shadow' and path = '/tmp/s'")
    assert files(agent, c, "old_path = '/etc/shadow' and path = '/tmp/h'")
    assert files(agent, c, "op = 5 and path = '/var/log/app.log' and file_size = 0")
    assert files(agent, c, "op = 2 and path = '/tmp/d' and mode = 16384")
    assert files(agent, c, "op = 8 and path = '/proc/1/environ'")


def test_a_mount_and_what_is_mounted(agent, started):
    c = started(*PRIVILEGED)
    c.py("import ctypes; l = ctypes.CDLL(None); import os; os.mkdir('/tmp/m'); print(l.mount(b'evil', b'/tmp/m', b'tmpfs', 0, None)); "
         "open('/tmp/m/x', 'w').write('y'); import time; time.sleep(0.5)")
    found = others(agent, c, "mount_source = 'evil'")
    assert found and found[0]["path"] == "/tmp/m" and found[0]["fs_type"] == "tmpfs"
    c.sh("cp /bin/busybox /tmp/m/program")
    assert files(agent, c, "op = 5 and path = '/tmp/m/program'"), "what is mounted later is watched as well"


def test_the_docker_socket(agent, started, tmp_path):
    server = socket.socket(socket.AF_UNIX)
    server.bind(f"{tmp_path}/docker.sock")
    server.listen()
    threading.Thread(target=lambda: [server.accept() for _ in range(9)], daemon=True).start()
    c = started("-v", f"{tmp_path}/docker.sock:/var/run/docker.sock")
    c.py("import socket, time; s = socket.socket(socket.AF_UNIX); s.connect('/var/run/docker.sock'); time.sleep(0.4)")
    found = others(agent, c, "path = ?", f"{tmp_path}/docker.sock")
    assert found and found[0]["pid"]


def test_a_new_library_that_is_loaded(agent, started, tmp_path):
    subprocess.run(["gcc", "-shared", "-o", f"{tmp_path}/evil.so", "-x", "c", "-"], input=b"int x;", check=True)
    c = started("-v", f"{tmp_path}:/mnt:ro")
    c.sh("cp /mnt/evil.so /tmp/libhide.so; cp /tmp/libhide.so /tmp/copy.so; cat /tmp/copy.so >/dev/null")
    c.sh("LD_PRELOAD=/tmp/libhide.so sleep 0.3")
    finding = agent.wait_finding("Execution:Runtime/NewLibraryLoaded")
    assert "/tmp/libhide.so" in finding["description"] and finding["container_id"] == c.id
    evidence = agent.evidence(finding)[0]["evidence"]
    assert evidence["code_mapped"] and evidence["writer"]["exe"].endswith("/cp")
    assert len(agent.findings(type="Execution:Runtime/NewLibraryLoaded")) == 1, "neither cp nor cat loads anything"


def test_health_names_the_new_sensors(agent):
    assert wait_for(lambda: {"mounts", "unix", "modules"} <= set(agent.health()))
    health = agent.health()
    assert health["mounts"]["state"] == "ok" and health["unix"]["state"] == "ok"
    if not os.path.exists("/proc/modules"):
        assert health["modules"]["state"] == "off" and "no loadable modules" in health["modules"]["reason"]
