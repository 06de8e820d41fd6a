#!/bin/bash
# Linters, as far as they are installed: shellcheck on every script (errors and warnings), cppcheck on the C sources.
# Run from the source tree; REQUIRE=1 makes a missing linter an error.
set -eu
cd "$(dirname "$0")/../.."
status=0

missing()
{
    echo "lint: $1 is not installed: skipped" >&2
    [ -z "${REQUIRE-}" ] || status=1
}

scripts()
{
    find .ci packaging systemd tests -type f -not -path '*/__pycache__/*' -exec grep -lIE '^#!(/bin/sh|/bin/bash|/usr/bin/env bash)' {} + | sort
}

if command -v shellcheck >/dev/null; then
    mapfile -t files < <(scripts)
    echo "lint: shellcheck on ${#files[@]} scripts"
    shellcheck -S style "${files[@]}" || status=1
else
    missing shellcheck
fi

if command -v cppcheck >/dev/null; then
    echo "lint: cppcheck"
    # What cppcheck 2.10 gets wrong: nested macros; jansson's loop macros; a buffer whose address is taken only to be filled; a pointer that is handed on
    # inside a struct.
    cppcheck --quiet --std=c11 -D_GNU_SOURCE -I. --enable=warning,portability --error-exitcode=1 -j2 --suppress=missingIncludeSystem --suppress=preprocessorErrorDirective \
        '-Djson_object_foreach(object,key,value)=for(;;)' '-Djson_array_foreach(array,index,value)=for(;;)' \
        --suppress=uninitvar:agent/intel_files.c --suppress=memleak:agent/sensors/docker_client.c \
        agent common storage || status=1
else
    missing cppcheck
fi
exit $status
