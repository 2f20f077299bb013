#!/bin/bash
# A damaged byte anywhere, and an end that is missing anywhere, are found; nothing is delivered.
. "$ROOT/tests/cli/lib.sh"
expect 0 recast synth src --like tiny --experts 2 --layers 1 --quiet
rm -f src/tokenizer.json
expect 0 recast pack src a.rcz --quiet
size=$(stat -c %s a.rcz)
flip() { # flip OFFSET: of a copy in b.rcz
    cp a.rcz b.rcz
    byte=$(od -An -tu1 -j "$1" -N1 a.rcz)
    # shellcheck disable=SC2059 # a byte
    printf "\\x$(printf %02x $((byte ^ (1 << (RANDOM % 8)))))" | dd of=b.rcz bs=1 seek="$1" conv=notrunc status=none
}
n=0
for at in $(seq 0 23) $(seq 24 $((size / 150)) "$size") $(seq $((size - 100)) $((size - 1))); do
    [ "$at" -lt "$size" ] || continue
    flip "$at"
    rm -rf d
    recast unpack b.rcz d --quiet >out 2>err
    code=$?
    case $code in 65 | 69 | 80) ;; *) fail "byte $at of $size damaged: status $code" ;; esac
    grep -q '^recast: error: ' err || fail "byte $at: no message"
    if [ -d d ]; then [ -z "$(find d -type f ! -name '*.partial')" ] || fail "byte $at: files were delivered"; fi
    n=$((n + 1))
done
echo "$n damaged bytes"
# the message has file, tensor and offset
expect 0 recast unpack a.rcz --list --json
flip $((size / 2))
rm -rf d
expect 80 recast unpack b.rcz d
says err 'model-.*\.safetensors: [a-z].*: @[0-9]+: .*byte [0-9]+ of the archive'
expect 80 recast verify src b.rcz
# the same command with the sound archive goes on with what is there
expect 0 recast unpack a.rcz d
diff -r src d || fail "after a damaged archive the folder is wrong"

for cut in 0 1 8 23 24 25 100 $((size / 3)) $((size / 2)) $((size - 500)) $((size - 81)) $((size - 9)) $((size - 1)); do
    head -c "$cut" a.rcz >b.rcz
    rm -rf d
    expect 65 recast unpack b.rcz d
    [ ! -e d ] || fail "cut at $cut: a folder was made"
done
{ cat a.rcz; echo; } >b.rcz
expect 65 recast unpack b.rcz d
# another version
cp a.rcz b.rcz
printf '\x02' | dd of=b.rcz bs=1 seek=16 conv=notrunc status=none
expect 69 recast inspect b.rcz
says err 'another version' 'want 1, got 2'
