#!/bin/bash
# An unfinished conversion: what may change, what may not, what is checked.
. "$ROOT/tests/cli/lib.sh"
fault() { # fault OP PATH AT DO: run one conversion into d that meets it
    RC_FAULT_OP=$1 RC_FAULT_PATH=$2 RC_FAULT_AT=$3 RC_FAULT_DO=$4 LD_PRELOAD="$ROOT/$O/tests/cli/fault.so" \
        "$RECAST" convert src d --to fp8 --threads 1 >out 2>err
} 2>killed # the shell's own remark
tiny src
expect 0 recast convert src ref --to fp8
start() { rm -rf d; fault pwrite d/model-00004 3 KILL; unfinished d; [ -e d/recast.journal ] || fail "no journal"; }

start # other threads and memory: allowed
expect 0 recast convert src d --to fp8 --threads 3 --mem-limit 40M
same ref d

start # other options: named, and the way out works
expect 86 recast convert src d --to bf16
says err 'other options' 'want fp8' 'restart'
expect 86 recast convert src d --to fp8 --draft drop
expect 0 recast convert src d --to bf16 --restart
expect 0 recast convert src bref --to bf16
same bref d

start # another source
cp -r src changed && printf ' ' >>changed/config.json
expect 86 recast convert changed d --to fp8
says err 'another source'
expect 0 recast convert src d --to fp8

start # what is there was shortened, lengthened, deleted, or never reached the disk
truncate -s 1000 d/model-00002-*.partial
expect 0 recast convert src d --to fp8
same ref d
start
truncate -s +1 d/model-00001-*.partial
expect 0 recast convert src d --to fp8
same ref d
start
rm d/model-00003-*.partial
expect 0 recast convert src d --to fp8
same ref d
start # bytes of an unsynced shard lost
dd if=/dev/zero of="$(echo d/model-00004-*.partial)" bs=4096 count=8 conv=notrunc status=none
expect 0 recast convert src d --to fp8
same ref d

start # a journal cut at any place, or with a flipped bit, never gives wrong output
cp -r d keep
size=$(stat -c %s d/recast.journal)
for cut in 0 1 319 320 321 640 900 $((size - 300)) $((size - 1)); do
    rm -rf d && cp -r keep d && truncate -s "$cut" d/recast.journal
    expect 0 recast convert src d --to fp8
    same ref d
done
for at in 3 100 250 300 600 $((size - 200)); do
    rm -rf d && cp -r keep d && printf '\377' | dd of=d/recast.journal bs=1 seek="$at" conv=notrunc status=none
    recast convert src d --to fp8 >out 2>err || expect 0 recast convert src d --to fp8 --restart
    same ref d
done

# two runs on one output: the second is refused, the first unharmed
rm -rf d
RC_FAULT_OP=pwrite RC_FAULT_PATH=d/model RC_FAULT_AT=9 RC_FAULT_DO=SLEEP LD_PRELOAD="$ROOT/$O/tests/cli/fault.so" \
    "$RECAST" convert src d --to fp8 --quiet &
for _ in $(seq 100); do [ -s d/.recast.lock ] && break; sleep 0.02; done
expect 85 recast convert src d --to fp8
says err "process $!"
wait $! || fail "the first run was harmed"
same ref d

# SIGINT and SIGTERM: a clean end by that signal, and the way on
for sig in INT TERM; do
    rm -rf d
    RC_FAULT_OP=pwrite RC_FAULT_PATH=d/model RC_FAULT_AT=0 RC_FAULT_DO=NAP LD_PRELOAD="$ROOT/$O/tests/cli/fault.so" \
        env --default-signal=INT "$RECAST" convert src d --to fp8 --threads 1 >out 2>err & # a shell's jobs ignore it
    for _ in $(seq 100); do [ -s d/recast.journal ] && break; sleep 0.02; done
    sleep 0.3
    kill -s $sig $!
    wait $!
    status=$?
    [ $status -eq $((128 + $(kill -l $sig))) ] || fail "SIG$sig gave $status"
    says err 'stopped by a signal' 'same command resumes'
    unfinished d
    expect 0 recast convert src d --to fp8
    same ref d
done
