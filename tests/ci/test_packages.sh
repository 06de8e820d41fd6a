#!/bin/bash
# The built packages: test_packages.sh DEB RPM   (root)
# Installs each into a scratch tree whose systemctl only writes down what it is asked, and looks at files, modes, owners, units, accounts,
# the configuration across an upgrade, removal and purge. Ends with "N passed, N failed, N skipped".
set -u

deb=$(realpath "$1")
rpm=$(realpath "$2")
[ "$(id -u)" = 0 ] || { echo "test_packages.sh: needs root" >&2; exit 1; }
source=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

# check WHAT COMMAND...
check()
{
    local what=$1
    shift
    if said=$("$@" 2>&1); then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'failed: %s\n%s\n' "$what" "$said"
    fi
}

is() # is EXPECTED COMMAND...
{
    local expected=$1 found
    shift
    found=$("$@") || return 1
    [ "$found" = "$expected" ] || { echo "expected '$expected', found '$found'"; return 1; }
}

not() { ! "$@"; }

# A tree that can run maintainer scripts: busybox, and stand-ins that note their calls. systemd-sysusers and -tmpfiles are replaced too: they
# are tested on the tree from outside, below.
tree_make()
{
    local root=$1 name
    mkdir -p "$root"/{bin,sbin,usr/bin,usr/sbin,etc,tmp,run,dev,var/lib/dpkg/{info,updates},var/lib/rpm,var/log,usr/lib}
    : >"$root/var/lib/dpkg/status"
    : >"$root/var/lib/dpkg/available"
    : >"$root/dev/null"
    cp "$(command -v busybox)" "$root/bin/busybox"
    for name in sh rm mkdir cat kill; do ln -s busybox "$root/bin/$name"; done
    for name in systemctl systemd-sysusers systemd-tmpfiles; do
        # shellcheck disable=SC2016 # for the script
        printf '#!/bin/sh\necho "%s $*" >>/calls\n' "$name" >"$root/usr/bin/$name"
        chmod 755 "$root/usr/bin/$name"
    done
    printf 'root:x:0:0:root:/root:/bin/sh\n' >"$root/etc/passwd"
    printf 'root:x:0:\n' >"$root/etc/group"
}

called() { grep -q -e "$2" "$1/calls"; }

# what both packages must bring
tree_check()
{
    local kind=$1 root=$2 file
    for file in usr/sbin/ecsguardd usr/bin/ecsguardctl usr/libexec/ecsguard-uploader; do
        check "$kind: /$file is a program of root" is '755 0:0' stat -c '%a %u:%g' "$root/$file"
        check "$kind: /$file is stripped" not grep -q '\.debug_info' "$root/$file"
        check "$kind: /$file runs on glibc 2.34" glibc_fits "$root/$file"
    done
    for file in usr/lib/systemd/system/ecsguard.service usr/lib/systemd/system/ecsguard-uploader.service usr/lib/sysusers.d/ecsguard.conf \
        usr/lib/tmpfiles.d/ecsguard.conf etc/ecsguard/ecsguard.yaml usr/share/ecsguard/rules/00-lists.yaml usr/share/ecsguard/sequences.yaml; do
        check "$kind: /$file" is '644 0:0' stat -c '%a %u:%g' "$root/$file"
        check "$kind: /$file has no placeholder left" not grep -q '@[a-z]*@' "$root/$file"
    done
    for file in etc/ecsguard/rules.d etc/ecsguard/intel.d etc/ecsguard/sequences.d usr/share/ecsguard/rules usr/share/ecsguard/intel; do
        check "$kind: /$file" is '755 0:0' stat -c '%a %u:%g' "$root/$file"
    done
    check "$kind: all rules are there" is "$(cd "$source/agent/rules" && echo ./*.yaml)" sh -c "cd '$root/usr/share/ecsguard/rules' && echo ./*.yaml"
    check "$kind: all starter lists are there" is "$(cd "$source/agent/intel" && echo ./*.txt)" sh -c "cd '$root/usr/share/ecsguard/intel' && echo ./*.txt"
    check "$kind: the rules load" "$root/usr/bin/ecsguardctl" rules check "$root/usr/share/ecsguard/rules"
    for file in man1/ecsguardctl.1 man5/ecsguard.yaml.5 man5/ecsguard-rules.5 man5/ecsguard-intel.5 man7/ecsguard-findings.7 man8/ecsguardd.8; do
        check "$kind: $file is compressed" gzip -t "$root/usr/share/man/$file.gz"
    done
    check "$kind: no file is writable by others" is '' find "$root/usr/share/ecsguard" "$root/etc/ecsguard" "$root/usr/sbin" "$root/usr/libexec" \
        -type f -perm /022
    for file in ecsguard ecsguard-uploader; do
        check "$kind: $file.service is sound" systemd-analyze verify --root="$root" --man=no --recursive-errors=no \
            "/usr/lib/systemd/system/$file.service"
    done
}

glibc_fits()
{
    local highest
    highest=$(objdump -T "$1" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -1)
    [ "$(printf '%s\nGLIBC_2.34\n' "$highest" | sort -V | tail -1)" = GLIBC_2.34 ] || { echo "needs $highest"; return 1; }
}

# the accounts and directories, made by the real systemd tools from the installed files
accounts_check()
{
    local kind=$1 root=$2 uid gid
    check "$kind: sysusers" systemd-sysusers --root="$root" ecsguard.conf
    uid=$(sed -n 's/^ecsguard:[^:]*:\([0-9]*\):.*/\1/p' "$root/etc/passwd")
    gid=$(sed -n 's/^ecsguard:[^:]*:\([0-9]*\):.*/\1/p' "$root/etc/group")
    check "$kind: the user cannot log in" grep -q '^ecsguard:.*:/nonexistent:/usr/sbin/nologin$' "$root/etc/passwd"
    check "$kind: tmpfiles" systemd-tmpfiles --root="$root" --create ecsguard.conf
    check "$kind: database directory" is "2750 0:$gid" stat -c '%a %u:%g' "$root/var/lib/ecsguard"
    check "$kind: cursor directory" is "700 $uid:$gid" stat -c '%a %u:%g' "$root/var/lib/ecsguard-uploader"
}

deb_install() { dpkg --root="$1" --force-depends --force-confold -i "$2"; }

deb_test()
{
    local root=$work/deb newer=$work/newer.deb
    tree_make "$root"
    check 'deb: control data' dpkg-deb --field "$deb" Package Version Architecture Depends
    check 'deb: depends on the C library' grep -q 'libc6 (>= ' <(dpkg-deb --field "$deb" Depends)
    check 'deb: installs' deb_install "$root" "$deb"
    check 'deb: sysusers is called' called "$root" '^systemd-sysusers ecsguard.conf'
    check 'deb: tmpfiles is called' called "$root" '^systemd-tmpfiles --create ecsguard.conf'
    check 'deb: the agent is enabled by preset' called "$root" '^systemctl .*preset ecsguard.service'
    check 'deb: nothing is started without a running systemd' not called "$root" 'start'
    tree_check deb "$root"
    accounts_check deb "$root"

    # an upgrade keeps what the administrator changed
    echo '# mine' >>"$root/etc/ecsguard/ecsguard.yaml"
    dpkg-deb -R "$deb" "$work/newer" && sed -i 's/^Version: .*/Version: 99.0/' "$work/newer/DEBIAN/control" &&
        echo '# theirs' >>"$work/newer/etc/ecsguard/ecsguard.yaml" && dpkg-deb --root-owner-group --build "$work/newer" "$newer" >/dev/null
    : >"$root/calls"
    mkdir -p "$root/run/systemd/system"
    check 'deb: upgrades' deb_install "$root" "$newer"
    check 'deb: the changed configuration is kept' grep -q '^# mine' "$root/etc/ecsguard/ecsguard.yaml"
    check 'deb: the new one lies beside it' grep -q '^# theirs' "$root/etc/ecsguard/ecsguard.yaml.dpkg-dist"
    check 'deb: running services are restarted' called "$root" 'try-restart ecsguard.service ecsguard-uploader.service'
    check 'deb: an upgrade does not enable again' not called "$root" 'preset'

    check 'deb: is removed' dpkg --root="$root" -r ecsguard
    check 'deb: services are stopped' called "$root" 'stop ecsguard.service ecsguard-uploader.service'
    check 'deb: no program is left' not test -e "$root/usr/sbin/ecsguardd"
    check 'deb: findings stay' test -d "$root/var/lib/ecsguard"
    check 'deb: is purged' dpkg --root="$root" -P ecsguard
    check 'deb: nothing is left' is '' find "$root" -name '*ecsguard*' -not -path "$root/var/lib/dpkg/*"
}

rpm_in() { rpm --root "$work/rpm" --dbpath /var/lib/rpm "$@"; }

rpm_test()
{
    local root=$work/rpm
    tree_make "$root"
    check 'rpm: database' rpm_in --initdb
    check 'rpm: the configuration is kept at upgrades' grep -qx /etc/ecsguard/ecsguard.yaml <(rpm -qp --configfiles "$rpm")
    check 'rpm: needs the target names' is 'expat,glibc,jansson,libcap,libcurl,libmnl,libnl3,libuv,libyaml,nftables,openssl-libs,pcre2,sqlite-libs,systemd-libs' \
        sh -c "rpm -qp --requires '$rpm' | cut -d' ' -f1 | grep -v -e ^rpmlib -e '^systemd\$' -e ^/ -e ^config | sort -u | paste -sd,"
    check 'rpm: post names the units' grep -q 'preset ecsguard.service ecsguard-uploader.service' <(rpm -qp --scripts "$rpm")
    check 'rpm: preun names the units' grep -q 'disable --now ecsguard.service ecsguard-uploader.service' <(rpm -qp --scripts "$rpm")
    check 'rpm: installs' rpm_in -i --nodeps "$rpm"
    check 'rpm: sysusers is called' called "$root" '^systemd-sysusers /usr/lib/sysusers.d/ecsguard.conf'
    check 'rpm: preset is called' called "$root" '^systemctl --no-reload preset ecsguard.service'
    tree_check rpm "$root"
    check 'rpm: files are as recorded' rpm_in -V --nodeps ecsguard
    accounts_check rpm "$root"

    echo '# mine' >>"$root/etc/ecsguard/ecsguard.yaml"
    check 'rpm: is installed again over itself' rpm_in -U --force --nodeps "$rpm"
    check 'rpm: the changed configuration is kept' grep -q '^# mine' "$root/etc/ecsguard/ecsguard.yaml"
    check 'rpm: is removed' rpm_in -e --nodeps ecsguard
    check 'rpm: services are stopped' called "$root" 'disable --now ecsguard.service'
    check 'rpm: no program is left' not test -e "$root/usr/sbin/ecsguardd"
    check 'rpm: the changed configuration is saved' grep -q '^# mine' "$root/etc/ecsguard/ecsguard.yaml.rpmsave"
}

deb_test
rpm_test
echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
