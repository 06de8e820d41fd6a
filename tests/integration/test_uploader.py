"""ecsguard-uploader against a real nginx that ends TLS, with good and bad certificates, and a recorder behind it.

Everything is in a temporary directory and on 127.0.0.1. The uploader runs as nobody, who can only read the database. Needs root.
"""

import http.server
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import pytest

from harness import wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("ECSGUARD_BUILD", ROOT / "build"))
UPLOADER = BUILD / "ecsguard-uploader"
WRITER = BUILD / "tests/integration/findings_writer"
NOBODY = 65534

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to run the uploader as another user"),
    pytest.mark.skipif(not shutil.which("nginx"), reason="needs nginx"),
    pytest.mark.skipif(not WRITER.exists(), reason=f"needs {WRITER}: make {WRITER.relative_to(BUILD)}"),
]


def free_ports(n):
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


# ---- certificates ----

def openssl(directory, *args):
    subprocess.run(["openssl", *args], cwd=directory, check=True, capture_output=True)


def make_ca(directory, name):
    openssl(directory, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", "2",
            "-subj", f"/CN={name}")


def make_cert(directory, name, ca, san, expired=False):
    (directory / f"{name}.ext").write_text(f"subjectAltName={san}\nbasicConstraints=CA:FALSE\n")
    openssl(directory, "req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
    if expired:
        (directory / "index.txt").touch()
        (directory / "ca.cnf").write_text("[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nnew_certs_dir=.\nserial=serial\ndefault_md=sha256\n"
                                          "policy=p\nrand_serial=yes\n[p]\ncommonName=supplied\n")
        openssl(directory, "ca", "-batch", "-config", "ca.cnf", "-cert", f"{ca}.pem", "-keyfile", f"{ca}.key", "-in", f"{name}.csr",
                "-out", f"{name}.pem", "-startdate", "20200101000000Z", "-enddate", "20200201000000Z", "-extfile", f"{name}.ext", "-notext")
    else:
        openssl(directory, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial", "-days", "2",
                "-out", f"{name}.pem", "-extfile", f"{name}.ext")


# ---- receiver ----

class Recorder(http.server.ThreadingHTTPServer):
    """Behind nginx: keeps every request and answers what `answer(recorder, body)` says: (status, headers, delay)."""
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port):
        super().__init__(("127.0.0.1", port), RecorderHandler)
        self.requests, self.lock = [], threading.Lock()
        self.answer = lambda recorder, body: (200, {}, 0)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # the uploader was killed while we answered

    def accepted(self):
        with self.lock:
            return [f["delivery_id"] for r in self.requests if r["status"] == 200 for f in r["body"]["findings"]]

    def titles(self):
        with self.lock:
            return {f["title"] for r in self.requests if r["status"] == 200 for f in r["body"]["findings"]}

    def times(self):
        with self.lock:
            return [r["time"] for r in self.requests]

    def count(self):
        with self.lock:
            return len(self.requests)


class RecorderHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        entry = {"time": time.monotonic(), "headers": dict(self.headers), "body": body, "status": None, "path": self.path}
        with self.server.lock:
            self.server.requests.append(entry)
        status, headers, delay = self.server.answer(self.server, body)
        time.sleep(delay)
        entry["status"] = status
        self.send_response(status)
        text = b"an answer\x1b[31m\n" if status != 204 else b""
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args):
        pass


SERVERS = {
    "valid": "ssl_certificate valid.pem; ssl_certificate_key valid.key;",
    "expired": "ssl_certificate expired.pem; ssl_certificate_key expired.key;",
    "wrong": "ssl_certificate wrong.pem; ssl_certificate_key wrong.key;",
    "unknown": "ssl_certificate unknown.pem; ssl_certificate_key unknown.key;",
    "client": "ssl_certificate valid.pem; ssl_certificate_key valid.key; ssl_client_certificate ca.pem; ssl_verify_client on;",
    "old": "ssl_certificate valid.pem; ssl_certificate_key valid.key; ssl_protocols TLSv1.1; ssl_ciphers ALL:@SECLEVEL=0;",
    "small": "ssl_certificate valid.pem; ssl_certificate_key valid.key; client_max_body_size 16k;",
    "tiny": "ssl_certificate valid.pem; ssl_certificate_key valid.key; client_max_body_size 3k;",
}


class Receiver:
    def __init__(self, directory):
        self.directory, self.process = directory, None
        make_ca(directory, "ca")
        make_ca(directory, "otherca")
        make_cert(directory, "valid", "ca", "DNS:localhost,IP:127.0.0.1")
        make_cert(directory, "expired", "ca", "DNS:localhost,IP:127.0.0.1", expired=True)
        make_cert(directory, "wrong", "ca", "DNS:elsewhere.example")
        make_cert(directory, "unknown", "otherca", "DNS:localhost,IP:127.0.0.1")
        make_cert(directory, "clientcert", "ca", "DNS:client")
        for key in directory.glob("*.key"):
            key.chmod(0o644)
        recorder_port, *ports = free_ports(1 + len(SERVERS))
        self.ports = dict(zip(SERVERS, ports))
        self.recorder = Recorder(recorder_port)
        servers = "".join(
            f"server {{ listen 127.0.0.1:{self.ports[name]} ssl; {tls} location / {{ proxy_pass http://127.0.0.1:{recorder_port}; }} }}\n"
            for name, tls in SERVERS.items())
        (directory / "nginx.conf").write_text(
            f"daemon off; pid nginx.pid; error_log stderr error; worker_processes 1; user root;\nevents {{ worker_connections 128; }}\n"
            f"http {{ access_log off; proxy_read_timeout 120s; client_max_body_size 32m;\n"
            f"client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;\n{servers} }}\n")

    def start(self):
        self.process = subprocess.Popen(["nginx", "-p", str(self.directory), "-c", "nginx.conf"], stdin=subprocess.DEVNULL,
                                        stderr=open(self.directory / "nginx.log", "ab"))
        for port in self.ports.values():
            assert wait_for(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0), (self.directory / "nginx.log").read_text()

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(10)
        self.process = None


@pytest.fixture(scope="module")
def receiver_process():
    directory = pathlib.Path(tempfile.mkdtemp(prefix="uploader-nginx-"))
    directory.chmod(0o755)
    r = Receiver(directory)
    yield r
    r.stop()
    r.recorder.shutdown()
    shutil.rmtree(directory)


@pytest.fixture
def receiver(receiver_process):
    r = receiver_process
    if not r.process:
        r.start()
    with r.recorder.lock:
        r.recorder.requests.clear()
    r.recorder.answer = lambda recorder, body: (200, {}, 0)
    return r


# ---- the host ----

class Host:
    """A database with its writer, and an uploader as nobody."""

    def __init__(self, receiver):
        self.receiver = receiver
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="uploader-"))
        self.directory.chmod(0o755)
        (self.directory / "db").mkdir(mode=0o755)
        self.database = self.directory / "db/ecsguard.db"
        self.state = self.directory / "state"
        self.state.mkdir(mode=0o700)
        os.chown(self.state, NOBODY, NOBODY)
        self.log = self.directory / "log"
        self.log.touch()
        self.writer = self.uploader = None
        self.configure("valid")

    def configure(self, server, host="localhost", **options):
        values = {"enabled": "true", "url": f"https://{host}:{self.receiver.ports[server]}/in?token=s3cret", "interval": "100ms", "backoff_min": "100ms",
                  "backoff_max": "1s", "ca_file": str(self.receiver.directory / "ca.pem"), "state_dir": str(self.state), **options}
        text = f"storage: {{path: {self.database}}}\nhost: {{name: test-host}}\ndelivery:\n"
        (self.directory / "ecsguard.yaml").write_text(text + "".join(f"  {k}: {v}\n" for k, v in values.items()))

    def start_writer(self):
        self.writer = subprocess.Popen([WRITER, self.database], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.writer.stdout.readline() == "ready\n"
        for f in self.database.parent.iterdir():
            f.chmod(0o644)

    def stop_writer(self):
        if self.writer:
            self.writer.stdin.close()
            assert self.writer.wait(10) == 0
        self.writer = None

    def add(self, *keys, size=0):
        if not self.writer:
            self.start_writer()
        for key in keys:
            self.writer.stdin.write(f"add {key} {size}\n")
            self.writer.stdin.flush()
            revision = int(self.writer.stdout.readline())
        return revision

    def start(self, **popen):
        self.uploader = subprocess.Popen([UPLOADER, "--config", self.directory / "ecsguard.yaml"], user=NOBODY, group=NOBODY, extra_groups=[],
                                         stdin=subprocess.DEVNULL, stderr=open(self.log, "ab"), **popen)
        return self.uploader

    def stop(self, how=signal.SIGTERM, timeout=30):
        self.uploader.send_signal(how)
        status = self.uploader.wait(timeout)
        self.uploader = None
        return status

    def status(self):
        try:
            return json.loads((self.state / "status.json").read_text())
        except FileNotFoundError:
            return {}

    def titles(self):
        return self.receiver.recorder.titles()

    def close(self):
        for process in (self.uploader, self.writer):
            if process:
                process.kill()
                process.wait()
        shutil.rmtree(self.directory)


@pytest.fixture
def host(receiver):
    h = Host(receiver)
    yield h
    text = h.log.read_text()
    h.close()
    assert "AddressSanitizer" not in text and "runtime error" not in text, text


def titles(*keys):
    return {f"finding {key}" for key in keys}


# ---- delivery ----

def test_findings_arrive_complete_and_once(host, receiver):
    host.add("a", "b")
    last = host.add("a")
    host.start()
    assert wait_for(lambda: host.titles() == titles("a", "b"))
    assert wait_for(lambda: host.status().get("acknowledged_revision") == last)
    time.sleep(0.5)
    assert receiver.recorder.count() == 1
    request = receiver.recorder.requests[0]
    body = request["body"]
    assert body["schema"] == "ecsguard.findings/1" and body["host"] == "test-host"
    assert request["headers"]["Content-Type"] == "application/json" and request["headers"]["Idempotency-Key"] == body["batch_id"]
    b, a = body["findings"]
    assert a["delivery_id"] == f"{a['id']}-{last}" and a["count"] == 2 and a["severity"] == "high" and a["host"] == "writer"
    assert a["mitre"] == ["TA0002", "T1059.004"] and a["process"]["exe"] == "/bin/sh" and a["process"]["pid"] == 42
    assert a["lineage"] == [{"pid": 1, "exe": "/sbin/init"}] and len(a["evidence"]) == 2 and a["evidence_total"] == 2
    assert a["evidence"][0]["facts"]["dst"] == "192.0.2.1" and not a["truncated"]
    status = host.status()
    assert status["pending"] == 0 and status["findings_sent"] == 2 and status["last_success"] and not status["last_error"]
    assert "s3cret" not in json.dumps(status)


def test_new_and_repeated_findings_are_sent_as_they_come(host, receiver):
    host.start()
    assert wait_for(lambda: "waiting for the database" in host.status().get("state", ""))
    host.add("a")
    assert wait_for(lambda: len(receiver.recorder.accepted()) == 1)
    host.add("a")
    host.add("b")
    assert wait_for(lambda: len(receiver.recorder.accepted()) == 3)
    ids = receiver.recorder.accepted()
    assert len(set(ids)) == 3 and ids[0].split("-")[0] == ids[1].split("-")[0]


def test_many_findings_go_in_bounded_batches(host, receiver):
    host.add(*[f"n{i}" for i in range(250)], size=500)
    host.configure("valid", batch_max=40, batch_bytes="32KiB")
    host.start()
    assert wait_for(lambda: len(host.titles()) == 250)
    with receiver.recorder.lock:
        for r in receiver.recorder.requests:
            assert len(r["body"]["findings"]) <= 40 and int(r["headers"]["Content-Length"]) <= 32 << 10
    assert len(receiver.recorder.accepted()) == 250


def test_a_restart_sends_nothing_twice(host, receiver):
    host.add("a", "b")
    host.start()
    assert wait_for(lambda: len(host.titles()) == 2)
    assert wait_for(lambda: host.status().get("pending") == 0)
    assert host.stop() == 0
    host.add("c")
    host.start()
    assert wait_for(lambda: len(host.titles()) == 3)
    assert len(receiver.recorder.accepted()) == 3


def test_headers_and_secrets_from_a_file(host, receiver):
    token = host.directory / "token"
    token.write_text("Bearer one\n")
    host.configure("valid", headers=f'["X-Team: blue", "Authorization: @{token}"]')
    host.add("a")
    host.start()
    assert wait_for(lambda: receiver.recorder.count() == 1)
    headers = receiver.recorder.requests[0]["headers"]
    assert headers["X-Team"] == "blue" and headers["Authorization"] == "Bearer one"
    token.write_text("Bearer two\n")
    host.add("b")
    assert wait_for(lambda: receiver.recorder.count() == 2)
    assert receiver.recorder.requests[1]["headers"]["Authorization"] == "Bearer two"
    token.unlink()
    host.add("c")
    assert wait_for(lambda: "cannot take the value of a header" in host.status().get("last_error", ""))
    token.write_text("Bearer three")
    assert wait_for(lambda: receiver.recorder.count() == 3)
    assert "Bearer" not in host.log.read_text()


def test_the_database_can_only_be_read(host):
    """The uploader neither may nor needs to write there; with the agent stopped it waits or reads, and does not fail."""
    host.add("a")
    before = {f.name for f in host.database.parent.iterdir()}
    host.start()
    assert wait_for(lambda: host.titles() == titles("a"))
    assert {f.name for f in host.database.parent.iterdir()} == before
    opened = []
    for fd in os.listdir(f"/proc/{host.uploader.pid}/fd"):
        try:
            name, flags = os.readlink(f"/proc/{host.uploader.pid}/fd/{fd}"), open(f"/proc/{host.uploader.pid}/fdinfo/{fd}").read().split()[3]
        except FileNotFoundError:
            continue  # closed meanwhile
        if "ecsguard.db" in name:
            opened.append(f"{name} {flags}")
    assert opened and all(int(o.split()[-1], 8) & 3 == os.O_RDONLY for o in opened), opened
    host.stop_writer()
    time.sleep(0.5)
    assert host.uploader.poll() is None
    host.add("b")
    assert wait_for(lambda: host.titles() == titles("a", "b"))


# ---- TLS ----

@pytest.mark.parametrize("server,address,reason", [
    ("expired", "localhost", "certificate has expired"),
    ("wrong", "localhost", "subject name"),
    ("valid", "ip6-localhost.invalid", "resolve"),
    ("unknown", "localhost", "unable to get local issuer certificate"),
    ("old", "localhost", ""),
])
def test_a_server_that_cannot_be_verified_gets_nothing(host, receiver, server, address, reason):
    host.configure(server, host=address)
    host.add("a")
    host.start()
    assert wait_for(lambda: host.status().get("failures", 0) >= 2)
    assert reason in host.status().get("last_error", "")
    assert receiver.recorder.count() == 0 and host.status().get("pending") == 1 and host.status()["acknowledged_revision"] == 0


def test_the_systems_authorities_do_not_know_our_receiver(host, receiver):
    host.configure("valid", ca_file='""')
    host.add("a")
    host.start()
    assert wait_for(lambda: host.status().get("failures", 0) >= 1)
    assert "certificate" in host.status().get("last_error", "") and receiver.recorder.count() == 0


def test_a_client_certificate_is_shown(host, receiver):
    host.configure("client")
    host.add("a")
    host.start()
    assert wait_for(lambda: "HTTP 400" in host.status().get("last_error", ""))
    host.stop()
    assert receiver.recorder.count() == 0
    cert = receiver.directory / "clientcert"
    host.configure("client", client_cert=f"{cert}.pem", client_key=f"{cert}.key")
    host.start()
    assert wait_for(lambda: host.titles() == titles("a"))


def test_a_redirect_is_not_followed(host, receiver):
    receiver.recorder.answer = lambda r, body: (307, {"Location": f"https://localhost:{receiver.ports['valid']}/other"}, 0)
    host.add("a")
    host.start()
    assert wait_for(lambda: host.status().get("failures", 0) >= 2)
    assert "redirects are not followed" in host.status().get("last_error", "")
    assert {r["path"] for r in receiver.recorder.requests} == {"/in?token=s3cret"}


# ---- failures and recovery ----

def test_errors_back_off_and_recover(host, receiver):
    host.configure("valid", backoff_max="2s")
    receiver.recorder.answer = lambda r, body: (500, {}, 0)
    host.add("a")
    host.start()
    time.sleep(6)
    times = receiver.recorder.times()
    assert 4 <= len(times) <= 20, times
    assert max(b - a for a, b in zip(times, times[1:])) <= 2.5
    assert all(b - a >= 0.095 for a, b in zip(times, times[1:])), times
    status = host.status()
    assert status["pending"] == 1 and "HTTP 500: an answer\\x1b" in status["last_error"]
    receiver.recorder.answer = lambda r, body: (200, {}, 0)
    assert wait_for(lambda: host.titles() == titles("a"))
    assert wait_for(lambda: host.status().get("pending") == 0)
    assert "the receiver accepts findings" in host.log.read_text()
    assert host.log.read_text().count("HTTP 500") == 1


def test_a_receiver_that_is_down_comes_back(host, receiver):
    receiver.stop()
    host.add("a")
    host.start()
    assert wait_for(lambda: host.status().get("failures", 0) >= 3)
    assert "onnect" in host.status().get("last_error", "")
    receiver.start()
    assert wait_for(lambda: host.titles() == titles("a"))
    receiver.stop()
    host.add("b")
    assert wait_for(lambda: host.status().get("pending") == 1)
    receiver.start()
    assert wait_for(lambda: host.titles() == titles("a", "b"))


def test_retry_after_is_honoured_within_the_cap(host, receiver):
    host.configure("valid", backoff_max="3s")
    receiver.recorder.answer = lambda r, body: (429, {"Retry-After": "2" if r.count() == 1 else "3600"}, 0) if r.count() <= 2 else (200, {}, 0)
    host.add("a")
    host.start()
    assert wait_for(lambda: host.titles() == titles("a"))
    first, second, third = receiver.recorder.times()
    assert 1.9 <= second - first < 2.9 and 2.9 <= third - second < 10


def test_a_slow_receiver_is_waited_for_once(host, receiver):
    receiver.recorder.answer = lambda r, body: (200, {}, 3)
    host.add("a")
    host.start()
    assert wait_for(lambda: host.titles() == titles("a"))
    time.sleep(0.5)
    assert receiver.recorder.count() == 1


def test_a_receiver_that_never_answers_is_given_up(host, receiver):
    receiver.recorder.answer = lambda r, body: (200, {}, 33 if r.count() == 1 else 0)
    host.add("a")
    host.start()
    assert wait_for(lambda: "timed out" in host.status().get("last_error", ""), 40)
    assert wait_for(lambda: host.titles() == titles("a"))
    assert receiver.recorder.requests[0]["body"]["findings"] == receiver.recorder.requests[1]["body"]["findings"]


def test_too_large_batches_are_made_smaller(host, receiver):
    host.configure("small")
    host.add(*[f"n{i}" for i in range(40)], size=2000)
    host.start()
    assert wait_for(lambda: len(host.titles()) == 40)
    assert sorted(set(receiver.recorder.accepted())) == sorted(receiver.recorder.accepted())
    assert "HTTP 413" in host.log.read_text()


def test_one_finding_that_is_too_large_goes_without_evidence(host, receiver):
    host.configure("tiny")
    host.add("small")
    host.add("large", size=20000)
    host.add("small2")
    host.start()
    assert wait_for(lambda: host.titles() == titles("small", "large", "small2"))
    large = [f for r in receiver.recorder.requests for f in r["body"]["findings"] if f["title"] == "finding large"]
    assert large[0]["truncated"] and "evidence" not in large[0]


def test_a_poisonous_finding_does_not_stop_the_others(host, receiver):
    host.configure("valid", backoff_max="500ms")
    bad = "finding bad"
    receiver.recorder.answer = lambda r, body: (422 if any(f["title"] == bad for f in body["findings"]) else 200, {}, 0)
    host.add("a", "b", "bad", "c", "d")
    host.start()
    assert wait_for(lambda: host.titles() == titles("a", "b", "c", "d"), 30)
    assert wait_for(lambda: host.status().get("pending") == 0)
    assert host.status()["findings_skipped"] == 1 and "it is skipped" in host.log.read_text()


def test_a_receiver_that_refuses_everything_loses_nothing(host, receiver):
    host.configure("valid", backoff_max="200ms")
    receiver.recorder.answer = lambda r, body: (400, {}, 0)
    host.add("a", "b", "c")
    host.start()
    assert wait_for(lambda: receiver.recorder.count() > 15)
    assert host.status()["findings_skipped"] == 0
    receiver.recorder.answer = lambda r, body: (200, {}, 0)
    assert wait_for(lambda: host.titles() == titles("a", "b", "c"))
    assert wait_for(lambda: host.status().get("pending") == 0)
    assert host.status()["findings_skipped"] == 0


# ---- crashes, stops, and a database or cursor that changes ----

def test_killed_before_the_answer_sends_the_same_ids_again(host, receiver):
    receiver.recorder.answer = lambda r, body: (200, {}, 2 if r.count() == 1 else 0)
    host.add("a", "b")
    host.start()
    assert wait_for(lambda: receiver.recorder.count() == 1)
    host.stop(signal.SIGKILL)
    host.start()
    assert wait_for(lambda: receiver.recorder.count() == 2)
    first, second = receiver.recorder.requests
    assert first["body"] == second["body"]
    assert wait_for(lambda: host.status().get("pending") == 0)


def test_killed_again_and_again_loses_nothing(host, receiver):
    host.configure("valid", batch_max=3)
    host.add(*[f"n{i}" for i in range(60)])
    receiver.recorder.answer = lambda r, body: (200, {}, 0.02)
    for _ in range(12):
        host.start()
        time.sleep(0.12)
        host.stop(signal.SIGKILL)
    host.start()
    assert wait_for(lambda: len(host.titles()) == 60)


def test_stop_waits_for_an_answer_under_way(host, receiver):
    receiver.recorder.answer = lambda r, body: (200, {}, 0.7)
    last = host.add("a")
    host.start()
    assert wait_for(lambda: receiver.recorder.count() == 1)
    assert host.stop() == 0
    assert f" {last} " in (host.state / "cursor").read_text()


def test_stop_takes_less_than_two_seconds(host, receiver):
    receiver.recorder.answer = lambda r, body: (200, {}, 6)
    host.add("a")
    host.start()
    assert wait_for(lambda: receiver.recorder.count() == 1)
    began = time.monotonic()
    assert host.stop() == 0
    assert time.monotonic() - began < 2.0
    assert not (host.state / "cursor").exists()


def test_a_replaced_database_is_sent_from_its_start(host, receiver):
    host.add("a", "b")
    host.start()
    assert wait_for(lambda: len(host.titles()) == 2)
    host.stop_writer()
    for f in host.database.parent.iterdir():
        f.unlink()
    host.add("c")
    assert wait_for(lambda: host.titles() == titles("a", "b", "c"))
    assert "of another database" in host.log.read_text() and (host.state / "cursor.refused").exists()
    assert len(receiver.recorder.accepted()) == 3


def test_after_a_restored_database_new_findings_are_sent(host, receiver):
    """Revisions never fall behind the clock, so that the cursor does not hide what is found next."""
    host.add("a")
    host.stop_writer()
    copy = host.directory / "copy.db"
    shutil.copy(host.database, copy)
    host.add("b", "c")
    host.start()
    assert wait_for(lambda: len(host.titles()) == 3)
    assert wait_for(lambda: host.status().get("pending") == 0)
    host.stop()
    host.stop_writer()
    shutil.copy(copy, host.database)
    host.start_writer()
    host.start()
    host.add("d")
    assert wait_for(lambda: host.titles() == titles("a", "b", "c", "d"))


@pytest.mark.parametrize("content", [b"", b"garbage\n" * 100, b"ecsguard-cursor 1 ", None])
def test_a_damaged_cursor_is_set_aside_and_all_is_sent_again(host, receiver, content):
    host.add("a")
    host.start()
    assert wait_for(lambda: host.status().get("pending") == 0 and host.titles())
    host.stop()
    cursor = host.state / "cursor"
    cursor.write_bytes(cursor.read_bytes()[:-7] if content is None else content)
    host.start()
    assert wait_for(lambda: len(receiver.recorder.accepted()) == 2)
    assert len(set(receiver.recorder.accepted())) == 1
    assert "is damaged" in host.log.read_text() and (host.state / "cursor.refused").exists()


# ---- starting ----

def run_uploader(host, **kwargs):
    return subprocess.run([UPLOADER, "--config", host.directory / "ecsguard.yaml"], user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True,
                          text=True, timeout=10, **kwargs)


def test_not_configured_is_one_sentence_and_success(host):
    (host.directory / "ecsguard.yaml").unlink()
    result = run_uploader(host)
    assert result.returncode == 0 and result.stderr.count("\n") == 1 and "delivery is not configured" in result.stderr


def test_a_bad_configuration_is_refused_with_its_place(host):
    (host.directory / "ecsguard.yaml").write_text("delivery:\n  enabled: true\n  url: http://localhost/\n")
    result = run_uploader(host)
    assert result.returncode == 78 and "ecsguard.yaml:3:8: delivery.url" in result.stderr and result.stderr.count("\n") == 1


def test_a_second_instance_is_refused(host):
    host.start()
    assert wait_for(lambda: host.status())
    result = run_uploader(host)
    assert result.returncode == 1 and "another ecsguard-uploader is using" in result.stderr


def test_a_state_directory_that_cannot_be_used_is_refused(host):
    os.chown(host.state, 0, 0)
    result = run_uploader(host)
    assert result.returncode == 1 and "cannot use delivery.state_dir" in result.stderr


def test_systemd_is_told(host, receiver):
    path = host.directory / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(str(path))
        path.chmod(0o777)
        s.settimeout(5)
        host.start(env={**os.environ, "NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "400000"})
        seen = ""
        while not ("READY=1" in seen and "STATUS=" in seen and seen.count("WATCHDOG=1") >= 3):
            seen += s.recv(4096).decode() + "\n"
        host.stop()
        while "STOPPING=1" not in seen:
            seen += s.recv(4096).decode() + "\n"


def test_idle_costs_nothing(host, receiver):
    host.configure("valid", interval="10s")
    host.add("a")
    host.start()
    assert wait_for(lambda: host.titles())
    time.sleep(0.3)
    ticks = lambda: sum(map(int, open(f"/proc/{host.uploader.pid}/stat").read().rsplit(")", 1)[1].split()[11:13]))
    before = ticks()
    time.sleep(3)
    assert ticks() - before <= 1
