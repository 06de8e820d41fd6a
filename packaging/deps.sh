#!/bin/sh
# Installs what one purpose needs, on Debian, Ubuntu, Amazon Linux 2023 and Fedora; the only place where package names stand.
#   packaging/deps.sh [run|test|package|fuzz|lint]...      (default: run)
# Asks no registry when everything is there already. Needs root only if something is missing.
set -eu

fail()
{
    echo "deps.sh: $*" >&2
    exit 1
}

# A word COMMAND=PACKAGE is needed only if there is no such command: hosts often have another build of Docker or nginx.
packages_of()
{
    case $1-$2 in
    apt-run) echo gcc make autoconf automake pkg-config libc6-dev libuv1-dev libmnl-dev libnftables-dev libnl-3-dev libnl-route-3-dev libsqlite3-dev \
        libcurl4-openssl-dev libssl-dev libjansson-dev libyaml-dev libpcre2-dev libexpat1-dev libcap-dev libsystemd-dev ca-certificates procps ;;
    apt-test) packages_of apt run
        echo binutils libcmocka-dev python3 python3-pytest sqlite3 openssl nginx=nginx-light dockerd=docker.io busybox-static iproute2 \
            iptables nftables conntrack dnsmasq=dnsmasq-base nmap netcat-openbsd socat util-linux forkstat extrace scdoc \
            cron curl gettext-base gosu logrotate postgresql redis-server ;;
    apt-package) packages_of apt run
        echo xz-utils dpkg-dev rpm busybox-static systemd-sysusers=systemd systemd-container dbus scdoc ;;
    apt-fuzz) packages_of apt run
        echo clang libclang-rt-dev llvm ;;
    apt-lint) echo shellcheck cppcheck ;;
    dnf-run) echo gcc make autoconf automake pkgconf-pkg-config glibc-devel libuv-devel libmnl-devel nftables-devel libnl3-devel sqlite-devel \
        libcurl-devel openssl-devel jansson-devel libyaml-devel pcre2-devel expat-devel libcap-devel systemd-devel ca-certificates procps-ng ;;
    dnf-test) packages_of dnf run
        echo binutils libcmocka-devel python3 python3-pytest sqlite openssl nginx dockerd=docker iproute iptables=iptables-nft nftables \
            conntrack-tools dnsmasq nmap nmap-ncat socat util-linux glibc-static ;;
    dnf-package) packages_of dnf run
        echo xz rpm-build ;;
    dnf-fuzz) packages_of dnf run
        echo clang compiler-rt llvm ;;
    dnf-lint) echo shellcheck=ShellCheck cppcheck ;;
    *) fail "unknown purpose '$2': run, test, package, fuzz or lint" ;;
    esac
}

# retry SECONDS COMMAND...: registries have short outages and sometimes hang
retry()
{
    limit=$1
    shift
    for pause in 5 20 0; do
        if timeout --kill-after=10 "$limit" "$@" </dev/null; then
            return 0
        fi
        [ "$pause" = 0 ] || { echo "deps.sh: '$*' failed, again in $pause s" >&2; sleep "$pause"; }
    done
    return 1
}

# apt-get update ends with 0 also when it could not fetch the indexes
apt_update()
{
    said=$(apt-get -o Acquire::Retries=5 update 2>&1) || { echo "$said" >&2; return 1; }
    case $said in
    *"W: Failed to fetch"* | *"W: Some index files failed"*) echo "$said" >&2; return 1 ;;
    esac
}

apt_has()
{
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

dnf_has()
{
    rpm -q --whatprovides "$1" >/dev/null 2>&1
}

# What of the purposes' words is not there yet goes into $missing.
find_missing()
{
    missing=
    for word in $(for purpose in "$@"; do packages_of "$family" "$purpose"; done | tr ' ' '\n' | sort -u); do
        case $word in
        *=*) command -v "${word%%=*}" >/dev/null 2>&1 && continue ;;
        esac
        "${family}_has" "${word#*=}" || missing="$missing ${word#*=}"
    done
}

# Debian starts a daemon when its package is installed; the tests start their own. policy-rc.d says no meanwhile (invoke-rc.d(8)).
services_forbid()
{
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        trap 'rm -f "$policy"' EXIT
        trap 'exit 1' HUP INT TERM
    fi
}

apt_install()
{
    services_forbid
    export DEBIAN_FRONTEND=noninteractive
    retry 180 "$0" --apt-update || fail "the package lists could not be fetched: is the network up, is /etc/apt/sources.list right?"
    # shellcheck disable=SC2086 # a list of words
    retry 900 apt-get -q -y -o Acquire::Retries=5 -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 install --no-install-recommends $missing
}

dnf_install()
{
    # shellcheck disable=SC2086 # a list of words
    retry 900 dnf -y --setopt=install_weak_deps=False --setopt=retries=5 install $missing
}

# (retry runs commands, not functions)
if [ "${1-}" = --apt-update ]; then
    apt_update
    exit
fi

if command -v apt-get >/dev/null 2>&1; then
    family=apt
elif command -v dnf >/dev/null 2>&1; then
    family=dnf
else
    fail "neither apt-get nor dnf is here; the names of the packages stand in $0"
fi
[ $# -gt 0 ] || set -- run
for purpose in "$@"; do
    packages_of "$family" "$purpose" >/dev/null
done

find_missing "$@"
[ -n "$missing" ] || exit 0
[ "$(id -u)" = 0 ] || fail "installing what is missing needs root:$missing"
echo "deps.sh: installing$missing"
"${family}_install" || fail "could not install:$missing"
find_missing "$@"
[ -z "$missing" ] || fail "still missing:$missing"
