#!/bin/bash
# Cuts of the true sizes, through every target: exact, and verify agrees.
. "$ROOT/tests/cli/lib.sh"
case $O in *asan* | *tsan*) echo "needs the speed of a release build"; exit 77 ;; esac
[ "$(df -BG --output=avail . | tail -1 | tr -dc 0-9)" -ge 16 ] || { echo "needs 16 GB of disk"; exit 77; }
try() { # try "SYNTH OPTIONS" TARGET...
    local to
    # shellcheck disable=SC2086
    expect 0 recast synth s --like $1 --quiet
    shift
    for to in "$@"; do
        # shellcheck disable=SC2086
        expect 0 recast convert s d --to $to
        says out 'exact +(all [0-9]+ tiles|no weight)'
        expect 0 recast verify s d
        rm -rf d
    done
    rm -rf s
}
try "flash --layers 3 --experts 16" fp8 "fp8 --scale-dtype e8m0" bf16
try "flash-0731 --layers 3 --experts 8" fp8
try "flash-base --layers 2 --experts 8" fp8 "fp8 --scale-dtype e8m0"
try "pro --layers 1 --experts 6" fp8
