#!/bin/sh
# The programs as they are shipped: position independent, relocations read-only before main(), no executable stack, stack protector and
# checked libc calls. Reads them with readelf; run by `make check`.
set -eu
cd "${ECSGUARD_BUILD:-.}"
failed=0

# need PROGRAM WHAT PATTERN TEXT
need()
{
    if ! printf '%s\n' "$4" | grep -Eq -e "$3"; then
        echo "$1: $2 is missing" >&2
        failed=1
    fi
}

for program in ecsguardd ecsguard-uploader ecsguardctl; do
    header=$(readelf -hW "$program")
    segments=$(readelf -lW "$program")
    dynamic=$(readelf -dW "$program")
    symbols=$(readelf --dyn-syms -W "$program")
    need "$program" PIE 'Type: +DYN' "$header"
    need "$program" PIE 'FLAGS_1.*PIE' "$dynamic"
    need "$program" RELRO 'GNU_RELRO' "$segments"
    need "$program" BIND_NOW 'BIND_NOW|FLAGS_1.*NOW' "$dynamic"
    need "$program" 'a stack without execute permission' 'GNU_STACK +0x0+ 0x0+ 0x0+ 0x0+ 0x0+ RW ' "$segments"
    if printf '%s\n' "$dynamic" | grep -Eq 'RPATH|RUNPATH'; then
        echo "$program: has a library search path of its own" >&2
        failed=1
    fi
    # a program of this size has arrays on the stack and copies into them
    if [ "$(printf '%s\n' "$symbols" | grep -c ' FUNC .* UND ')" -gt 40 ]; then
        need "$program" 'the stack protector' '__stack_chk_fail' "$symbols"
        need "$program" '_FORTIFY_SOURCE' '_chk@' "$symbols"
    fi
done
exit $failed
