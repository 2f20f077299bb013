#!/bin/bash
# Every write, sync, rename, reservation and removal of a small conversion fails once:
# the right code, one line, nothing that looks finished, and the same command completes.
. "$ROOT/tests/cli/lib.sh"
export RC_FAULT_PATH=/d
run() { # run OP AT DO
    RC_FAULT_OP=$1 RC_FAULT_AT=$2 RC_FAULT_DO=$3 LD_PRELOAD="$ROOT/$O/tests/cli/fault.so" \
        "$RECAST" convert src d --to fp8 --threads 1 --quiet >out 2>err
}
calls() { # how many there are in a clean run
    rm -rf d
    RC_FAULT_OP=$1 RC_FAULT_COUNT=count LD_PRELOAD="$ROOT/$O/tests/cli/fault.so" \
        "$RECAST" convert src d --to fp8 --threads 1 --quiet >out 2>err || fail "clean run under the shim"
    cat count
}
expect 0 recast synth src --like tiny --experts 2 --layers 3 --quiet
expect 0 recast convert src ref --to fp8
# try OP DO CODES STEP: every STEP-th call of that kind
try() {
    local n=0 k status
    n=$(calls "$1")
    [ "$n" -gt 0 ] || fail "no $1 at all"
    for k in $(seq 1 "$4" "$n"); do
        rm -rf d
        run "$1" "$k" "$2"
        status=$?
        [[ " $3 " == *" $status "* ]] || fail "$1 number $k of $n with $2: status $status, want one of $3"
        if [ "$status" -ne 0 ]; then
            [ "$(grep -c '^recast: error: ' err)" -eq 1 ] || fail "$1 number $k with $2: not one error line"
            [ ! -e d/recast.json ] || [ -e d/recast.journal ] || fail "$1 number $k with $2: looks finished"
        fi
        expect_done
    done
    echo "$1 $2: $n calls, every $4"
}
expect_done() { # run again, undisturbed
    "$RECAST" convert src d --to fp8 --quiet >out 2>err ||
        { grep -q 'holds a finished' err && [ "$status" -eq 0 ]; } || fail "the same command does not complete"
    same ref d
}
RC_FAULT_PATH=.partial # the lock names its holder for people only: that write may fail
case $O in *asan* | *tsan*) every=7 ;; *) every=1 ;; esac
try pwrite ENOSPC 79 $every
try pwrite EIO 74 11
RC_FAULT_PATH=/d
try write ENOSPC 79 $every
try fsync EIO 74 1
try fsync ENOSPC 79 3
try rename ENOSPC 79 1
try ftruncate ENOSPC "79 0" 1 # 0: of the lock, for people only
try fallocate ENOSPC 79 1
try unlink EIO "74 0" 1
