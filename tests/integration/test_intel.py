"""Threat lists: taken up while the agent runs, and fetched by the uploader from a real nginx over TLS."""

import hashlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest

from harness import ROOT, Agent, wait_for
from test_uploader import BUILD, NOBODY, UPLOADER, free_ports, make_ca, make_cert, openssl

CTL = BUILD / "ecsguardctl"
SHIPPED = f"  shipped_dir: {ROOT}/agent/intel\n"
CUSTOM = "Execution:Runtime/MaliciousFileExecuted.Custom"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


# ---- reload ----

@pytest.fixture
def small_agent(tmp_path):
    a = Agent(tmp_path / "agent")
    a.config.write_text(a.config.read_text().replace(SHIPPED, "  check_interval: 1s\n  shipped_dir: ''\n"))
    (a.intel / "own.txt").write_text("198.51.100.1\nbad.example\n")
    a.start()
    yield a
    a.stop()
    assert "Sanitizer" not in a.text() and "runtime error" not in a.text()


def program(path, number):
    """A program of its own, with a digest of its own."""
    shutil.copy(shutil.which("busybox"), path)
    with open(path, "ab") as f:
        f.write(b"%d" % number)
    path.chmod(0o755)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def intel_counters(a):
    row = a.health().get("intel")
    return json.loads(row["counters"]) if row else {}


def test_a_list_that_changes_is_in_force_without_a_restart(small_agent, tmp_path):
    a = small_agent
    digest = program(tmp_path / "busybox", 1)
    run = lambda: subprocess.run([tmp_path / "busybox", "sleep", "0.5"], check=True)  # so long that it can be hashed
    run()
    assert wait_for(lambda: intel_counters(a).get("domains") == 1)
    (a.intel / "next.tmp").write_text(f"{digest}\n")
    (a.intel / "next.tmp").rename(a.intel / "files.txt")
    assert wait_for(lambda: "1 hashes from 2 lists" in a.text())
    assert not a.findings(type=CUSTOM)
    run()
    f = a.wait_finding(CUSTOM, 10)
    assert a.evidence(f)[0]["evidence"]["list"] == "files"
    (a.intel / "trusted-files.txt").write_text(f"{digest}\n")
    assert wait_for(lambda: "2 hashes from 3 lists" in a.text())
    run()
    time.sleep(1)
    assert a.findings(type=CUSTOM)[0]["count"] == f["count"]
    assert a.process.poll() is None and a.text().count("agent: ready") == 1


def test_what_cannot_be_read_leaves_the_lists_in_force(small_agent):
    a = small_agent
    good = a.config.read_text()
    a.config.write_text(good.replace("intel:\n", "intel:\n  sources: nonsense\n"))
    a.process.send_signal(signal.SIGHUP)
    assert wait_for(lambda: "lists in force stay" in a.text())
    assert wait_for(lambda: a.health().get("intel", {}).get("state") == "degraded")
    assert "intel.sources" in a.health()["intel"]["reason"] and intel_counters(a)["domains"] == 1
    (a.intel / "broken.csv").write_text("<html>")
    a.config.write_text(good)
    a.process.send_signal(signal.SIGHUP)
    assert wait_for(lambda: "broken.csv: not read to its end: not a list" in a.text())
    told = "1 addresses, 0 networks, 1 domains and 0 hashes from 1 lists"
    assert wait_for(lambda: told in a.text().rpartition("broken.csv: not read to its end")[2])


# ---- fetching ----

class Server:
    """nginx with files; the certificate is valid for localhost."""

    def __init__(self, directory):
        self.directory, self.process = directory, None
        (directory / "www").mkdir()
        make_ca(directory, "ca")
        make_cert(directory, "valid", "ca", "DNS:localhost,IP:127.0.0.1")
        (directory / "ca.pem").chmod(0o644)
        self.port, = free_ports(1)
        (directory / "nginx.conf").write_text(
            f"daemon off; pid nginx.pid; error_log stderr error; worker_processes 1; user root;\nevents {{ worker_connections 32; }}\n"
            f"http {{ log_format short '$status $uri'; access_log access.log short; gzip on; gzip_types *; gzip_min_length 1;\n"
            f"client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;\n"
            f"server {{ listen 127.0.0.1:{self.port} ssl; ssl_certificate valid.pem; ssl_certificate_key valid.key; root {directory}/www;\n"
            f"location = /moved {{ return 302 https://localhost:{self.port}/list.txt; }}\n"
            f"location = /downgraded {{ return 302 http://localhost:{self.port}/list.txt; }} }} }}\n")

    def start(self):
        self.process = subprocess.Popen(["nginx", "-p", str(self.directory), "-c", "nginx.conf"], stdin=subprocess.DEVNULL,
                                        stderr=open(self.directory / "nginx.log", "ab"))
        assert wait_for(lambda: socket.socket().connect_ex(("127.0.0.1", self.port)) == 0), (self.directory / "nginx.log").read_text()

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(10)
        self.process = None

    def put(self, name, text):
        (self.directory / "www" / name).write_bytes(text if isinstance(text, bytes) else text.encode())

    def requests(self):
        return (self.directory / "access.log").read_text().splitlines()


class Fetcher:
    def __init__(self, server):
        self.server = server
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="intel-fetch-"))
        self.directory.chmod(0o755)
        self.state = self.directory / "state"
        self.state.mkdir(mode=0o700)
        os.chown(self.state, NOBODY, NOBODY)
        self.config, self.log = self.directory / "ecsguard.yaml", self.directory / "log"
        self.log.touch()
        (self.directory / "intel.d").mkdir()
        self.process = None

    def configure(self, *sources):
        ca = self.server.directory / "ca.pem"
        text = f"storage: {{path: {self.directory}/db}}\ndelivery: {{state_dir: {self.state}}}\nintel:\n  shipped_dir: ''\n  dir: {self.directory}/intel.d\n  sources:\n"
        for s in sources:
            s = {"ca_file": ca, **s, "url": f"https://localhost:{self.server.port}/{s['url']}"}
            text += "    - {" + ", ".join(f"{k}: '{v}'" for k, v in s.items()) + "}\n"
        self.config.write_text(text)

    def start(self):
        self.process = subprocess.Popen([UPLOADER, "--config", self.config], user=NOBODY, group=NOBODY, extra_groups=[], stdin=subprocess.DEVNULL,
                                        stderr=open(self.log, "ab"))

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(10) == 0
        self.process = None

    def again(self):
        """Fetches everything now; returns when it has been tried."""
        before = self.list()["tried"] if self.lists() else None
        self.process.send_signal(signal.SIGHUP)
        assert wait_for(lambda: self.lists() and self.list()["tried"] != before)

    def lists(self):
        try:
            return {x["name"]: x for x in json.loads((self.state / "status.json").read_text())["lists"]}
        except (FileNotFoundError, KeyError):
            return {}

    def list(self, name="feed"):
        return self.lists()[name]

    def wait(self, check):
        assert wait_for(lambda: self.lists() and check(self.list())), (self.lists(), self.log.read_text())
        return self.list()

    def ctl(self, *args):
        result = subprocess.run([CTL, "intel", *args, "--json", "--config", self.config], capture_output=True, text=True)
        return [json.loads(line) for line in result.stdout.splitlines()]

    def listed(self, value):
        return self.ctl("lookup", value)[0]["listed"]

    def path(self):
        return self.state / "intel/feed.list"

    def close(self):
        if self.process:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.directory)


@pytest.fixture(scope="module")
def server():
    if not shutil.which("nginx"):
        pytest.skip("needs nginx")
    directory = pathlib.Path(tempfile.mkdtemp(prefix="intel-nginx-"))
    directory.chmod(0o755)
    s = Server(directory)
    yield s
    s.stop()
    shutil.rmtree(directory)


@pytest.fixture
def fetcher(server):
    if not server.process:
        server.start()
    f = Fetcher(server)
    yield f
    text = f.log.read_text()
    f.close()
    assert "Sanitizer" not in text and "runtime error" not in text, text


def test_a_list_is_fetched_and_renewed(fetcher, server):
    server.put("list.txt", "198.51.100.1\nbad.example\n" * 10)
    fetcher.configure({"name": "feed", "url": "list.txt", "category": "phishing"})
    fetcher.start()
    state = fetcher.wait(lambda s: s["changed"])
    assert state["error"] == "" and not state["signed"]
    assert fetcher.listed("198.51.100.1") and fetcher.listed("www.bad.example")
    row, = fetcher.ctl("list")
    assert row["list"] == "feed" and row["category"] == "phishing" and row["fetched"] and row["checked"] and not row["problem"]
    inode = fetcher.path().stat().st_ino
    fetcher.again()
    assert fetcher.path().stat().st_ino == inode and server.requests()[-1] == "304 /list.txt"
    time.sleep(1.1)  # Last-Modified has seconds
    server.put("list.txt", "198.51.100.2\n")
    fetcher.again()
    assert fetcher.listed("198.51.100.2") and not fetcher.listed("198.51.100.1")
    fetcher.stop()
    n = len(server.requests())
    fetcher.start()  # it was just fetched: not again
    time.sleep(0.5)
    assert len(server.requests()) == n and fetcher.path().exists()


def test_the_old_list_stays_when_the_new_one_is_refused(fetcher, server):
    server.put("list.txt", "198.51.100.1\n")
    fetcher.configure({"name": "feed", "url": "list.txt", "max_size": "64KiB"})
    fetcher.start()
    fetcher.wait(lambda s: s["changed"])
    server.put("list.txt", "198.51.100.3\n" * 6000)  # 76 KiB; packed by nginx it is small
    fetcher.again()
    assert "larger than 65536" in fetcher.list()["error"] and fetcher.listed("198.51.100.1")
    server.put("list.txt", "<!DOCTYPE html><html><body>Please log in</body></html>")
    fetcher.again()
    assert "not a list" in fetcher.list()["error"] and fetcher.listed("198.51.100.1")
    server.put("list.txt", "# nothing\n")
    fetcher.again()
    assert "nothing in it" in fetcher.list()["error"] and fetcher.listed("198.51.100.1")
    (server.directory / "www/list.txt").unlink()
    fetcher.again()
    assert "HTTP 404" in fetcher.list()["error"] and fetcher.listed("198.51.100.1")
    server.stop()
    fetcher.again()
    assert "onnect" in fetcher.list()["error"] and fetcher.list()["failures"] == 5 and fetcher.listed("198.51.100.1")
    row, = fetcher.ctl("list")
    assert "onnect" in row["problem"]
    assert not list((fetcher.state / "intel").glob("*.part"))
    server.start()
    server.put("list.txt", "198.51.100.4\nof.another.size.example\n")  # nginx tells files apart by second and size
    fetcher.again()
    assert fetcher.list()["error"] == "" and fetcher.listed("198.51.100.4")


def test_signatures(fetcher, server):
    d = fetcher.directory
    for name in ("good", "other"):
        openssl(d, "genpkey", "-algorithm", "ed25519", "-out", f"{name}.key")
        openssl(d, "pkey", "-in", f"{name}.key", "-pubout", "-out", f"{name}.pem")
        (d / f"{name}.pem").chmod(0o644)

    def sign(key, text):
        (d / "list").write_text(text)
        openssl(d, "pkeyutl", "-sign", "-rawin", "-inkey", f"{key}.key", "-in", "list", "-out", "sig")
        server.put("list.txt", text)
        server.put("list.txt.sig", (d / "sig").read_bytes())

    server.put("list.txt", "198.51.100.9\n")
    fetcher.configure({"name": "feed", "url": "list.txt?x=1"})
    fetcher.start()
    fetcher.wait(lambda s: s["changed"])
    fetcher.stop()
    # a key, from now on: what was never checked goes
    source = {"name": "feed", "url": "list.txt?x=1", "public_key": d / "good.pem"}
    (server.directory / "www/list.txt.sig").unlink(missing_ok=True)
    fetcher.configure(source)
    fetcher.start()
    fetcher.wait(lambda s: "no signature: HTTP 404" in s["error"])
    assert not fetcher.path().exists() and "removed" in fetcher.log.read_text()
    sign("good", "198.51.100.1\n")
    fetcher.again()
    assert fetcher.list()["error"] == "" and fetcher.list()["signed"] and fetcher.listed("198.51.100.1")
    time.sleep(1.1)
    sign("other", "198.51.100.2\n")
    fetcher.again()
    assert "signature" in fetcher.list()["error"] and fetcher.listed("198.51.100.1") and not fetcher.listed("198.51.100.2")
    server.put("list.txt.sig", b"no signature at all")
    fetcher.again()
    assert "not a signature" in fetcher.list()["error"]
    sign("good", "198.51.100.3\n")
    server.put("list.txt.sig", __import__("base64").b64encode((d / "sig").read_bytes()) + b"\n")
    fetcher.again()
    assert fetcher.list()["error"] == "" and fetcher.listed("198.51.100.3")


def test_redirects_and_certificates(fetcher, server):
    server.put("list.txt", "198.51.100.1\n")
    fetcher.configure({"name": "feed", "url": "downgraded"}, {"name": "moved", "url": "moved"}, {"name": "secret", "url": "moved", "header": "X-Key: 123"},
                      {"name": "unknown-ca", "url": "list.txt", "ca_file": "/etc/ssl/certs/ca-certificates.crt"})
    fetcher.start()
    assert wait_for(lambda: len(fetcher.lists()) == 4 and all(x["tried"] for x in fetcher.lists().values())), fetcher.lists()
    lists = fetcher.lists()
    assert not lists["feed"]["changed"] and "rotocol" in lists["feed"]["error"]
    assert lists["moved"]["changed"] and not lists["moved"]["error"]
    assert "HTTP 302" in lists["secret"]["error"]
    assert "ertificate" in lists["unknown-ca"]["error"]


def test_the_agent_takes_up_what_was_fetched(fetcher, server, tmp_path):
    server.put("list.txt", "bad.example\n198.51.100.1\n")
    fetcher.configure({"name": "feed", "url": "list.txt"})
    a = Agent(tmp_path / "agent", config=f"delivery:\n  state_dir: {fetcher.state}\n")
    source = fetcher.config.read_text().split("  sources:\n")[1]
    a.config.write_text(a.config.read_text().replace(SHIPPED, f"  check_interval: 1s\n  shipped_dir: ''\n  sources:\n{source}"))
    a.start()
    try:
        assert wait_for(lambda: "not fetched yet" in (a.health().get("intel") or {"reason": ""})["reason"])
        fetcher.start()
        fetcher.wait(lambda s: s["changed"])
        assert wait_for(lambda: intel_counters(a).get("domains") == 1, 15), a.text()
        assert a.health()["intel"]["state"] == "ok"
    finally:
        a.stop()
    assert "Sanitizer" not in a.text() and "runtime error" not in a.text()
