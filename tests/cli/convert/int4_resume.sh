#!/bin/bash
# Killed anywhere, scalings or tensors half done: the same command, the same bytes.
. "$ROOT/tests/cli/lib.sh"
src=$ROOT/tests/data/sample
"$ROOT/$O/tests/cli/statistics" "$src" . s moments || fail "statistics"
"$ROOT/$O/tests/cli/statistics" "$src" . other seed=3 || fail "statistics"
how="--to awq --scope all --group 32 --method awq+ --stats s --threads 2"
fault() { # fault OP PATH AT DO: run into d and meet it
    # shellcheck disable=SC2086
    RC_FAULT_OP=$1 RC_FAULT_PATH=$2 RC_FAULT_AT=$3 RC_FAULT_DO=$4 RC_FAULT_COUNT=calls \
        LD_PRELOAD="$ROOT/$O/tests/cli/fault.so" "$RECAST" convert $src d $how --quiet >out 2>err
} 2>killed # the shell's own remark
# shellcheck disable=SC2086
again() { expect 0 recast convert $src d $how --quiet && same ref d; }
# shellcheck disable=SC2086
expect 0 recast convert $src ref $how --quiet
[ ! -e ref/recast.smooth ] || fail "the scalings' file is left over"
sites=$(grep -c '"scaling"' ref/recast.jsonl)
[ "$sites" -ge 8 ] || fail "$sites scalings only"

# killed while scalings are searched: none is searched twice
for at in 1 3 "$sites"; do
    rm -rf d
    fault rename d/recast.smooth "$at" KILL
    unfinished d
    [ ! -e d/model-00001-of-00006.safetensors.partial ] || fail "tensors before scalings"
    fault rename d/recast.smooth 0 NAP || fail "kill $at: not resumed"
    [ "$(cat calls)" -eq $((sites - at + 1)) ] || fail "kill $at: $(cat calls) scalings were searched"
    same ref d
done
# a file of scalings that is damaged, or of another run, is not believed
for bad in cut flip gone; do
    rm -rf d
    fault pwrite d/model-00003 2 KILL
    case $bad in
    cut) truncate -s -9 d/recast.smooth ;;
    flip) printf '\377' | dd of=d/recast.smooth bs=1 seek=90 conv=notrunc status=none ;;
    gone) rm d/recast.smooth ;;
    esac
    again
done
# killed while tensors are written, recorded, named
for at in "pwrite d/model-00001 1" "pwrite d/model-00004 5" "write d/recast.journal 2" "write d/recast.journal 90" \
    "fsync d/model 1" "fsync d/model 6" "rename d/model-00004 1" "unlink d/recast.smooth 1" "unlink d/recast.journal 1"; do
    rm -rf d
    # shellcheck disable=SC2086
    fault $at KILL
    again
    [ ! -e d/recast.smooth ] || fail "$at: the scalings' file is left over"
done
rm -rf d
for at in $(seq 40 61 400); do # anything in the folder: twice killed
    rm -rf d
    fault any /d "$at" KILL
    fault any /d 70 KILL
    again
done
# kill -9 from outside, at no particular moment
for nap in 0.05 0.2 0.4 0.7; do
    rm -rf d
    # shellcheck disable=SC2086
    "$RECAST" convert $src d $how --quiet >out 2>err &
    sleep $nap
    kill -9 $! 2>killed
    wait $! 2>killed
    again
done

# other statistics, another method: refused, and the way out
rm -rf d
fault pwrite d/model-00004 3 KILL
expect 86 recast convert "$src" d --to awq --scope all --group 32 --method awq+ --stats other
says err 'other statistics' 'restart'
# shellcheck disable=SC2086
expect 86 recast convert "$src" d $how --smooth off
says err 'other options'
expect 0 recast convert "$src" d --to awq --scope all --group 32 --method awq+ --stats other --restart --quiet
cmp -s ref/recast.jsonl d/recast.jsonl && fail "the same integers"

# a full disk
for at in "pwrite d/model-00002 1" "write d/recast.journal 5"; do
    rm -rf d
    # shellcheck disable=SC2086
    fault $at ENOSPC
    [ $? -eq 79 ] || fail "a full disk at $at"
    unfinished d
    again
done
