"""Network behaviour as recorded events, written as small programs: what a container does, and which findings that must give. Each function with the
decorator is one scenario; `finds` are the findings (TYPE SEVERITY) in any order, none for ordinary life. Numbers that seem random come from a fixed seed."""
import json
import pathlib
import random
import sys

import cases

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "dga"))
import families  # noqa: E402

TCP, UDP, ICMP = 6, 17, 1
SCENARIOS = []
WORDS = ("orders billing cache river stone green paper summer winter market garden silver window travel music kitchen coffee letter bridge forest "
         "harbor island planet rocket signal studio ticket valley wonder yellow").split()


def scenario(*finds, place="task"):
    def note(function):
        SCENARIOS.append((function.__name__, function, list(finds), place))
        return function
    return note


class Traffic(cases.Stage):
    """A container (or the host) with its flows, questions and sockets. Time goes on by wait()."""

    def __init__(self, place="task", number=1, start_ms=100):
        super().__init__(place, number, start_ms)
        self.address = f"172.17.{number >> 8}.{number & 255}" if self.in_container else "192.0.2.10"
        self.random, self.flows, self.next_port = random.Random(number), 0, 40000

    def begin_container(self):
        super().begin_container()
        self.ms += 100000  # what begins with the container is over

    def pause(self):
        """The container that holds the network namespace of a task in awsvpc mode."""
        self.emit("container", "cgroup", container_phase="start", runtime="docker", container_id=f"{0xFA5E:064x}", task_id=self.task, nsid=self.number + 1,
                  container_role="pause", pid=9000, started=cases.time_text(self.ms), cgroup=f"/ecs/{self.task}/{0xFA5E:064x}", netns=self.netns)

    def wait(self, seconds):
        self.ms += int(seconds * 1000)

    def later(self, after_ms, **values):
        self.events.append({"time": cases.time_text(self.ms + after_ms), "kind": "flow", "source": "flow", **values})

    def flow(self, dst, dport, proto=TCP, answer="yes", src=None, sport=None, sent=900, got=4000, packets=None, back=None, lives=1.0, **more):
        """One flow. answer: yes, refused, none; lives: seconds until its end is told (None: not at all)."""
        self.flows += 1
        self.next_port = self.next_port + 1 if self.next_port < 60000 else 40000
        inbound = src is not None
        ends = {"flow_id": self.number * 1000000 + self.flows, "nsid": self.number + 1 if self.in_container else -1, "proto": proto,
                "direction": "in" if inbound else "out", "src": src or self.address, "sport": sport or self.next_port, "dst": dst, "dport": dport, **more}
        self.later(0, phase="new", **ends)
        if answer == "yes":
            self.later(20, phase="update", **ends, **({"tcp_state": 1} if proto == TCP else {}))
        if answer == "refused" and proto == TCP:
            self.later(20, phase="update", tcp_state=7, **ends)
        if lives is not None:
            counts = {"yes": (sent, got, 6, 6), "refused": (60, 40, 1, 1), "none": (180, 0, 3, 0)}[answer]
            if packets is not None:
                counts = (sent, got, packets, back or 0)
            self.later(int(lives * 1000), phase="end", bytes_out=counts[0], bytes_in=counts[1], packets_out=counts[2], packets_in=counts[3], **ends)
        return ends

    def grow(self, ends, sent, packets, got=0, back=0):
        self.later(0, phase="update", bytes_out=sent, bytes_in=got, packets_out=packets, packets_in=back, **ends)

    def ask(self, name, kind=1, rcode=0, answer=None):
        """A question over DNS and its answer."""
        ends = {"nsid": self.number + 1 if self.in_container else -1, "proto": UDP, "src": self.address, "sport": 40000 + self.flows % 20000, "dst": "10.0.0.2",
                "dport": 53, "dns_id": self.flows % 65536, "dns_name": name, "dns_type": kind, "dns_class": 1}
        self.flows += 1
        for after, values in ((0, {"dns_op": "query", "dns_size": 40 + len(name)}),
                              (15, {"dns_op": "answer", "dns_rcode": rcode, "dns_answers": answer or [], "dns_size": 60 + len(name) + len("".join(answer or []))})):
            self.events.append({"time": cases.time_text(self.ms + after), "kind": "dns", "source": "dns", **ends, **values})

    def listen(self, port, phase="new", proto=TCP, src="0.0.0.0", pid=None):
        self.emit("listen", "listen", listen_phase=phase, proto=proto, src=src, sport=port, nsid=self.number + 1, pid=pid or self.last)

    def host(self, n, net="198.51"):
        return f"{net}.{n // 250 % 250}.{n % 250 + 1}"


def recording(function, place):
    events = []
    for pid, comm, exe in ((1, "systemd", "/usr/lib/systemd/systemd"), (cases.DOCKERD, "dockerd", "/usr/bin/dockerd"),
                           (cases.SHIM, "containerd-shim", "/usr/bin/containerd-shim-runc-v2")):
        events.append({"time": cases.time_text(pid), "kind": "process", "source": "scan", "pid": pid, "ppid": int(pid > 1), "comm": comm, "exe": exe,
                       "cmdline": [exe], "uid": 0, "euid": 0, "cgroup": "/", "mntns": cases.HOST_MNTNS, "netns": cases.HOST_NETNS, "pidns": cases.HOST_PIDNS})
    t = Traffic(place)
    function(t)
    t.wait(120)
    t.emit("exit", "proc", pid=99)  # time goes on: what waits is decided
    return "".join(json.dumps(e) + "\n" for e in events + t.events)


# ---- port scans -------------------------------------------------------------------------------------------------------

SCAN = "Discovery:Runtime/PortScan medium"


@scenario(SCAN)
def scan_of_1000_ports(t):
    for port in range(1, 1001):
        t.flow("198.51.100.7", port, answer="yes" if port in (22, 80, 443) else "refused")
        t.wait(0.001)


@scenario(SCAN)
def scan_of_ports_by_ipv6_syn_without_answers(t):
    ports = list(range(1, 400))
    t.random.shuffle(ports)
    for port in ports:
        t.flow("2001:db8::7", port, answer="none", src=None, lives=110)
        t.wait(0.01)


@scenario(SCAN)
def scan_of_ports_by_udp(t):
    for port in range(1, 300):
        t.flow("198.51.100.7", port, UDP, answer="none", sent=28, packets=1)
        t.wait(0.1)


@scenario(SCAN)
def scan_where_every_port_accepts(t):
    for port in range(1, 500):
        t.flow("198.51.100.7", port)
        t.wait(0.01)


@scenario(SCAN)
def scan_of_one_port_on_many_addresses(t):
    for n in range(500):
        t.flow(t.host(n), 22, answer="yes" if n % 20 == 0 else "none", lives=100)
        t.wait(0.02)


@scenario(SCAN)
def scan_by_ping(t):
    for n in range(250):
        t.flow(t.host(n), 8 << 8, ICMP, answer="yes" if n % 10 == 0 else "none", sent=84, packets=1)
        t.wait(0.01)


@scenario(SCAN)
def scan_of_ports_slowly(t):
    for port in range(1, 400):
        t.flow("198.51.100.7", port, answer="refused")
        t.wait(40)


@scenario(SCAN)
def scan_of_addresses_slowly(t):
    for n in range(600):
        t.flow(t.host(n), 445, answer="none", lives=100)
        t.wait(25)


@scenario(SCAN)
def scan_of_a_network_is_one_finding(t):
    for port in (21, 22, 23, 25, 80, 110, 139, 143, 443, 445, *range(1000, 1100)):
        for n in range(40):
            t.flow(t.host(n), port, answer="refused")
        t.wait(0.05)


@scenario(SCAN)
def scan_beside_a_crawler(t):
    for n in range(4000):
        t.flow(t.host(n, "203.0"), 443)
        if n % 8 == 0:
            t.flow("198.51.100.7", n // 8 + 1, answer="refused")
        t.wait(0.005)


@scenario("Discovery:Runtime/PortScan low")
def scan_from_outside(t):
    for port in range(1, 300):
        t.flow(t.address, port, answer="refused", src="203.0.113.9")
        t.wait(0.01)


@scenario(SCAN, place="host")
def scan_of_the_host_from_its_network(t):
    for port in range(1, 300):
        t.flow("192.0.2.10", port, answer="refused", src="10.0.3.9")
        t.wait(0.01)


@scenario()
def scan_is_on_a_trusted_list(t):
    for port in range(1, 300):
        t.flow("192.0.2.200", port, answer="refused")
        t.wait(0.01)


@scenario()
def ordinary_crawler(t):
    for n in range(5000):
        t.flow(t.host(n), 443, answer="none" if n % 7 == 0 else "yes", lives=100 if n % 7 == 0 else 2)
        t.wait(0.01)


@scenario()
def ordinary_crawler_of_a_task_whose_process_is_known_later(t):
    """The first packet shows the network namespace, which a pause container holds; later events know the process and with it the container."""
    t.pause()
    for n in range(1500):
        ends = t.flow(t.host(n), 443, answer="none", lives=None)
        t.later(20, phase="update", tcp_state=1, pid=t.first_pid, owner="socket", **ends)
        t.later(900, phase="end", bytes_out=900, bytes_in=4000, packets_out=6, packets_in=6, pid=t.first_pid, owner="socket", **ends)
        t.wait(0.01)


@scenario()
def ordinary_resolver(t):
    for n in range(3000):
        t.flow(t.host(t.random.randrange(3000)), 53, UDP, answer="none" if n % 10 == 0 else "yes", sent=70, got=200, packets=1, back=1)
        t.wait(0.02)


@scenario()
def ordinary_scraper_of_300_targets(t):
    for _ in range(5):
        for n in range(300):
            t.flow(f"10.1.{n // 250}.{n % 250 + 1}", 9100, answer="refused" if n % 10 == 0 else "yes")
        t.wait(15)


@scenario()
def ordinary_connection_pool(t):
    for _ in range(2000):
        t.flow("10.0.0.5", 5432)
        t.wait(0.01)


@scenario()
def ordinary_pool_whose_database_is_down(t):
    for _ in range(2000):
        t.flow("10.0.0.5", 5432, answer="refused")
        t.wait(0.01)


@scenario()
def ordinary_dynamic_ports_of_a_host(t):
    for _ in range(4):
        for port in range(32768, 32768 + 120):
            t.flow("10.0.0.6", port, answer="refused" if port % 4 == 0 else "yes")
        t.wait(30)


@scenario()
def ordinary_passive_transfers(t):
    for _ in range(400):
        t.flow("198.51.100.121", t.random.randrange(1024, 65535))
        t.wait(0.1)


@scenario()
def ordinary_answers_that_come_late(t):
    for n in range(500):
        t.flow("198.51.100.1", t.random.randrange(32768, 61000), UDP, sport=53, answer="none", packets=1)
        t.wait(0.01)


@scenario()
def ordinary_traceroute(t):
    for port in range(33434, 33434 + 90):
        t.flow("198.51.100.1", port, UDP, answer="none", packets=1)
        t.wait(0.05)


@scenario()
def ordinary_health_checks_and_clients(t):
    for n in range(3000):
        t.flow(t.address, 8080, src="10.0.9.1" if n % 2 else t.host(n, "203.0"))
        t.wait(0.02)


# ---- floods -----------------------------------------------------------------------------------------------------------

FLOOD = "Backdoor:Runtime/DenialOfService.Udp high"


def unanswered_datagrams(t, n, each_ms):
    for i in range(n):
        t.flow("198.51.100.7", 80, UDP, answer="none", lives=None)
        if i % each_ms == 0:
            t.wait(0.001)


@scenario(FLOOD)
def flood_of_flows(t):
    unanswered_datagrams(t, 20000, 10)


@scenario(FLOOD)
def flood_of_which_the_kernel_tells_only_the_first_flows(t):
    unanswered_datagrams(t, 2500, 20)


@scenario(FLOOD)
def flood_of_packets_of_one_flow(t):
    t.flow("198.51.100.7", 27015, UDP, answer="none", sent=3000000 * 1000, packets=3000000, lives=95)


@scenario(FLOOD)
def flood_that_is_looked_at(t):
    ends = t.flow("2001:db8::7", 27015, UDP, answer="none", lives=None)
    for n in range(1, 10):
        t.wait(10)
        t.grow(ends, sent=n * 300000 * 500, packets=n * 300000)


@scenario("Backdoor:Runtime/DenialOfService.Udp medium")
def flood_by_large_answers(t):
    for _ in range(100):
        t.flow(t.address, 53, UDP, src="203.0.113.5", sent=60000, got=3000000, packets=1000, back=1000)
        t.wait(0.1)


@scenario()
def ordinary_questions_to_a_resolver(t):
    for n in range(20000):
        t.flow("198.51.100.53", 53, UDP, sent=60, got=120, packets=1, back=1)
        if n % 5 == 0:
            t.wait(0.001)


@scenario()
def ordinary_download_by_quic(t):
    t.flow("198.51.100.8", 443, UDP, sent=30000000, got=2000000000, packets=500000, back=1600000, lives=30)


@scenario()
def ordinary_upload_by_quic(t):
    t.flow("198.51.100.8", 443, UDP, sent=2000000000, got=10000000, packets=1600000, back=200000, lives=60)


@scenario()
def ordinary_telemetry_in_bursts_to_a_public_collector(t):
    for _ in range(10):
        for _ in range(1500):
            t.flow("198.51.100.9", 8125, UDP, answer="none", packets=1)
        t.wait(4)


@scenario()
def ordinary_metrics_by_statsd(t):
    t.flow("10.0.0.9", 8125, UDP, answer="none", sent=400000000, packets=4000000, lives=60)
    for n in range(20000):
        t.flow("10.0.0.9", 8125, UDP, answer="none", packets=1)
        if n % 5 == 0:
            t.wait(0.001)


@scenario()
def ordinary_dns_server(t):
    for n in range(3000):
        t.flow(t.address, 53, UDP, src=t.host(n % 40, "203.0"), sent=70, got=900, packets=1, back=1)
        t.wait(0.01)


# ---- names ------------------------------------------------------------------------------------------------------------

TUNNEL = "Trojan:Runtime/DNSDataExfiltration!DNS medium"
GENERATED = "Trojan:Runtime/DGADomainRequest.B medium"
BASE32 = "abcdefghijklmnopqrstuvwxyz234567"


def encoded(t, n, letters="0123456789abcdef"):
    return "".join(t.random.choice(letters) for _ in range(n))


@scenario(TUNNEL)
def tunnel_by_long_hex_names(t):
    for _ in range(400):
        t.ask(f"{encoded(t, 60)}.{encoded(t, 50)}.t.evil-example.com")
        t.wait(0.3)


@scenario(TUNNEL)
def tunnel_that_is_idle(t):
    for n in range(280):
        t.ask(f"{n:04x}{encoded(t, 20)}.evil-example.com", 15)
        t.wait(1)


@scenario(TUNNEL)
def tunnel_by_base32_names(t):
    for _ in range(300):
        t.ask(f"{encoded(t, 55, BASE32)}.ns1.evil-example.co.uk", 1)
        t.wait(0.5)


@scenario(TUNNEL)
def tunnel_of_texts(t):
    for n in range(300):
        t.ask(f"{n}.d.evil-example.com", 16, answer=["x TXT 1 " + encoded(t, 200)])
        t.wait(0.2)


@scenario(TUNNEL, place="host")
def tunnel_of_the_host(t):
    for _ in range(300):
        t.ask(f"{encoded(t, 60)}.evil-example.com")
        t.wait(0.3)


@scenario()
def ordinary_names_of_delivery_networks(t):
    for n in range(2000):
        t.ask(f"d{encoded(t, 13, BASE32)}.cloudfront.net")
        t.ask(f"r{n % 20}---sn-{encoded(t, 8)}.videocdn-example.com")
        t.ask(f"{encoded(t, 24, BASE32)}.s3.eu-central-1.amazonaws.com")
        t.wait(0.1)


@scenario()
def ordinary_block_lists_of_a_mail_server(t):
    for n in range(2000):
        t.ask(f"{n % 256}.{n // 256}.51.198.zen.blocklist-example.org", rcode=3)
        t.ask(f"{encoded(t, 40)}.hashes-example.org", rcode=3)
        t.ask(f"shop{n}-mailing.example-{n % 300}.com.dbl.blocklist-example.org", rcode=3)
        t.ask(f"_dmarc.customer{n}.com", 16)
        t.wait(0.1)


@scenario()
def ordinary_names_backwards(t):
    for n in range(2000):
        t.ask(f"{n % 256}.{n // 256}.51.198.in-addr.arpa", 12)
        t.ask(".".join(encoded(t, 32)) + ".ip6.arpa", 12)
        t.wait(0.1)


@scenario()
def ordinary_search_domains(t):
    for n in range(2000):
        for name in ("orders.prod.svc.cluster.local", "orders.svc.cluster.local", f"app-7d9f8b6c5-{encoded(t, 5)}.prod.svc.cluster.local",
                     "db.eu-central-1.compute.internal", f"ip-10-0-{n % 256}-7.eu-central-1.compute.internal", "_http._tcp.orders.local"):
            t.ask(name, rcode=3)
        t.wait(0.1)


@scenario()
def ordinary_verification_texts(t):
    for n in range(60):
        t.ask(f"_acme-challenge.site{n}.hosting-example.com", 16)
        t.ask(f"selector{n % 3}._domainkey.customer{n}.com", 16)
        t.wait(1)


@scenario()
def ordinary_names_of_customers(t):
    for n in range(3000):
        t.ask(f"{t.random.choice(WORDS)}-{t.random.choice(WORDS)}-{n % 40}.shops-example.com")
        t.wait(0.05)


@scenario(GENERATED)
def generated_names(t):
    for name in families.names(families.congruential, 60, 5):
        t.ask(f"{name}.{t.random.choice(['com', 'net', 'biz', 'co.uk'])}", rcode=3)
        t.wait(2)


@scenario(GENERATED)
def generated_names_of_an_unknown_kind_beside_ordinary_life(t):
    for name in families.names(families.digest, 30, 5):
        t.ask(f"{name}.info", rcode=3)
        for word in ("orders", "billing", "cache"):
            t.ask(f"{word}.internal-example.com")
        t.wait(10)


@scenario()
def ordinary_random_names_that_exist(t):
    for name in families.names(families.uniform, 60, 5):
        t.ask(f"{name}.com")
        t.wait(1)


@scenario()
def ordinary_probes_of_a_browser(t):
    for name in families.names(families.uniform, 60, 5):
        t.ask(name, rcode=3)
        t.ask(f"{name}.corp-example.com", rcode=3)
        t.wait(1)


@scenario()
def ordinary_crawler_of_dead_links(t):
    for _ in range(3000):
        t.ask(f"www.{t.random.choice(WORDS)}{t.random.choice(WORDS)}.com", rcode=3 if t.random.random() < .3 else 0)
        t.wait(0.1)


@scenario()
def ordinary_few_typing_errors(t):
    for name in families.names(families.uniform, 8, 5):
        t.ask(f"{name}.com", rcode=3)
        t.wait(5)


# ---- listeners --------------------------------------------------------------------------------------------------------

LISTENER = "Persistence:Runtime/NewListener medium"
LISTENER_LOW = "Persistence:Runtime/NewListener low"


@scenario(LISTENER)
def listener_by_netcat(t):
    t.run("sh -c x")
    t.run("nc -l -p 4444")
    t.listen(4444)


@scenario(LISTENER)
def listener_by_busybox(t):
    t.run("{exe=/bin/busybox} busybox nc -lp 4444")
    t.listen(4444, src="::")


@scenario(LISTENER)
def listener_by_python_on_the_command_line(t):
    t.run("python3 -c 'import socket'")
    t.listen(40123)


@scenario(LISTENER)
def listener_that_was_put_in(t):
    t.last = None
    t.run("{exe=/usr/sbin/sshd} /usr/sbin/sshd -p 2222")
    t.listen(2222)


@scenario("Execution:Runtime/NewBinaryExecuted medium", LISTENER)
def listener_by_a_new_program(t):
    t.run("{exe=/app/agent2 fresh} /app/agent2")
    t.listen(51000)


@scenario(LISTENER_LOW)
def listener_late_by_a_program_of_the_image(t):
    t.listen(8080, pid=t.first_pid)
    t.wait(900)
    t.run("{exe=/usr/sbin/dropbox} dropbox")
    t.listen(9000)


@scenario()
def ordinary_server_that_starts_slowly(t):
    t.wait(300)
    t.run("{exe=/usr/bin/java} java -jar app.jar")
    t.listen(8080)
    t.listen(8443, src="::")


@scenario()
def ordinary_second_port_of_the_same_server(t):
    t.listen(8080, pid=t.first_pid)
    t.wait(3000)
    t.listen(9090, pid=t.first_pid)
    t.run("{exec exe=/usr/bin/node} node server.js")
    t.listen(9091, pid=t.first_pid)


@scenario()
def ordinary_restarted_server(t):
    t.run("{exe=/usr/sbin/postgres} postgres -D /data")
    t.listen(5432)
    t.wait(2000)
    t.listen(5432, phase="end")
    t.run("{exe=/usr/sbin/postgres} postgres -D /data -c x=1")
    t.listen(5432)


@scenario()
def ordinary_sockets_for_answers(t):
    t.listen(8080, pid=t.first_pid)
    t.wait(2000)
    t.run("{exe=/usr/bin/dig} dig example.com")
    t.listen(43210, proto=UDP)
    t.run("{exe=/usr/bin/chromedriver} chromedriver")
    t.listen(9515, src="127.0.0.1")
    t.run("{exe=/usr/bin/testserver} testserver")
    t.listen(45001)


@scenario()
def ordinary_listeners_found_at_the_start_of_the_agent(t):
    t.run("nc -l -p 9999")
    t.wait(2000)
    t.listen(9999, phase="present")


# ---- beacons ----------------------------------------------------------------------------------------------------------

BEACON, BEACON_LOW = "Backdoor:Runtime/Beacon medium", "Backdoor:Runtime/Beacon low"


@scenario(BEACON_LOW)
def beacon_to_a_bare_address(t):
    t.ask("api.example.com")
    for _ in range(20):
        t.flow("198.51.100.66", 443)
        t.wait(60 + t.random.uniform(-15, 15))


@scenario("Execution:Runtime/NewBinaryExecuted medium", BEACON, "AttackSequence:ECS/CompromisedTask critical", "AttackSequence:ECS/CompromisedTask high")
def beacon_by_a_new_program_to_a_name(t):
    t.ask("cdn.example.com")
    t.run("{exe=/app/updater fresh} /app/updater")
    for _ in range(20):
        t.flow("2001:db8::66", 443, domain="cdn.example.com", pid=t.last)
        t.wait(30)


@scenario()
def ordinary_job_that_calls_an_api(t):
    for _ in range(40):
        t.ask("api.example.com")
        t.run("curl -s https://api.example.com/")
        t.flow("198.51.100.67", 443, domain="api.example.com", pid=t.last)
        t.wait(300)


@scenario()
def ordinary_metrics_to_private_addresses(t):
    t.ask("api.example.com")
    for _ in range(100):
        t.flow("10.0.7.7", 9091)
        t.flow("169.254.170.2", 80)
        t.wait(15)


@scenario()
def ordinary_clock_and_names(t):
    t.ask("api.example.com")
    for _ in range(100):
        t.flow("198.51.100.12", 123, UDP, sent=76, got=76, packets=1, back=1)
        t.flow("198.51.100.13", 53, UDP, sent=76, got=76, packets=1, back=1)
        t.wait(64)


@scenario()
def ordinary_calls_when_something_is_to_do(t):
    t.ask("api.example.com")
    for _ in range(300):
        t.flow("198.51.100.68", 443)
        t.wait(t.random.expovariate(1 / 40))


@scenario()
def ordinary_checks_from_outside(t):
    t.ask("api.example.com")
    for _ in range(100):
        t.flow(t.address, 8080, src="203.0.113.8")
        t.wait(30)


@scenario()
def ordinary_bare_address_where_nobody_uses_names(t):
    for _ in range(40):
        t.flow("198.51.100.69", 443)
        t.wait(60)


# ---- volume -----------------------------------------------------------------------------------------------------------

VOLUME, VOLUME_LOW = "Exfiltration:Runtime/UnusualDataVolume medium", "Exfiltration:Runtime/UnusualDataVolume low"
MIB = 1 << 20


def a_day(t, hours=30, mib=20):
    for n in range(hours):
        for _ in range(12):
            t.flow("198.51.100.80", 443, sent=int(mib * MIB / 12 * t.random.uniform(.5, 2)), packets=1000, back=800)
            t.wait(300)


@scenario(VOLUME)
def volume_to_a_new_network(t):
    a_day(t)
    t.flow("203.0.113.80", 443, sent=400 * MIB, packets=300000, back=200000)


@scenario(VOLUME_LOW)
def volume_to_the_usual_network(t):
    a_day(t)
    for _ in range(40):
        t.flow("198.51.100.80", 443, sent=100 * MIB, packets=100000, back=60000)
        t.wait(60)


@scenario(VOLUME)
def volume_of_a_task_that_never_sends(t):
    t.flow("198.51.100.80", 443, sent=2000)
    t.wait(30 * 3600)
    ends = t.flow("203.0.113.80", 443, lives=None)
    for n in range(1, 10):
        t.wait(60)
        t.grow(ends, sent=n * 30 * MIB, packets=n * 20000, back=n * 10000)


@scenario()
def ordinary_volume_while_learning(t):
    a_day(t, hours=20)
    t.flow("203.0.113.80", 443, sent=4000 * MIB, packets=3000000, back=2000000)


@scenario()
def ordinary_volume_of_a_nightly_backup(t):
    for _ in range(4):
        a_day(t, hours=23, mib=1)
        t.flow("198.51.100.81", 443, sent=700 * MIB, packets=500000, back=200000)
        t.wait(3600)


@scenario()
def ordinary_volume_that_grows(t):
    for day in range(4):
        a_day(t, hours=24, mib=60 + 30 * day)


@scenario()
def ordinary_volume_within_the_network_and_to_clients(t):
    a_day(t)
    t.flow("10.0.0.80", 443, sent=4000 * MIB, packets=3000000, back=2000000)
    t.flow(t.address, 443, src="203.0.113.4", sent=1 * MIB, got=4000 * MIB, packets=3000000, back=2000000)
