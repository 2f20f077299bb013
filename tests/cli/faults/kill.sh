#!/bin/bash
# kill -9: before any system call of a small run (every 5th), and at 50 random moments. The same command always completes, with the same bytes.
. "$ROOT/tests/cli/lib.sh"
expect 0 recast synth src --like tiny --experts 2 --layers 3 --quiet
expect 0 recast convert src ref --to fp8
shim=$ROOT/$O/tests/cli/fault.so
export RC_FAULT_PATH=/d
RC_FAULT_OP=any RC_FAULT_COUNT=count LD_PRELOAD=$shim recast convert src d --to fp8 --threads 1 --quiet
n=$(cat count)
[ "$n" -gt 200 ] || fail "only $n calls"
for k in $(seq 1 5 "$n") "$n"; do
    rm -rf d
    { RC_FAULT_OP=any RC_FAULT_AT=$k RC_FAULT_DO=KILL LD_PRELOAD=$shim "$RECAST" convert src d --to fp8 --threads 1 --quiet; } >out 2>err
    "$RECAST" convert src d --to fp8 --quiet >out 2>err || { [ -e d/recast.json ] && grep -q 'finished' err; } ||
        fail "killed before call $k of $n: does not complete"
    same ref d
    [ ! -e d/recast.journal ] || fail "call $k: the journal is left over"
done
echo "killed before $n calls, every 5th"

rm -rf src ref d
tiny src
expect 0 recast convert src ref --to fp8
rounds=0
for _ in $(seq 50); do
    [ -e d/recast.json ] && rm -rf d
    { "$RECAST" convert src d --to fp8 --quiet >out 2>err & } 2>>killed
    sleep "0.$(printf '%03d' $((RANDOM % 90)))"
    kill -9 $! 2>>killed
    wait $! 2>>killed
    rounds=$((rounds + 1))
    [ ! -e d/recast.json ] || [ "$(find d -name '*.partial' | wc -l)" -eq 0 ] || fail "a result with partial files"
done
[ -e d/recast.json ] || expect 0 recast convert src d --to fp8
same ref d
echo "$rounds kills at random moments"
