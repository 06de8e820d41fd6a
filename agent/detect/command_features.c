#include "agent/detect/command_features.h"

#define SH "(?:\\S*/)?(?:ba|da|a|z|k|mk)?sh\\b"
#define FETCH "\\b(?:curl|wget|fetch|lwp-download|aria2c)\\b"
#define SCRIPT "\\b(?:python[\\d.]*|perl|ruby|php[\\d.]*|node(?:js)?|lua[\\d.]*)\\b"
#define TMP "(?:/tmp|/var/tmp|/dev/shm|/run/shm)"
#define INTO "(?:>>?|\\btee\\b(?:\\s+-a)?)\\s*"
/* All the rest of the line, whatever is in it: where that does not match behind the first occurrence, it does not behind a later one, so the
 * search ends (a line of many occurrences would cost the square of its length). */
#define REST "(*COMMIT).*"
/* not: loopback, private and link-local networks */
#define PUBLIC_IP "(?!127\\.|10\\.|0\\.|192\\.168\\.|172\\.(?:1[6-9]|2\\d|3[01])\\.|169\\.254\\.)(?:\\d{1,3}\\.){3}\\d{1,3}"
#define SECURITY_SERVICES                                                                                                     \
    "(?:auditd|rsyslogd?|syslog-ng|falco|ecsguard\\w*|osqueryd|wazuh\\S*|falcon-sensor|clamav\\S*|fail2ban|apparmor|aide|sysmon|" \
    "amazon-guardduty-agent|amazon-ssm-agent|amazon-cloudwatch-agent|awslogsd|firewalld|ufw|nftables|iptables|aegis|aliyun\\S*|YDService)"

#define MINERS "xmrig|kinsing|kdevtmpfsi|minerd|kthreaddk|xmr-stak|watchbog|ddgs"

/* Of several words, any. */
#define FETCH_WORDS "curl wget fetch lwp-download aria2c"
#define TMP_WORDS "/tmp /dev/shm /run/shm"
#define DEV_WORDS "/dev/tcp/ /dev/udp/"

#define EXEC COMMAND_EXECUTION
#define EVADE COMMAND_DEFENSE_EVASION
#define PERSIST COMMAND_PERSISTENCE
#define RAISE COMMAND_PRIVILEGE_ESCALATION
#define CONTEXT COMMAND_CONTEXT
#define DISCOVER COMMAND_DISCOVERY

/* The score of a line is the sum of the weights of the features found in it. */
const struct command_feature command_features[] = {
    /* ---- code from elsewhere ---- */
    { "download_to_shell", EXEC, 45, FETCH_WORDS, FETCH "[^|;]*\\|\\s*(?:sudo\\s+(?:-\\S+\\s+)*)?(?:env\\s+)?(?:" SH "|" SCRIPT ")", "what is downloaded is run unseen" },
    { "shell_of_download", EXEC, 45, FETCH_WORDS, "(?:" SH "\\s+(?:-\\w+\\s+)*|eval\\s+|source\\s+|(?:^|\\s)\\.\\s+)[\"']?[$<]\\(\\s*" FETCH, "a shell runs the output of a download" },
    { "decode_to_shell", EXEC, 80, "|", "(?:base(?:64|32)\\s+(?:-\\w*[dD]\\w*|--decode)|openssl\\s+(?:enc|base64)\\b[^|]*\\s-d\\b|xxd\\s+-r\\S*|(?:gzip|xz)\\s+-dc?|zcat)[^|;]*\\|\\s*(?:sudo\\s+)?(?:" SH "|" SCRIPT ")", "decoded text is run" },
    { "eval_decoded", EXEC, 80, "base64", "(?:eval|" SH "\\s+-c)\\s+[\"']?[$`][^;]*base64\\s+(?:-\\w*[dD]|--decode)", "decoded text is evaluated" },
    { "script_decodes_and_runs", EXEC, 75, "b64decode base64_decode decode64 fromhex frombase64 marshal zlib rot13", SCRIPT REST "(?:exec|eval|system|popen)\\b.*(?:b64decode|base64_decode|decode64|fromhex|frombase64|marshal|zlib|rot13)", "a script decodes code and runs it" },
    { "reversed_to_shell", EXEC, 80, "rev", "\\brev\\b\\s*\\|\\s*(?:" SH "|" SCRIPT ")", "text written backwards is run" },
    { "fetch_to_tmp", EXEC, 15, TMP_WORDS, FETCH REST "\\s" TMP "/", "a download into a directory for everyone" },
    { "chmod_in_tmp", EXEC, 15, "chmod", "\\bchmod\\s+(?:-\\S+\\s+)*(?:[ugoa]*\\+\\w*x|0?[1357][0-7]{2})\\s+" TMP "/", "a file there is made executable" },
    { "run_from_tmp", EXEC, 15, TMP_WORDS, "(?:;|&&|\\|\\||\\n)\\s*(?:(?:nohup|setsid|exec|sudo|" SH ")\\s+)*" TMP "/\\S+", "a file there is run" },
    { "hidden_in_tmp", EXEC, 25, TMP_WORDS, TMP "/(?:\\S*/)?\\.(?!X11-unix|ICE-unix|font-unix|XIM-unix|Test-unix|X\\d|cache|npm|config|git)[\\w.-]+", "a hidden name in a directory for everyone" },
    { "download_runs_here", EXEC, 15, FETCH_WORDS, FETCH REST "(?:;|&&)\\s*(?:chmod\\s+\\S+\\s+\\S+\\s*(?:;|&&)\\s*)?\\./\\S+", "what was downloaded is run from the working directory" },
    /* ---- shells over the network ---- */
    { "shell_on_dev_tcp", EXEC, 100, DEV_WORDS, SH "\\s+-i\\b.*/dev/(?:tcp|udp)/|/dev/(?:tcp|udp)/.*(?:0>&1|0<&\\d|" SH "\\s+(?:-i\\s+)?[0<]*[<>]&\\s*\\d)", "a shell's input and output are a network connection" },
    { "dev_tcp", EXEC, 20, DEV_WORDS, "/dev/(?:tcp|udp)/(?!localhost|127\\.)", "the shell opens a network connection" },
    { "netcat_shell", EXEC, 100, "nc netcat", "\\b(?:nc|ncat|netcat|nc\\.traditional|nc\\.openbsd)\\b" REST "\\s(?:-\\w*[ec]|--exec|--sh-exec)\\s*[\"']?" SH, "netcat runs a shell" },
    { "socat_shell", EXEC, 100, "socat", "(?i)\\bsocat\\b" REST "(?:exec|system):\\S*sh\\b", "socat runs a shell" },
    { "fifo_shell", EXEC, 100, "mkfifo mknod", "\\b(?:mkfifo|mknod)\\b" REST "\\b(?:nc|ncat|netcat|telnet|openssl\\s+s_client|socat)\\b", "a shell is tied to the network by a fifo" },
    { "telnet_shell", EXEC, 90, "telnet", "\\btelnet\\b[^|]*\\|\\s*" SH "[^|]*\\|\\s*telnet\\b", "a shell between two connections" },
    { "script_socket_shell", EXEC, 100, "socket", SCRIPT REST "(?i:socket).*(?:connect|TCPSocket|STDIN|dup2).*(?:pty\\.spawn|dup2|subprocess|popen|child_process|exec\\w*\\W|system\\W|/bin/(?:ba)?sh)", "a script ties a shell to a connection" },
    { "script_pty", EXEC, 50, "pty", SCRIPT REST "\\bpty\\b.*\\bspawn\\b", "a script starts a shell on a terminal of its own" },
    { "node_net_shell", EXEC, 90, "child_process", "\\A(?=.*(?:require|import)\\b.{0,20}\\bnet\\b).*child_process", "a script ties a shell to a connection" },
    { "php_fsockopen", EXEC, 90, "fsockopen", "fsockopen\\s*\\(" REST "(?:exec|passthru|system|popen|proc_open)", "a script ties a shell to a connection" },
    /* ---- hiding what is said ---- */
    { "ifs_for_blanks", EXEC, 60, "$IFS ${IFS", "[\\w.]\\$\\{?IFS(?:%\\?\\?|:\\S*)?\\}?[\\w$/\\-{.]", "$IFS stands for blanks" },
    { "brace_for_blanks", EXEC, 50, "{curl, {wget, {nc, {bash, {sh, {cat, {echo, {base64,", "\\{(?:curl|wget|nc|bash|sh|cat|echo|base64),[^}\\s]+\\}", "braces stand for blanks" },
    { "quotes_in_words", EXEC, 40, "'' \"\" \\", "(?:^|[\\s;|&(])[a-z]{1,6}(?:''|\"\"|\\\\)[a-z]{1,6}(?:''|\"\"|\\\\)?[a-z]*\\s+\\S", "quotes cut a command's name" },
    { "hex_or_octal", EXEC, 40, "\\", "(?:\\\\x[0-9a-fA-F]{2}){6,}|(?:\\\\0?[0-7]{3}){6,}", "text is spelled in hex or octal" },
    { "escapes_to_shell", EXEC, 50, "|", "\\b(?:printf|echo\\s+-\\w*e\\w*)\\s[^|]*\\\\[x0-7][^|]*\\|\\s*(?:" SH "|" SCRIPT ")", "text spelled in escapes is run" },
    { "path_by_wildcards", EXEC, 50, "?", "(?:^|[\\s;|&(])/(?:[a-z]|\\?)*\\?+[a-z?]*/(?:[a-z]|\\?)*\\?+[a-z?]*\\s", "wildcards stand for a command's path" },
    /* ---- what goes along ---- */
    { "public_address", CONTEXT, 40, "http:// https:// ftp:// " DEV_WORDS " nc curl wget", "(?:\\b(?:https?|ftp|tftp)://(?:[^/\\s@]*@)?|/dev/(?:tcp|udp)/|\\b(?:nc|ncat|curl|wget)\\s+(?:-\\S+\\s+)*)" PUBLIC_IP "\\b", "the other side is a bare public address" },
    { "plain_http", CONTEXT, 15, "http://", FETCH REST "\\bhttp://(?!localhost\\b|127\\.|10\\.|192\\.168\\.|172\\.(?:1[6-9]|2\\d|3[01])\\.|169\\.254\\.)[^/\\s:]*\\.[^/\\s]+", "a download without TLS" },
    { "drop_site", CONTEXT, 40, "pastebin.com transfer.sh termbin.com ix.io 0x0.st file.io temp.sh bashupload.com anonfile gofile.io discordapp.com telegram.org "
      "webhook.site requestbin pipedream.net burpcollaborator interact.sh oast. ngrok serveo.net trycloudflare.com .onion", "(?i)\\b(?:pastebin\\.com/raw|transfer\\.sh|termbin\\.com|ix\\.io|0x0\\.st|file\\.io|temp\\.sh|bashupload\\.com|anonfiles?\\.|gofile\\.io|cdn\\.discordapp\\.com|api\\.telegram\\.org/bot|webhook\\.site|requestbin|pipedream\\.net|burpcollaborator|interact\\.sh|oast\\.(?:fun|pro|live|site|online|me)|ngrok(?:-free)?\\.(?:io|app)|serveo\\.net|trycloudflare\\.com|[a-z2-7]{16,56}\\.onion)", "a site where anybody can leave files or take data" },
    { "in_background", CONTEXT, 15, "nohup setsid disown 2>&1", "(?:\\b(?:nohup|setsid|disown)\\b.*&|>\\s*/dev/null\\s+2>&1\\s*&)\\s*(?:disown\\s*)?(?:$|;|\\))", "it goes on in the background, unheard" },
    { "removes_itself", CONTEXT, 20, "$0 " TMP_WORDS, "\\brm\\s+(?:-\\w+\\s+)*(?:--\\s+)?[\"']?\\$0|&&?\\s*rm\\s+(?:-\\w+\\s+)*" TMP "/\\.", "it removes its own file" },
    { "ignores_certificates", CONTEXT, 10, "curl --no-check-certificate", "\\b(?:curl\\s.*(?:\\s-\\w*k\\w*\\b|--insecure)|wget\\s.*--no-check-certificate)", "it does not ask who the other side is" },
    /* ---- defences ---- */
    { "firewall_flushed", EVADE, 55, "iptables ip6tables ufw nft", "\\bip6?tables\\b.*\\s(?:-F|--flush)\\b|\\bufw\\s+(?:--force\\s+)?(?:disable|reset)\\b|\\bnft\\s+flush\\s+ruleset|\\bip6?tables\\s+(?:-P|--policy)\\s+INPUT\\s+ACCEPT", "firewall rules are taken away" },
    { "mandatory_access_off", EVADE, 70, "setenforce SELINUX=disabled aa-teardown aa-disable aa-complain apparmor_parser", "\\bsetenforce\\s+(?:0|[Pp]ermissive)|\\bSELINUX=disabled\\b|\\b(?:aa-teardown|aa-disable|aa-complain)\\b|\\bapparmor_parser\\s+(?:-R|--remove)", "SELinux or AppArmor is switched off" },
    { "security_service_stopped", EVADE, 70, "systemctl service /etc/init.d/ pkill killall", "\\b(?:systemctl\\s+(?:--\\S+\\s+)*(?:stop|disable|mask|kill)\\s+(?:--\\S+\\s+)*|service\\s+|/etc/init\\.d/|(?:pkill|killall)\\s+(?:-\\S+\\s+)*)" SECURITY_SERVICES "\\b(?:\\.service)?(?!\\s*(?:start|restart|status|reload))", "a service that watches or logs is stopped" },
    { "audit_off", EVADE, 75, "auditctl", "\\bauditctl\\s+(?:-e\\s*0|-D)\\b", "the kernel's audit is switched off" },
    { "history_off", EVADE, 55, "HISTFILE HISTSIZE", "\\bunset\\s+(?:-v\\s+)?HIST(?:FILE|SIZE)|\\bHISTFILE=(?:/dev/null|[\"']{2}|\\s|;|$)|\\bHIST(?:FILE)?SIZE=0", "the shell's history is switched off" },
    { "history_cleared", EVADE, 55, "history", "\\bhistory\\s+-c\\b|\\bset\\s+\\+o\\s+history|(?:\\brm\\s+(?:-\\w+\\s+)*|>\\s*|\\bshred\\s.*|\\btruncate\\s.*|\\bln\\s+-\\w*s\\w*\\s+/dev/null\\s+)\\S*\\.(?:ba|z|a)?sh_history", "the shell's history is removed" },
    { "log_wiped", EVADE, 60, "/var/log/", "(?:\\brm\\s+(?:-\\w+\\s+)*|(?:^|[\\s;&|:])>\\s*|\\bshred\\s.*|\\btruncate\\s.*|\\bln\\s+-\\w*s\\w*\\s+/dev/null\\s+|\\bcat\\s+/dev/null\\s*>\\s*)/var/log/(?:auth\\.log|secure|wtmp|btmp|utmp|lastlog|syslog|messages|cron|audit(?:/\\S*)?)(?:\\s|;|&|\"|'|$)", "a log of the system is emptied" },
    { "crontab_removed", EVADE, 50, "crontab", "\\bcrontab\\s+(?:-u\\s+\\S+\\s+)?-r\\b", "a crontab is removed" },
    { "timestamps_forged", EVADE, 30, "touch", "\\btouch\\s+(?:-\\w+\\s+)*(?:-\\w*[rtd]|--reference)\\b" REST "\\s/(?:bin|sbin|usr|etc|lib)", "a system file gets another date" },
    { "made_immutable", EVADE, 30, "chattr", "\\bchattr\\s+(?:-R\\s+)?[-+=][aiu]+\\s", "attributes keep files from being changed, or no longer do" },
    { "preload_everywhere", EVADE, 80, "ld.so.preload", INTO "\\S*/etc/ld\\.so\\.preload", "a library is loaded into every program" },
    { "preload_from_tmp", EVADE, 60, "LD_PRELOAD=", "\\bLD_PRELOAD=[\"']?(?:" TMP "|\\.)/", "a library from a directory for everyone is loaded" },
    { "rivals_killed", EVADE, 60, "kill", "\\b(?:pkill|killall|kill)\\b" REST "\\b(?:" MINERS ")\\b", "other people's miners are killed" },
    { "rivals_looked_for", EVADE, 60, "kill", "\\bp?grep\\b" REST "\\b(?:" MINERS "|stratum)\\b.*\\bkill\\b", "other people's miners are killed" },
    /* ---- coming back ---- */
    { "crontab_written", PERSIST, 40, "cron", "\\|\\s*crontab\\s+(?:-u\\s+\\S+\\s+)?-(?:\\s|$|\"|')|" INTO "\\S*/(?:etc/cron\\S*|var/spool/cron\\S*)|\\bcrontab\\s+" TMP "/", "a scheduled command is set up" },
    { "cron_fetches", PERSIST, 60, FETCH_WORDS " base64 /dev/tcp " TMP_WORDS, "(?:\\*/?\\d*\\s+){4}\\S+\\s+[^\\n]*(?:" FETCH "|base64|/dev/tcp|" TMP "/)", "a scheduled command downloads, decodes, or runs from a directory for everyone" },
    { "unit_written", PERSIST, 40, "/systemd/", INTO "\\S*/(?:etc|lib|usr/lib|run)/systemd/(?:system|user)/\\S+", "a systemd unit is written" },
    { "unit_enabled", PERSIST, 15, "systemctl update-rc.d chkconfig", "\\b(?:systemctl\\s+(?:--\\S+\\s+)*enable|update-rc\\.d\\s+\\S+\\s+defaults|chkconfig\\s+\\S+\\s+on)\\b", "a service is enabled" },
    { "startup_written", PERSIST, 50, "/etc/rc /etc/init /etc/profile.d /etc/update-motd.d", INTO "\\S*/etc/(?:rc\\.local|rc\\.d/\\S+|init\\.d/\\S+|inittab|profile\\.d/\\S+|update-motd\\.d/\\S+)", "a start-up script is written" },
    { "profile_written", PERSIST, 20, ".bashrc .bash_profile .profile .zshrc .bash_login .zprofile", INTO "[\"']?(?:~|\\$HOME|\\$\\{HOME\\}|/root|/home/[^/\\s]+)/\\.(?:bashrc|bash_profile|profile|zshrc|bash_login|zprofile)", "a login script is written" },
    { "ssh_key_written", PERSIST, 60, "authorized_keys", INTO "[\"']?\\S*/?\\.ssh/authorized_keys", "a key is let in by ssh" },
    { "user_added", PERSIST, 30, "useradd adduser", "(?:^|[\\s;&|/])(?:useradd|adduser)\\s", "a user is added" },
    { "user_added_as_root", PERSIST, 80, "useradd adduser usermod", "\\b(?:useradd|adduser|usermod)\\b" REST "\\s(?:-o\\s.*)?(?:-u|--uid)[\\s=]*0\\b", "a second root is added" },
    { "passwd_written", PERSIST, 80, "/etc/passwd /etc/shadow", INTO "\\S*/etc/(?:passwd|shadow)\\b", "an account is written into passwd or shadow" },
    { "password_set", PERSIST, 30, "chpasswd passwd usermod", "\\|\\s*(?:sudo\\s+)?(?:chpasswd|passwd\\s+--stdin)\\b|\\busermod\\s+(?:-p|--password)\\b", "a password is set by a command" },
    /* ---- more rights ---- */
    { "added_to_powerful_group", RAISE, 60, "usermod gpasswd adduser addgroup", "\\b(?:usermod\\s+(?:-\\w*G\\w*|--groups)(?:\\s+-\\w+)*\\s+|gpasswd\\s+-a\\s+\\S+\\s+|(?:adduser|addgroup)\\s+[\\w.-]+\\s+)\\S*\\b(?:sudo|wheel|root|docker|admin|adm|lxd|disk|shadow)\\b", "a user comes into a group that can become root" },
    { "sudoers_written", RAISE, 60, "/sudoers", INTO "\\S*/etc/sudoers(?:\\.d/\\S+)?", "rights of sudo are written" },
    { "setuid_on_shell", RAISE, 90, "chmod", "\\bchmod\\s+(?:-\\w+\\s+)*(?:[ugoa]*\\+\\w*s\\w*|0?[4-7][0-7]{3})\\s+\\S*(?:\\b(?:bash|dash|sh|zsh|busybox|python[\\d.]*|perl|find|vim?|nmap|cp|env|awk|php)|" TMP "/\\S+)(?:\\s|;|&|\"|'|$)", "a shell or tool gets the setuid bit" },
    { "setuid_set", RAISE, 30, "chmod", "\\bchmod\\s+(?:-\\w+\\s+)*(?:[u]?\\+\\w*s\\w*|0?[4-7][0-7]{3})\\s", "a setuid bit is set" },
    { "powerful_capability", RAISE, 60, "setcap", "\\bsetcap\\s+\\S*\\b(?:cap_setuid|cap_setgid|cap_sys_admin|cap_dac_override|cap_dac_read_search|cap_sys_ptrace|cap_sys_module|all)\\b", "a file gets a capability as good as root" },
    { "into_host_namespaces", RAISE, 70, "nsenter", "\\bnsenter\\b" REST "(?:-t\\s*1\\b|--target[= ]1\\b)", "the namespaces of process 1 are entered" },
    { "chroot_to_host", RAISE, 50, "chroot", "\\bchroot\\s+(?:--\\S+\\s+)*/(?:host|hostfs|rootfs|mnt/(?:host|root))\\b", "the host's file system becomes the root" },
    { "container_with_host", RAISE, 55, "docker nerdctl podman ctr", "\\b(?:docker|nerdctl|podman|ctr)\\b" REST "\\brun\\b.*(?:(?:-v|--volume)[= ]/:/|--mount[= ]\\S*(?:src|source)=/,|--privileged.*--pid[= ]host|--pid[= ]host.*--privileged)", "a container is started that holds the host" },
    { "shell_through_sudo", RAISE, 70, "sudo", "\\bsudo\\b" REST "\\b(?:find\\b.*-exec\\s+" SH "|vim?\\b.*-c\\s*[\"']?:!|awk\\b.*system\\(|tar\\b.*--checkpoint-action=exec|env\\s+/bin/" SH "|nmap\\s+--interactive)", "a tool allowed by sudo starts a shell" },
    { "privileged_shell", RAISE, 60, "-exec " TMP_WORDS, "(?:-exec\\s+)(?:/\\S*/)?(?:ba|da)?sh\\s+-p\\b|(?:^|[\\s;&|])" TMP "/\\S+\\s+-p\\s*$", "a shell that keeps setuid rights" },
    { "release_agent_written", RAISE, 90, "release_agent", INTO "\\S*release_agent\\b", "the kernel is told to run a program on the host" },
    { "core_pattern_written", RAISE, 90, "core_pattern", INTO "[\"']?/proc/sys/kernel/core_pattern|\\bkernel\\.core_pattern=[\"']?\\|", "the kernel is told to run a program on the host" },
    { "namespace_as_root", RAISE, 30, "unshare", "\\bunshare\\s+(*COMMIT)(?:-\\S+\\s+)*(?:-\\w*r\\w*\\b|--map-root-user)", "a user namespace gives root's capabilities" },
    /* ---- looking around: single commands, '^' is their name without a directory ---- */
    { "id", DISCOVER, 10, NULL, "^id$", "who am I" },
    { "whoami", DISCOVER, 15, NULL, "^(?:whoami|logname)$", "who am I" },
    { "system", DISCOVER, 10, NULL, "^uname -\\w*a", "which system" },
    { "release", DISCOVER, 5, NULL, "^(?:cat|head|more|less)\\s.*(?:/etc/(?:\\S*-release|issue|lsb\\S*|hostname|resolv\\.conf|hosts)|/proc/version)|^lsb_release\\b", "which distribution" },
    { "hostname", DISCOVER, 5, NULL, "^hostname(?: -[aAfI])?$", "which host" },
    { "environment", DISCOVER, 10, NULL, "^(?:env|printenv)$", "which settings and secrets" },
    { "processes", DISCOVER, 10, NULL, "^(?:ps|top|pstree)\\b", "which processes" },
    { "sockets", DISCOVER, 10, NULL, "^(?:netstat|ss|lsof -i)\\b", "which connections" },
    { "interfaces", DISCOVER, 10, NULL, "^(?:ifconfig\\b|ip (?:-\\S+ )*(?:a|addr|address|r|route|n|neigh)\\b|arp\\b|route\\b)", "which networks" },
    { "accounts", DISCOVER, 15, NULL, "^(?:cat|head|tail|more|less|cut|awk|grep)\\s.*/etc/(?:passwd|group)\\b|^getent (?:passwd|group)$", "which users" },
    { "password_hashes", DISCOVER, 30, NULL, "^(?:cat|head|tail|more|less|cp|base64)\\s.*/etc/g?shadow\\b", "which passwords" },
    { "mounts", DISCOVER, 10, NULL, "^(?:mount$|findmnt\\b|lsblk\\b|fdisk -l|cat\\s.*/proc/(?:self/|1/)?mount)", "which file systems" },
    { "logins", DISCOVER, 10, NULL, "^(?:w|who|last|lastlog|users)(?:\\s|$)", "who is logged in" },
    { "sudo_rights", DISCOVER, 25, NULL, "^sudo (?:-n )?-l\\b", "what is allowed by sudo" },
    { "setuid_files", DISCOVER, 35, NULL, "^find\\b.*-perm\\s+(?:[-/]?\\+?0?[2467]000|[-/]?[ug]=s|[-/]u\\+s)", "which programs have the setuid bit" },
    { "file_capabilities", DISCOVER, 30, NULL, "^getcap\\b.*-r", "which programs have capabilities" },
    { "own_capabilities", DISCOVER, 20, NULL, "^capsh --print|^(?:cat|grep)\\s.*/proc/(?:1|self|\\d+)/(?:status|cgroup|environ)", "what is this container" },
    { "secret_files", DISCOVER, 25, NULL, "^find\\b.*-name\\s+\\S*(?:id_rsa|\\.pem|\\.env|credentials|\\.aws|password|secret|\\.kdbx?)", "where are keys" },
    { "scheduled", DISCOVER, 10, NULL, "^(?:crontab -l|atq\\b|systemctl list-(?:timers|units)|ls\\s.*/etc/cron|cat\\s.*/etc/crontab)", "what is scheduled" },
    { "task_credentials", DISCOVER, 40, "169.254.", "\\b169\\.254\\.170\\.2(?::\\d+)?/v\\d/credentials|\\b169\\.254\\.169\\.254/\\S*(?:iam|security-credentials|user-data)", "which credentials does the metadata service give" },
    { "metadata", DISCOVER, 5, "169.254.", "\\b169\\.254\\.(?:169\\.254|170\\.2)\\b", "what does the metadata service say" },
    { "aws_identity", DISCOVER, 15, NULL, "^aws\\s.*\\b(?:sts get-caller-identity|iam (?:list|get)-\\S+|s3 ls$|s3api list-buckets|ec2 describe-\\S+|ecs (?:list|describe)-\\S+|secretsmanager list-secrets|ssm describe-parameters|organizations \\S+|lambda list-functions|rds describe-\\S+)", "what may this role do" },
    { "kubernetes", DISCOVER, 20, NULL, "^kubectl\\s.*\\b(?:auth can-i|get (?:secrets?|pods?|nodes?|all))", "what is in the cluster" },
    { "docker_objects", DISCOVER, 15, NULL, "^docker (?:ps|images|info|inspect)\\b|^ls\\s.*/docker\\.sock", "which containers" },
    { "packages", DISCOVER, 10, NULL, "^(?:dpkg -l|rpm -qa|apk info|pip list)\\b", "which packages" },
    { "hardware", DISCOVER, 5, NULL, "^(?:lscpu|nproc|free|dmidecode|cat\\s.*/proc/(?:cpuinfo|meminfo))\\b", "how strong is it" },
    { "homes", DISCOVER, 5, NULL, "^ls\\s.*\\s(?:/root|/home)(?:/|\\s|$)", "what is in the homes" },
};
const int n_command_features = (int)(sizeof command_features / sizeof command_features[0]);
_Static_assert(sizeof command_features / sizeof command_features[0] <= COMMAND_FEATURES_MAX, "bits of struct command_score");
