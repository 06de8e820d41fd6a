#!/bin/bash
# systemd/ecsguard.service in a booted systemd: test_unit.sh DEB UNIT_PROBE   (root; systemd-nspawn)
# The tree is this machine's own root behind an overlay, so nothing is downloaded and nothing here changes; the package is installed in it as on a
# host; unit_probe stands in for the agent and tries what the sandbox must allow and must refuse.
# Ends with "N passed, N failed, N skipped".
set -u

deb=$(realpath "$1")
probe=$(realpath "$2")
if [ "$(id -u)" != 0 ] || ! command -v systemd-nspawn >/dev/null; then
    echo 'skipped: needs root and systemd-nspawn (package systemd-container)'
    echo '0 passed, 0 failed, 1 skipped'
    exit 0
fi
work=$(mktemp -d)
root=$work/root
mkdir -p "$work/disk" "$root"
cleanup()
{
    umount -R "$root" 2>/dev/null
    umount "$work/disk" 2>/dev/null
    rm -rf "$work"
}
trap cleanup EXIT
mount -t tmpfs -o mode=755 none "$work/disk" && mkdir "$work/disk/upper" "$work/disk/work" &&
    mount -t overlay -o "lowerdir=/,upperdir=$work/disk/upper,workdir=$work/disk/work" none "$root" || exit 1

# only what the test needs is started: not the services that this machine has
rm -rf "$root"/etc/systemd/system/*.wants "$root/var/lib/ecsguard" "$root/var/lib/ecsguard-uploader" "$root/run" "$root/tmp"
mkdir -p "$root/run" "$root/tmp" "$root/var/lib/dpkg" "$root/etc/systemd/system/ecsguard.service.d"
cp "$deb" "$root/tmp.deb"
install -m 0755 "$probe" "$root/usr/sbin/unit_probe"
printf '[Service]\nExecStart=\nExecStart=/usr/sbin/unit_probe /var/lib/ecsguard/results\n' \
    >"$root/etc/systemd/system/ecsguard.service.d/probe.conf"
cat >"$root/usr/sbin/job" <<'END'
#!/bin/bash
exec >/results 2>&1
[ -d /sys/kernel/tracing/instances ] || echo 'no tracefs'
dpkg --force-depends -i /tmp.deb | tail -n 2
systemctl start ecsguard.service
echo "active $(systemctl is-active ecsguard.service)"
pid=$(systemctl show -P MainPID ecsguard.service)
grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/$pid/status
systemctl show -P StatusText ecsguard.service
cat /var/lib/ecsguard/results
echo "database $(stat -c '%a %U:%G' /var/lib/ecsguard/probe.db)"
setpriv --reuid=ecsguard --regid=ecsguard --clear-groups test -r /var/lib/ecsguard/probe.db && echo 'uploader reads'
setpriv --reuid=ecsguard --regid=ecsguard --clear-groups test -w /var/lib/ecsguard/probe.db || echo 'uploader cannot write'
/usr/sbin/unit_probe /tmp/second 2>&1 | sed "s/pid $pid /pid MAIN /"
kill -STOP $pid
for i in $(seq 60); do sleep 1; [ "$(systemctl show -P NRestarts ecsguard.service)" = 0 ] || break; done
sleep 3
echo "watchdog restarts $(systemctl show -P NRestarts ecsguard.service), $(systemctl is-active ecsguard.service)"
systemctl stop ecsguard.service
echo "stopped $(systemctl show -P Result ecsguard.service)"
# the programs themselves, as the package installs them
rm -r /etc/systemd/system/ecsguard.service.d
systemctl daemon-reload
systemctl start ecsguard.service
systemctl start ecsguard-uploader.service
echo "uploader $(systemctl show -P Result ecsguard-uploader.service)"
sleep 2
echo "agent $(systemctl is-active ecsguard.service)"
setpriv --reuid=ecsguard --regid=ecsguard --clear-groups ecsguardctl status
echo "files $(stat -c '%a %U:%G' /var/lib/ecsguard/ecsguard.db)"
systemctl stop ecsguard.service
echo "agent stopped $(systemctl show -P Result ecsguard.service)"
journalctl --no-pager -u ecsguard.service -u ecsguard-uploader.service -o cat | tail -n 80
END
chmod 755 "$root/usr/sbin/job"
cat >"$root/etc/systemd/system/e2e.target" <<'END'
[Unit]
Requires=job.service dbus.service systemd-journald.service
AllowIsolate=yes
END
cat >"$root/etc/systemd/system/job.service" <<'END'
[Unit]
After=basic.target dbus.service
Requires=basic.target
[Service]
Type=oneshot
ExecStart=/usr/sbin/job
ExecStopPost=/bin/systemctl --no-block poweroff
END
SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 timeout 180 systemd-nspawn -q --register=no --keep-unit -b -D "$root" -M ecsguard-unit --capability=all \
    --system-call-filter=@known --private-network systemd.unit=e2e.target </dev/null >"$work/console" 2>&1

results=$root/results
[ -s "$results" ] || { tail -n 40 "$work/console"; echo '0 passed, 1 failed, 0 skipped'; exit 1; }
passed=0 failed=0
need()
{
    if grep -qxE -e "$1" "$results"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "failed: no line '$1'"
    fi
}
for line in 'active active' 'NoNewPrivs:.1' 'Seccomp:.2' probed 'database 640 root:ecsguard' 'uploader reads' 'uploader cannot write' \
    'privileges: ecsguardd is running already \(pid MAIN holds /run/ecsguard/ecsguardd.lock\)' 'watchdog restarts 1, active' 'stopped success' \
    'uploader success' 'agent active' 'Database: /var/lib/ecsguard/ecsguard.db, .*' 'files 640 root:ecsguard' 'agent stopped success'; do
    need "$line"
done
for name in fanotify_init fanotify_mark_filesystem fanotify_mark_open_exec name_to_handle_at open_by_handle_at netlink_all_nsid rcvbufforce \
    read_exe_of_1 read_environ_of_1 read_fd_of_1 read_root_of_1 sched_fifo nice_-20 write_database write_conntrack_acct read_netns_lock enter_netns socket_unix \
    socket_inet; do
    need "$name ok"
done
grep -qx 'no tracefs' "$results" || need 'tracing_instance ok'
for name in no_write_etc no_write_usr no_write_home no_write_tmp no_write_sysctl no_packet_socket no_raw_socket no_mount no_ptrace no_bpf no_unshare \
    no_setuid no_executable_memory; do
    need "$name E[A-Z]+"
done
[ $failed = 0 ] || cat "$results"
echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
