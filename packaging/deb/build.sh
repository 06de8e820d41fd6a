#!/bin/sh
# Builds a Debian package: build.sh TARBALL OUTPUT-DIRECTORY   (`make deb` calls it)
# Plain dpkg-deb: debhelper wants a debian/ folder at the top of the tree, and there is little here that it would do for us.
set -eu

tarball=$1
mkdir -p "$2"
output=$(cd "$2" && pwd)
recipe=$(cd "$(dirname "$0")" && pwd)
version=$(basename "$tarball" .tar.xz)
version=${version#ecsguard-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
umask 022

tar -xf "$tarball" -C "$work" --no-same-owner
root=$work/root
mkdir -p "$work/build" "$root/DEBIAN" "$work/debian"
cd "$work/build"
"$work/ecsguard-$version/configure" -q --prefix=/usr --sysconfdir=/etc --localstatedir=/var --libexecdir=/usr/libexec \
    CFLAGS="-O2 -g -ffile-prefix-map=$work=."
make -s -j"$(nproc)"
make -s install DESTDIR="$root"
strip --strip-unneeded --remove-section=.comment --remove-section=.note "$root"/usr/sbin/* "$root"/usr/bin/* "$root"/usr/libexec/*
[ ! -d "$root/usr/share/man" ] || find "$root/usr/share/man" -type f -exec gzip -9n {} +

doc=$root/usr/share/doc/ecsguard
mkdir -p "$doc"
date=$(date -R -d "@${SOURCE_DATE_EPOCH:-$(stat -c %Y "$work/ecsguard-$version/configure.ac")}")
cp "$recipe/copyright" "$doc/copyright"
gzip -9n <"$work/ecsguard-$version/NEWS" >"$doc/NEWS.gz"
gzip -9n >"$doc/changelog.gz" <<END
ecsguard ($version) unstable; urgency=medium

  * Version $version; see NEWS.gz.

 -- ecsguard developers <ecsguard@localhost>  $date
END

# the shared libraries that the programs really use, as packages with versions
cd "$work"
printf 'Source: ecsguard\n\nPackage: ecsguard\nArchitecture: any\n' >debian/control
depends=$(dpkg-shlibdeps -O -e"$root/usr/sbin/ecsguardd" -e"$root/usr/bin/ecsguardctl" -e"$root/usr/libexec/ecsguard-uploader" |
    sed -n 's/^shlibs:Depends=//p')
[ -n "$depends" ] || { echo "deb: dpkg-shlibdeps found no dependency" >&2; exit 1; }

sed -e "s/@VERSION@/$version/" -e "s/@ARCH@/$(dpkg --print-architecture)/" -e "s/@DEPENDS@/$depends/" \
    -e "s/@SIZE@/$(du -sk --apparent-size --exclude=DEBIAN "$root" | cut -f1)/" "$recipe/control.in" >"$root/DEBIAN/control"
(cd "$root" && find etc -type f -printf '/%p\n' | sort) >"$root/DEBIAN/conffiles"
(cd "$root" && find . -path ./DEBIAN -prune -o -path ./etc -prune -o -type f -printf '%P\0' | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
for script in preinst postinst prerm postrm; do
    [ ! -e "$recipe/$script" ] || install -m 0755 "$recipe/$script" "$root/DEBIAN/$script"
done
dpkg-deb --root-owner-group -Zxz --build "$root" "$output" >/dev/null
ls -l "$output"/ecsguard_"$version"_*.deb
