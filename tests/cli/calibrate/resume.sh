#!/bin/bash
# kill -9 before any system call that touches a file of the run: the same command completes, with the same bytes.
. "$ROOT/tests/cli/calibrate/lib.sh"
small m
make_ids 120 >ids
mkdir d
expect 0 recast calibrate m --tokens ids --ctx 50 -o ref.gguf --dat ref.dat --quiet
shim=$ROOT/$O/tests/cli/fault.so
export RC_FAULT_PATH=/d
run() { "$RECAST" calibrate m --tokens ids --ctx 50 -o d/s.gguf --dat d/s.dat --threads 1 --json; }
RC_FAULT_OP=any RC_FAULT_COUNT=count LD_PRELOAD=$shim run >out 2>err || fail 'a run that counts'
n=$(cat count)
[ "$n" -gt 60 ] || fail "only $n calls"
resumed=0
for k in $(seq 1 7 "$n") $(seq $((n - 12)) "$n"); do
    rm -rf d && mkdir d
    { RC_FAULT_OP=any RC_FAULT_AT=$k RC_FAULT_DO=KILL LD_PRELOAD=$shim run; } >out 2>err
    [ -e d/s.gguf.partial.state ] && resumed=$((resumed + 1))
    run >out 2>err || { [ -e d/s.dat ] && grep -q 'there already' err; } || fail "killed before call $k of $n: does not complete"
    cmp -s ref.gguf d/s.gguf || fail "killed before call $k: other bytes"
    cmp -s ref.dat d/s.dat || fail "killed before call $k: another .dat"
    [ "$(find d -name '*.partial*' ! -name '*.lock' | wc -l)" -eq 0 ] || fail "killed before call $k: $(ls d)"
done
[ "$resumed" -ge 10 ] || fail "only $resumed runs left a state"
echo "killed before $n calls"

# after each layer: what was done is not done again
for layer in 1 2 3; do
    rm -rf d && mkdir d
    { RC_FAULT_OP=rename RC_FAULT_PATH=/d/s.gguf.partial.state RC_FAULT_AT=$((layer + 1)) RC_FAULT_DO=KILL LD_PRELOAD=$shim run; } >out 2>err
    expect 0 run
    jq -e ".resumed_steps == $layer" out >/dev/null || fail "layer $layer: $(jq .resumed_steps out) steps were kept"
    cmp -s ref.gguf d/s.gguf || fail "layer $layer: other bytes"
done

# a signal asks for a clean end
rm -rf d && mkdir d
make_ids 3000 >long
"$RECAST" calibrate m --tokens long --ctx 500 -o d/s.gguf >out 2>err &
pid=$!
until [ -e d/s.gguf.partial.state ]; do kill -0 $pid 2>/dev/null || break; sleep 0.02; done
kill -TERM $pid
status=0
wait $pid || status=$?
[ "$status" -eq 143 ] || fail "stopped with status $status"
[ -e d/s.gguf ] && fail 'a result of half a run'

# whose state is it?
expect 86 recast calibrate m --tokens ids --ctx 500 -o d/s.gguf
says err 'another text was begun here' 'restart'
expect 86 recast calibrate m --tokens long --ctx 500 -o d/s.gguf --moments
says err 'other options was begun here'
expect 0 recast synth n --like tiny --layers 3 --experts 4 --seed 5 --quiet
expect 86 recast calibrate n --tokens long --ctx 500 -o d/s.gguf
says err 'another model was begun here'
# the sums are gone
mv d/s.gguf.partial away
expect 73 recast calibrate m --tokens long --ctx 500 -o d/s.gguf
says err 'is not whole: --restart'
mv away d/s.gguf.partial
# damaged: of the streams one byte, of the state one byte
printf '\x55' | dd of=d/s.gguf.partial.streams-0 bs=1 seek=777 conv=notrunc 2>/dev/null
printf '\x55' | dd of=d/s.gguf.partial.streams-1 bs=1 seek=777 conv=notrunc 2>/dev/null
expect 80 recast calibrate m --tokens long --ctx 500 -o d/s.gguf
says err 'streams of the unfinished calibration' 'restart'
printf '\x55' | dd of=d/s.gguf.partial.state bs=1 seek=30 conv=notrunc 2>/dev/null
expect 80 recast calibrate m --tokens long --ctx 500 -o d/s.gguf
says err 's.gguf.partial.state: .*not the state'
truncate -s 1G d/s.gguf.partial.state
expect 80 recast calibrate m --tokens long --ctx 500 -o d/s.gguf
says err 's.gguf.partial.state: .*not the state' 'restart'
expect 0 recast calibrate m --tokens ids --ctx 50 -o d/s.gguf --restart --quiet
cmp -s ref.gguf d/s.gguf || fail '--restart: other bytes'
# finished: not written over without being asked
expect 73 recast calibrate m --tokens ids --ctx 50 -o d/s.gguf
says err 's.gguf: is there already' 'force'
expect 0 recast calibrate m --tokens ids --ctx 50 -o d/s.gguf --force --quiet
