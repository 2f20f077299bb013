#!/bin/bash
# Read errors at any moment, a full disk, signals and kills: one line, and never half a result.
. "$ROOT/tests/cli/lib.sh"
export OMP_WAIT_POLICY=passive LD_PRELOAD=
tiny src
shim=$ROOT/$O/tests/cli/fault.so
ids=$(seq -s, 2 9 380)
run() { expect "$1" recast run src --tokens "$ids" --logits o/l.st --trace o/t.st --threads 1 "${@:2}"; }
nothing() { [ -z "$(find o -type f)" ] || fail "$1: left $(find o -type f | tr '\n' ' ')"; }
mkdir o
run 0 && mv o ref && mkdir o
RC_FAULT_PATH=/src RC_FAULT_OP=pread RC_FAULT_COUNT=count LD_PRELOAD=$shim recast run src --tokens "$ids" -n 0 --threads 1 --quiet
n=$(cat count)
[ "$n" -gt 50 ] || fail "only $n reads"
for k in $(seq 1 $((n / 12)) "$n"); do
    RC_FAULT_PATH=/src RC_FAULT_OP=pread RC_FAULT_AT=$k RC_FAULT_DO=EIO LD_PRELOAD=$shim run 74
    says err '^recast: error: .*(json|safetensors|src)'
    nothing "read $k of $n"
done
# the last ones are reads of weights, which have a name
says err '^recast: error: model-0000[0-9]-of-0000[0-9].safetensors: [a-z0-9._]+: @[0-9]+: '
RC_FAULT_PATH=/src RC_FAULT_OP=pread RC_FAULT_AT=$((n / 2)) RC_FAULT_DO=SHORT LD_PRELOAD=$shim run 0
cmp o/l.st ref/l.st && cmp o/t.st ref/t.st || fail "short reads: another result"
rm o/*
# no space for the results, at once or when they are written
for op in fallocate pwrite fsync; do
    RC_FAULT_PATH=/o RC_FAULT_OP=$op RC_FAULT_AT=1 RC_FAULT_DO=ENOSPC LD_PRELOAD=$shim run 79
    says err '\.st'
    nothing $op
done
# no space for the state of the tokens: needs more than a quarter of 64 MB
many=$(seq -s, 1 3500 | sed 's/[0-9]*/9/g')
mkdir scratch
RC_FAULT_PATH=/scratch RC_FAULT_OP=fallocate RC_FAULT_DO=ENOSPC LD_PRELOAD=$shim \
    expect 0 recast run src --tokens "$ids" -n 0 --threads 1 --mem-limit 64M --scratch scratch # fits
expect 66 recast run src --tokens "$many" -n 0 --threads 1 --mem-limit 64M --scratch no_such --layers 0
says err 'no_such: cannot make a scratch file of [0-9]+ bytes' 'hint: name another folder with --scratch, or raise --mem-limit'
expect 0 recast run src --tokens "$many" -n 0 --threads 1 --mem-limit 64M --scratch scratch --layers 0 --json
[ "$(jq .spilled_bytes out)" -gt 1000000 ] || fail "nothing was spilled"
[ -z "$(ls -A scratch)" ] || fail "the scratch file has a name"

# a signal: a clean end, by that signal
for s in TERM HUP; do # (bash has its background ignore INT)
    { RC_FAULT_PATH=/src RC_FAULT_OP=pread RC_FAULT_DO=NAP LD_PRELOAD=$shim "$RECAST" run src --tokens "$ids" \
        --logits o/l.st --trace o/t.st --threads 1 >out 2>err & } 2>>log
    for _ in $(seq 200); do
        [ -z "$(find o -name '*.partial')" ] || break
        sleep 0.05
    done
    kill -$s $! 2>>log
    wait $! 2>>log
    [ $? -eq $((128 + $(kill -l $s))) ] || fail "SIG$s: another status"
    says err '^recast: error: .*stopped'
    nothing "SIG$s"
done
# while it writes: the text so far is a line of its own
for numerics in f32 f64; do
    { "$RECAST" run "$ROOT/tests/data/sample" -p Once -n 4000 --threads 1 --numerics $numerics >out 2>err & } 2>>log
    for _ in $(seq 400); do
        [ ! -s out ] || break
        sleep 0.02
    done
    kill -TERM $! 2>>log
    wait $! 2>>log
    [ $? -eq 143 ] || fail "$numerics: not ended by SIGTERM"
    [ "$(tail -c 1 out | od -An -c | tr -d ' ')" = '\n' ] || fail "$numerics: no end of line"
    says err '^recast: error: stopped'
    if grep -q resumes err; then fail "$numerics: a run does not resume"; fi
done
# kill -9 leaves nothing under a final name, and the next run does not mind
{ RC_FAULT_PATH=/o RC_FAULT_OP=pwrite RC_FAULT_AT=9 RC_FAULT_DO=KILL LD_PRELOAD=$shim "$RECAST" run src --tokens "$ids" \
    --logits o/l.st --trace o/t.st --threads 1; } >out 2>err
[ -z "$(find o -name '*.st')" ] || fail "a result of a killed run"
run 0
cmp o/l.st ref/l.st && cmp o/t.st ref/t.st || fail "after a kill: another result"
[ "$(find o -type f | wc -l)" -eq 2 ] || fail "left over: $(ls o)"
