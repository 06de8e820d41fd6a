#!/bin/sh
# Builds an RPM: build.sh TARBALL SPEC OUTPUT-DIRECTORY   (`make rpm` calls it)
# --nodeps: on Debian the RPM database is empty, so BuildRequires cannot be checked; packaging/deps.sh has installed them. No __os_install_post: the
# spec strips and compresses itself, and Debian's scripts for it fail under its own shell.
set -eu

tarball=$1
spec=$2
mkdir -p "$3"
output=$(cd "$3" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

rpmbuild --nodeps --quiet -bb --define "_topdir $work" --define "_sourcedir $(cd "$(dirname "$tarball")" && pwd)" \
    --define "_rpmdir $output" --define '_rpmfilename %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm' \
    --define '__os_install_post %{nil}' --define "_smp_mflags -j$(nproc)" "$spec"
ls -l "$output"/ecsguard-[0-9]*.rpm
