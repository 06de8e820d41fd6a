#!/bin/sh
# From a fresh clone to a running agent, or to a passed test run, in one command each. Both install what they need.
#   packaging/dev.sh run     build into ./build and start the agent from there (root)
#   packaging/dev.sh stop    stop it
#   packaging/dev.sh test    build and run all tests (root for the integration tests); the last line counts them
# The environment: ECSGUARD_BUILD (default: build), CC, CFLAGS, CONFIGURE_ARGS, JOBS.
set -eu

cd "$(dirname "$0")/.."
build=${ECSGUARD_BUILD:-build}
jobs=${JOBS:-$(nproc)}
log=/var/log/ecsguardd.log
lock=/run/ecsguard/ecsguardd.lock
ready_line='agent: ready'

fail()
{
    echo "dev.sh: $*" >&2
    exit 1
}

# build_tree [CONFIGURE-ARGUMENT]...: with installed paths as in the packages, so that every ecsguardctl finds the same database
build_tree()
{
    [ -x configure ] || autoreconf -fi
    mkdir -p "$build"
    # shellcheck disable=SC2086 # a list of words
    set -- --prefix=/usr --sysconfdir=/etc --localstatedir=/var --libexecdir=/usr/libexec "$@" ${CONFIGURE_ARGS-}
    if [ "$(cat "$build/configured-with" 2>/dev/null)" != "${CC-} ${CFLAGS-} $*" ]; then
        source=$PWD
        (cd "$build" && "$source/configure" -q "$@")
        echo "${CC-} ${CFLAGS-} $*" >"$build/configured-with"
    fi
    make -C "$build" -j"$jobs"
}

# the pid of the running agent, if there is one
agent_pid()
{
    pid=$(cat "$lock" 2>/dev/null) && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = ecsguardd ] && echo "$pid"
}

# wait_until SECONDS CONDITION...
wait_until()
{
    tries=$(($1 * 10))
    shift
    until "$@"; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || return 1
        sleep 0.1
    done
}

ready_or_gone()
{
    grep -q "$ready_line" "$log" || [ ! -d "/proc/$started" ]
}

no_agent()
{
    ! agent_pid >/dev/null
}

# The rules, threat lists and sequences of the checkout instead of the installed ones, unless the host has a configuration.
dev_config()
{
    config=/etc/ecsguard/ecsguard.yaml
    [ -e "$config" ] && return
    config=$(realpath "$build")/dev.yaml
    cat >"$config" <<END
intel:
  shipped_dir: $PWD/agent/intel
rules:
  shipped_dir: $PWD/agent/rules
sequences:
  shipped: $PWD/agent/rules/sequences/sequences.yaml
END
}

run()
{
    [ "$(id -u)" = 0 ] || fail "the agent must run as root (fanotify, process events, conntrack)"
    if pid=$(agent_pid); then
        fail "an agent is running already (pid $pid); stop it with: packaging/dev.sh stop, or: systemctl stop ecsguard"
    fi
    packaging/deps.sh run
    build_tree
    [ -d /var/lib/ecsguard ] || install -d -m 0750 /var/lib/ecsguard
    dev_config
    setsid "$build/ecsguardd" --config "$config" </dev/null >"$log" 2>&1 &
    started=$!
    wait_until 30 ready_or_gone || fail "the agent (pid $started) is not ready after 30 s; its log: $log"
    if ! grep -q "$ready_line" "$log"; then
        tail -n 20 "$log" >&2
        fail "the agent ended; its log: $log"
    fi
    ctl="$build/ecsguardctl --config $config"
    cat <<END

ecsguardd runs (pid $(agent_pid || echo "$started")).
  findings   $ctl findings
  state      $ctl status
  rules      $ctl rules list
  database   /var/lib/ecsguard/ecsguard.db   (sqlite3 /var/lib/ecsguard/ecsguard.db 'select * from findings')
  log        $log
  stop it    packaging/dev.sh stop
END
}

stop()
{
    running=$(agent_pid) || { echo "no agent is running"; return; }
    kill -TERM "$running"
    wait_until 20 no_agent || fail "the agent (pid $running) has not ended after 20 s; its log: $log"
    echo "the agent (pid $running) has ended"
}

test_all()
{
    packaging/deps.sh test
    build_tree --enable-werror
    rm -f "$build/integration.xml"
    make -C "$build" check || true # the count below tells
    make -C "$build" check-integration || true
    tests/ci/tally.py --checks "$build" --junit "$build/integration.xml"
}

case ${1-} in
run) run ;;
stop) stop ;;
test) test_all ;;
*) fail "say one of: run, stop, test (see the first lines of packaging/dev.sh)" ;;
esac
