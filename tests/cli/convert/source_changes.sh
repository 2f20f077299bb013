#!/bin/bash
# A source that changes while it is read, or an output folder that is taken away.
. "$ROOT/tests/cli/lib.sh"
tiny src
slow() { # run a conversion whose writes take 50 ms each, in the background
    RC_FAULT_OP=pwrite RC_FAULT_PATH=d/model RC_FAULT_AT=0 RC_FAULT_DO=NAP LD_PRELOAD="$ROOT/$O/tests/cli/fault.so" \
        "$RECAST" convert src d --to fp8 --threads 1 --quiet >out 2>err &
    for _ in $(seq 100); do [ -s d/recast.journal ] && break; sleep 0.02; done
    sleep 0.1
}
shard=src/model-00008-of-00008.safetensors
slow # touched: other bytes may be in it
touch "$shard"
wait $!
status=$?
[ $status -eq 80 ] || fail "a source that changed gave $status"
says err "model-00008-of-00008.safetensors" 'integrity/80'
unfinished d
expect 86 recast convert src d --to fp8
rm -rf d
slow # cut short
truncate -s -100000 "$shard"
wait $!
status=$?
[ $status -eq 80 ] || fail "a source that shrank gave $status"
unfinished d
rm -rf d src
tiny src
slow # the output is deleted
rm -rf d
wait $!
status=$?
[[ $status == 73 || $status == 74 ]] || fail "an output that was deleted gave $status"
[ ! -e d ] || fail "the output was made again"
