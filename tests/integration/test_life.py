"""A day of ordinary container life in minutes: servers, databases, cron, log rotation, package builds, backups, operators. No finding above low.

Each test asserts that the agent saw what happened, so that silence is not deafness, and the last one that it still finds an attack.
"""

import json
import os
import pathlib
import subprocess
import tempfile
import textwrap
import time

import pytest

import life_image
from harness import ROOT, Agent, wait_for

HELD = 1.5  # seconds that the agent may hold a decision
SILENT = ("info", "low")


class Life:
    """The containers of the day, and what the agent said of them."""

    def __init__(self, docker, agent, shared):
        self.docker, self.agent, self.shared, self.all = docker, agent, shared, []

    def run(self, *command, image="shop/app:8", family="shop", flags=(), labels=()):
        ecs = [f"com.amazonaws.ecs.task-definition-family={family}", "com.amazonaws.ecs.task-definition-version=8", "com.amazonaws.ecs.cluster=prod",
               f"com.amazonaws.ecs.container-name={family}"]
        c = self.docker.run(*command, image=image, flags=flags, labels=[*ecs, *labels])
        self.all.append(c)
        return c

    def script(self, name, text):
        """A file of the test that containers have in /life."""
        path = self.shared / name
        path.write_text(textwrap.dedent(text).lstrip())
        path.chmod(0o755)
        return f"/life/{name}"

    @property
    def mount(self):
        return f"--volume={self.shared}:/life:ro"

    def logs(self, c):
        out = subprocess.run(self.docker.command("logs", c.id), capture_output=True, text=True)
        return out.stdout + out.stderr

    def wait_log(self, c, text, timeout=30):
        assert wait_for(lambda: text in self.logs(c), timeout, 0.1), f"'{text}' was not said: {self.logs(c)[-2000:]}"

    def ok(self, c, script, user=None):
        """Runs a shell line as docker exec; it must succeed."""
        return c.exec("sh", "-c", script, user=user, check=True, timeout=60)

    def saw(self, c, *words):
        """The processes with these words in their command lines are in the database."""
        for word in words:
            assert wait_for(lambda: self.agent.query("select 1 from processes where container_id = ? and cmdline like ?", c.id, f"%{word}%")), \
                f"'{word}' was not seen"

    def findings(self, *containers):
        return [f for f in self.agent.findings() if f["container_id"] in {c.id for c in containers}]

    def host_findings(self):
        """About what the container runtime does on the host; other things may go on there."""
        ours = str(self.docker.path)
        return [f for f in self.agent.findings() if not f["container_id"] and any(ours in str(e) for e in [f, *self.agent.evidence(f)])]

    def quiet(self, *containers):
        time.sleep(HELD)
        loud = [f for f in self.findings(*containers) if f["severity"] not in SILENT]
        assert not loud, "\n".join(told(f) for f in loud)


def told(f):
    return f"{f['severity']}: {f['rule']} ({f['type']}) x{f['count']} in {f['task_family']}: {f['cmdline']} - {f['description']}"


@pytest.fixture(scope="module")
def agent(docker, tmp_path_factory):
    """With everything that is shipped."""
    a = Agent(tmp_path_factory.mktemp("agent"), docker.socket, [docker.data], f"rules:\n  shipped_dir: {ROOT}/agent/rules\n  dir: ''\n")
    a.start()
    yield a
    assert a.stop() == 0


@pytest.fixture(scope="module")
def life(docker, agent):
    lost = life_image.missing()
    if lost:
        pytest.skip(f"the image is made of Debian packages; these are not there: {lost}")
    with tempfile.TemporaryDirectory(prefix="ecsguard-life-", ignore_cleanup_errors=True) as path:
        work = pathlib.Path(path)
        life_image.make(docker, work)
        (work / "life").mkdir()
        os.chmod(work, 0o755)
        day = Life(docker, agent, work / "life")
        yield day
        subprocess.run(docker.command("rm", "-f", "-v", *(c.id for c in day.all)), capture_output=True)


# ---- started first, looked at last -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cron(life):
    """Debian's cron starts jobs at full minutes: it runs while the other tests do."""
    entry = life.script("cron-entry", """
        #!/bin/sh
        set -e
        cat >/etc/cron.d/jobs <<'END'
        SHELL=/bin/sh
        PATH=/usr/sbin:/usr/bin:/sbin:/bin
        * * * * * root cd / && run-parts --report /etc/cron.hourly
        * * * * * www-data /usr/bin/find /tmp -name 'sess_*' -mmin +30 -delete >/dev/null 2>&1
        * * * * * root test -x /usr/sbin/logrotate && /usr/sbin/logrotate /etc/logrotate.conf; touch /run/ran
        END
        chmod 644 /etc/cron.d/jobs
        printf '#!/bin/sh\\ndf -P / | tail -1 | awk "{ print \\\\$5 }" >/var/log/usage\\n' >/etc/cron.hourly/usage
        chmod 755 /etc/cron.hourly/usage
        exec cron -f
        """)
    return life.run(entry, family="cron", flags=[life.mount])


# ---- servers -----------------------------------------------------------------------------------------------------------


def test_web_server(life, cron):
    entry = life.script("nginx-entry", """
        #!/bin/sh
        # as the entrypoints of web server images: templates, then the server in the place of the shell
        set -e
        mkdir -p /etc/nginx/templates /var/cache/nginx
        printf 'server { listen ${PORT}; location / { root /var/www/html; } access_log /var/log/nginx/access.log; }\\n' >/etc/nginx/templates/default.conf.template
        rm -rf /etc/nginx/modules-enabled /etc/nginx/sites-enabled/*
        for template in /etc/nginx/templates/*.template; do
            name=$(basename "$template" .template)
            envsubst '${PORT}' <"$template" >"/etc/nginx/conf.d/$name"
        done
        sed -i 's/worker_processes auto;/worker_processes 2;/; s,^pid .*,pid /run/nginx.pid;,' /etc/nginx/nginx.conf
        [ -e /var/www/html/index.html ] || echo hello >/var/www/html/index.html
        chown -R www-data:www-data /var/cache/nginx
        nginx -t
        exec nginx -g 'daemon off;'
        """)
    health = ["--health-cmd=curl -fsS http://127.0.0.1:8080/ || exit 1", "--health-interval=2s"]
    web = life.run(entry, image="nginx:1.22", family="web", flags=[life.mount, "--env=PORT=8080", *health])
    assert wait_for(lambda: "hello" in web.sh("curl -fsS http://127.0.0.1:8080/"), 20, 0.2), life.logs(web)
    load = "for i in $(seq 40); do curl -fsS -o /dev/null http://127.0.0.1:8080/ http://127.0.0.1:8080/index.html; done"
    for _ in range(2):
        life.ok(web, load)
    # a new configuration, as deployments bring one, and a rotation of the logs
    life.ok(web, "sed -i 's/hello/hello again/' /var/www/html/index.html && nginx -t && nginx -s reload")
    life.ok(web, "printf '/var/log/nginx/*.log {\\n rotate 3\\n missingok\\n compress\\n delaycompress\\n create 0640 www-data adm\\n sharedscripts\\n"
                 " postrotate\\n  kill -USR1 $(cat /run/nginx.pid)\\n endscript\\n}\\n' >/etc/logrotate.d/nginx")
    for _ in range(2):
        life.ok(web, "logrotate -f /etc/logrotate.d/nginx")
        life.ok(web, load)
    assert "access.log.2.gz" in life.ok(web, "ls /var/log/nginx")
    life.ok(web, "kill -HUP 1")
    life.saw(web, "daemon off", "envsubst", "logrotate -f", "curl -fsS")
    life.docker("restart", "-t", "5", web.id)
    assert wait_for(lambda: "hello again" in web.sh("curl -fsS http://127.0.0.1:8080/"), 20, 0.2), life.logs(web)
    assert wait_for(lambda: life.docker("inspect", "-f", "{{.State.Health.Status}}", web.id) == "healthy", 15, 0.3)
    life.docker("stop", "-t", "5", web.id)
    life.quiet(web)


def test_key_value_store(life, cron):
    entry = life.script("redis-entry", """
        #!/bin/sh
        # as the entrypoints of data stores: give the data to the user, become the user, start again
        set -e
        if [ "$(id -u)" = 0 ]; then
            find /var/lib/redis \\! -user redis -exec chown redis '{}' +
            exec gosu redis "$0" "$@"
        fi
        umask 0077
        exec redis-server --dir /var/lib/redis --appendonly yes --save 2 10
        """)
    store = life.run(entry, image="redis:7", family="cache", flags=[life.mount, "--health-cmd=redis-cli ping", "--health-interval=2s"])
    assert wait_for(lambda: "PONG" in store.exec("redis-cli", "ping"), 20, 0.2), life.logs(store)
    life.ok(store, "redis-benchmark -q -n 2000 -t set,get,lpush >/dev/null")
    life.ok(store, "for i in 1 2 3 4 5 6 7 8 9 10; do redis-cli set key:$i value >/dev/null; done; redis-cli bgsave; sleep 0.5; redis-cli bgrewriteaof; sleep 0.5")
    assert "dump.rdb" in life.ok(store, "ls /var/lib/redis")
    life.docker("restart", "-t", "5", store.id)
    assert wait_for(lambda: "value" in store.exec("redis-cli", "get", "key:3"), 20, 0.2), life.logs(store)
    life.saw(store, "gosu redis", "redis-server --dir", "redis-cli bgsave")
    life.quiet(store)


def test_database(life, cron):
    entry = life.script("postgres-entry", """
        #!/bin/bash
        # as the database images do: a first life to make the database, a second one to serve
        set -eo pipefail
        export PGDATA=/var/lib/postgresql/data
        if [ "$(id -u)" = 0 ]; then
            mkdir -p "$PGDATA" /run/postgresql
            chmod 700 "$PGDATA"
            find "$PGDATA" /run/postgresql \\! -user postgres -exec chown postgres '{}' +
            exec gosu postgres "$BASH_SOURCE" "$@"
        fi
        if [ ! -s "$PGDATA/PG_VERSION" ]; then
            initdb --username=postgres --no-sync --pwfile=<(printf '%s\\n' "$POSTGRES_PASSWORD") >/dev/null
            pg_ctl -D "$PGDATA" -o '-c listen_addresses=' -w start
            psql -v ON_ERROR_STOP=1 --no-password -U postgres -c 'create database shop'
            pg_ctl -D "$PGDATA" -m fast -w stop
            sed -i 's/^#\\?autovacuum_naptime.*/autovacuum_naptime = 1s/' "$PGDATA/postgresql.conf"
        fi
        exec postgres -c listen_addresses=127.0.0.1 -c autovacuum_vacuum_threshold=1
        """)
    base = life.run(entry, image="postgres:15", family="database", flags=[
        life.mount, "--shm-size=64m", "--env=POSTGRES_PASSWORD=secret", "--health-cmd=pg_isready -q -h 127.0.0.1 -U postgres", "--health-interval=2s"])
    assert wait_for(lambda: "accepting" in base.exec("pg_isready", "-h", "127.0.0.1"), 60, 0.3), life.logs(base)
    life.ok(base, "pgbench -q -i -s 1 shop && pgbench -c 4 -j 2 -t 50 shop", user="postgres")
    life.ok(base, "psql -d shop -c 'vacuum full analyze' -c 'select count(*) from pgbench_accounts' -c 'checkpoint'", user="postgres")
    life.ok(base, "pg_dump shop | gzip >/var/lib/postgresql/shop.sql.gz && pg_basebackup -D /tmp/base -X none -c fast", user="postgres")
    life.ok(base, "psql -d shop -c \"copy (select * from pgbench_branches) to '/tmp/branches.csv' csv\"", user="postgres")
    life.docker("restart", "-t", "10", base.id)
    assert wait_for(lambda: "accepting" in base.exec("pg_isready", "-h", "127.0.0.1"), 30, 0.3), life.logs(base)
    life.saw(base, "gosu postgres", "initdb", "pg_isready -q", "pgbench", "pg_dump")
    life.quiet(base)


def test_application_with_sidecar(life, cron):
    app = life.script("app.py", """
        import http.server, json, os, pathlib, socketserver, subprocess, tempfile, threading
        # prefork workers, a cache in the home directory, temporary files, helper programs: what application servers do
        pathlib.Path.home().joinpath(".cache/app").mkdir(parents=True, exist_ok=True)
        pathlib.Path.home().joinpath(".cache/app/.state").write_text("{}")
        print("version", subprocess.run(["uname", "-r"], capture_output=True, text=True).stdout.strip(), flush=True)
        print("disk", subprocess.run("df -P / | tail -1", shell=True, capture_output=True, text=True).stdout.strip(), flush=True)
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                with tempfile.NamedTemporaryFile() as f:
                    f.write(b"x" * 1000)
                    f.flush()
                    n = subprocess.run(["sha256sum", f.name], capture_output=True, text=True).stdout
                body = json.dumps({"sum": n[:8], "pid": os.getpid()}).encode()
                self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
            def log_message(self, form, *args):
                with open("/logs/app.log", "a") as f:
                    f.write(form % args + "\\n")
        class Server(socketserver.ForkingMixIn, http.server.HTTPServer):
            pass
        print("listening", flush=True)
        Server(("127.0.0.1", 9000), Handler).serve_forever()
        """)
    shipper = life.script("shipper", """
        #!/bin/sh
        # reads the application's log and rotates it in place, as log shippers and logrotate sidecars do
        printf '/logs/*.log {\\n size 1\\n rotate 2\\n copytruncate\\n missingok\\n}\\n' >/etc/logrotate.d/app
        tail -F /logs/app.log 2>/dev/null | awk '{ n++ } n % 10 == 0 { print n; fflush() }' &
        while sleep 1; do logrotate -s /tmp/state /etc/logrotate.d/app; done
        """)
    life.docker("volume", "create", "logs")
    main = life.run("sh", "-c", f"exec python3 {app}", family="app", flags=[life.mount, "--volume=logs:/logs", "--env=HOME=/root"])
    life.wait_log(main, "listening")
    side = life.run(shipper, family="app", flags=[life.mount, "--volume=logs:/logs", f"--network=container:{main.id}"])
    life.ok(side, "for i in $(seq 30); do curl -fsS -o /dev/null http://127.0.0.1:9000/; done")
    assert wait_for(lambda: "app.log.1" in side.sh("ls /logs"), 10, 0.2)
    life.saw(main, "app.py", "sha256sum")
    life.saw(side, "logrotate -s", "tail -F")
    life.docker("kill", "--signal=TERM", main.id)
    life.quiet(main, side)


# ---- jobs --------------------------------------------------------------------------------------------------------------


def test_package_install_in_a_build_container(life, cron):
    build = life.run("sh", "-c", "apt-get update && apt-get install -y lifetool && printf 'a\\nb\\n' | lifetool && apt-get purge -y lifetool && echo built",
                     image="build/deb:2", family="image-build")
    life.wait_log(build, "built", 60)
    life.saw(build, "apt-get install", "lifetool")
    life.quiet(build)


def test_backup_job(life, cron):
    receiver = life.script("receiver.py", """
        import http.server
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_PUT(self):
                n = int(self.headers["Content-Length"])
                print("received", len(self.rfile.read(n)), flush=True)
                self.send_response(201); self.end_headers()
        server = http.server.HTTPServer(("127.0.0.1", 9100), Handler)
        print("listening", flush=True)
        server.serve_forever()
        """)
    backup = life.script("backup", """
        #!/bin/bash
        set -euo pipefail
        mkdir -p /data /backups && cp -r /usr/share/common-licenses /data/ && head -c 2000000 /dev/urandom >/data/blob
        name=/backups/data-$(date +%Y%m%d).tar.gz
        tar -C / -czf "$name" data
        sha256sum "$name" >"$name.sha256"
        gzip -t "$name"
        curl -fsS --retry 3 -T "$name" http://127.0.0.1:9100/
        find /backups -name 'data-*' -mtime +7 -delete
        rm -rf /data
        echo saved
        """)
    store = life.run("python3", receiver, family="store", flags=[life.mount])
    life.wait_log(store, "listening")
    job = life.run(backup, family="backup", flags=[life.mount, f"--network=container:{store.id}"])
    life.wait_log(job, "saved")
    life.saw(job, "tar -C", "curl -fsS --retry")
    assert "received" in life.logs(store)
    life.quiet(store, job)


def test_short_batch_jobs(life, cron):
    jobs = [life.run("bash", "-c", f"seq {n}00 | sort -rn | awk '{{ s += $1 }} END {{ print s }}' | tee /tmp/sum | gzip >/tmp/sum.gz; xargs -n1 echo </tmp/sum",
                     image="shop/batch:3", family="batch") for n in range(1, 6)]
    for job in jobs:
        life.docker("wait", job.id)
    life.saw(jobs[-1], "sort -rn")
    life.quiet(*jobs)


# ---- people ------------------------------------------------------------------------------------------------------------


def test_operator_looks_around(life, cron):
    c = life.run("sleep", "600", family="shop")
    typed = "ls -la /\nps aux\ncat /etc/os-release\nenv | sort | head\ndf -h\ntail -n 2 /var/log/dpkg.log\nexit\n"
    subprocess.run(["script", "-qec", " ".join(life.docker.command("exec", "-it", c.id, "bash", "-l")), "/dev/null"], input=typed, text=True,
                   capture_output=True, timeout=30)
    c.exec("ls", "/var/log")
    c.exec("sh", "-c", "cat /proc/meminfo | head -3")
    life.saw(c, "bash -l", "ps aux", "ls /var/log")
    life.agent.wait_finding("Execution:Runtime/ContainerExecSession", container_id=c.id, severity="low")
    life.quiet(c)


def test_ecs_exec_session(life, cron):
    """The files that ECS Exec mounts and the processes it starts, in their shapes: a worker with an outbound connection and a terminal."""
    tools = life.shared / "ssm"
    tools.mkdir()
    python = os.path.realpath("/usr/bin/python3")
    for name in ("amazon-ssm-agent", "ssm-session-worker"):
        subprocess.run(["cp", python, tools / name], check=True)
    (tools / "agent.py").write_text("import os\nd = '/ecs-execute-command-0a1b2c'\nos.execv(d + '/ssm-session-worker', ['ssm-session-worker', d + '/worker.py'])\n")
    (tools / "worker.py").write_text(textwrap.dedent("""
        import os, pty, socket, time
        s = socket.create_connection(("127.0.0.1", 9200))
        pid, master = pty.fork()
        if pid == 0:
            os.execv("/bin/sh", ["sh"])
        for line in ("id", "ls /", "ps aux", "exit"):
            time.sleep(0.3)
            os.write(master, line.encode() + b"\\n")
            s.sendall(os.read(master, 4096))
        os.waitpid(pid, 0)
        """))
    listen = "import socket\nl = socket.create_server(('127.0.0.1', 9200))\nprint('listening', flush=True)\nwhile True:\n c = l.accept()[0]\n while c.recv(4096): pass\n"
    c = life.run("python3", "-c", listen, family="shop", flags=[f"--volume={tools}:/ecs-execute-command-0a1b2c:ro"])
    life.wait_log(c, "listening")
    life.docker("exec", "-e", "PYTHONHOME=/usr", c.id, "/ecs-execute-command-0a1b2c/amazon-ssm-agent", "/ecs-execute-command-0a1b2c/agent.py")
    life.saw(c, "ssm-session-worker", "ps aux")
    life.agent.wait_finding("Execution:Runtime/EcsExecSession", container_id=c.id, severity="low")
    life.quiet(c)


# ---- looked at last ------------------------------------------------------------------------------------------------------


def test_cron_jobs(life, cron):
    assert wait_for(lambda: "ran" in cron.sh("ls /run"), 65, 0.5), life.logs(cron)
    life.saw(cron, "run-parts --report", "find /tmp -name", "logrotate /etc/logrotate.conf")
    life.quiet(cron)


def test_the_day_was_seen_and_an_attack_still_is(life, cron):
    lost = {n: r["counters"] for n, r in life.agent.health().items() if json.loads(r["counters"] or "{}").get("lost")}
    print("\nsensors that lost events:", lost or "none")
    low = life.findings(*life.all) + life.host_findings()
    rules = life.agent.health()["rules"]
    print(f"{len(low)} findings in {len(life.all)} containers; rules: {rules['counters']}")
    for f in low:
        print(" ", told(f))
    assert not lost.keys() & {"exec", "proc", "containers", "docker"}
    assert rules["state"] == "ok", rules["reason"]
    loud = [f for f in low if f["severity"] not in SILENT]
    assert not loud, "\n".join(told(f) for f in loud)
    c = life.run("sleep", "600", family="shop")
    life.ok(c, "cp /usr/bin/tac /tmp/x && (sleep 0.1; echo y) | /tmp/x")
    life.saw(c, "/tmp/x")
    life.agent.wait_finding("Execution:Runtime/NewBinaryExecuted", 15, container_id=c.id)
