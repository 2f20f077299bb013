#!/bin/bash
# What can go wrong: texts that are none, activations that are no numbers, full disks, statistics of something else.
. "$ROOT/tests/cli/input/lib.sh"
export OMP_WAIT_POLICY=passive
expect 0 recast synth src --like tiny --layers 3 --experts 4 --quiet
seq -s, 1 3 300 >ids

# texts
: >empty
expect 64 recast calibrate src --text empty -o s.gguf
says err 'a text of 0 tokens'
printf '7' >one
expect 64 recast calibrate src --tokens one -o s.gguf
says err 'a text of 1 tokens'
expect 66 recast calibrate src --text nowhere -o s.gguf
says err 'nowhere: cannot be opened'
head -c 100 /dev/zero >zeros
expect 64 recast calibrate src --text zeros -o s.gguf
says err 'zeros: .*NUL byte'
printf '1,2,384' >far
expect 64 recast calibrate src --tokens far -o s.gguf
says err "'384' is not an id"
expect 64 recast calibrate src --text ids --tokens ids -o s.gguf
expect 64 recast calibrate src --text ids
says err 'STATS is missing'
expect 64 recast calibrate src --tokens ids -o s.gguf --dat ./s.gguf
expect 64 recast calibrate src --tokens ids -o ./ids --force
says err 'replace the text'
cp -r src m
for f in config.json model-00001-of-00006.safetensors; do
    expect 64 recast calibrate m --tokens ids -o "m/$f" --force
    says err "m/$f: is read, and would be written over"
    expect 64 recast calibrate m --tokens ids -o s.gguf --dat "./m/$f" --force
    cmp "src/$f" "m/$f" || fail 'the model was written over'
done
echo mine >mine.dat
expect 73 recast calibrate src --tokens ids -o s.gguf --dat mine.dat
says err 'mine.dat: is there already'
[ "$(cat mine.dat)" = mine ] || fail '--dat replaced a file without --force'
expect 64 recast calibrate src --tokens ids --ctx 1 -o s.gguf
expect 73 recast calibrate src --tokens ids -o nowhere/s.gguf
fresh x && rm x/tokenizer.json
expect 66 recast calibrate x --text ids -o s.gguf
says err 'tokenizer.json'
expect 0 recast calibrate x --tokens ids -o none.gguf --quiet # ids need none
fresh x && drop_tensor x layers.1.attn.wkv.weight
expect 82 recast calibrate x --tokens ids -o s.gguf
[ -z "$(find . -maxdepth 1 -name 's.gguf*')" ] || fail 'something was written'

# a gain that is a number, and makes infinity of what goes through it: place and token are named
for at in 'layers.1.ffn_norm.weight:layer 1: the output of ffn_norm' 'layers.2.attn_norm.weight:layer 2: the output of attn_norm' \
    'layers.0.attn.q_norm.weight:layer 0: the output of q_norm' 'norm.weight:layer 2: the input of the output matrix' \
    'mtp.0.enorm.weight:draft block 0: the output of enorm'; do
    fresh x && poke_tensor x "${at%%:*}" 10 '\x7f\x7f'
    expect 81 recast calibrate x --tokens ids --ctx 30 -o s.gguf --numerics f32 --restart
    grep -v '^recast: hint' err >line && mv line err
    one_line 81 "${at#*:} is (not finite|too large to be squared) .*at token [0-9]+ of the windows .window [0-9]+, position [0-9]+., channel 5"
    [ ! -e s.gguf ] || fail "${at%%:*}: a result"
done
rm -f s.gguf*

# a full disk: at once, and at every write
shim=$ROOT/$O/tests/cli/fault.so
for op in fallocate pwrite fsync rename; do
    for k in 1 2 5; do
        mkdir -p d
        RC_FAULT_OP=$op RC_FAULT_PATH=/d RC_FAULT_AT=$k RC_FAULT_DO=ENOSPC LD_PRELOAD=$shim "$RECAST" calibrate src --tokens ids \
            --ctx 30 -o d/s.gguf >out 2>err
        status=$?
        [ $status -eq 79 ] || { [ $status -eq 0 ] && [ -e d/s.gguf ]; } || fail "$op $k: status $status"
        rm -f d/s.gguf
        expect 0 recast calibrate src --tokens ids --ctx 30 -o d/s.gguf --quiet
        rm -rf d
    done
done

# two at once
mkdir d
seq -s, 1 383 >long; for _ in 1 2 3 4 5 6 7 8; do cat long; echo ,; done >longer
"$RECAST" calibrate src --tokens longer --ctx 300 -o d/s.gguf >/dev/null 2>&1 &
pid=$!
until [ -e d/s.gguf.partial ]; do kill -0 $pid 2>/dev/null || break; sleep 0.02; done
expect 85 recast calibrate src --tokens longer --ctx 300 -o d/s.gguf
kill -TERM $pid
wait $pid

# statistics are read by convert: of this model, and not of another
expect 0 recast calibrate src --tokens ids --ctx 30 -o s.gguf --quiet
expect 0 recast convert src ok.gguf --to gguf:q4_k --draft embed --type '*eh_proj*=q4_k' --imatrix s.gguf --dry-run
expect 0 recast synth other --like tiny --layers 3 --experts 2 --quiet
expect 82 recast convert other no.gguf --to gguf:q4_k --imatrix s.gguf --dry-run
says err 'importance matrix is of another model'
