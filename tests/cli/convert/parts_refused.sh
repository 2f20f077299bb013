#!/bin/bash
# Parts that do not fit together, are missing or damaged; two runs of one part.
. "$ROOT/tests/cli/lib.sh"
tiny src
how="--to fp8 --shard-size 1M"
part() { # N I WANT: run part I of N
    # shellcheck disable=SC2086
    expect "$3" recast convert src d $how --part "$2/$1"
}
# shellcheck disable=SC2086
expect 0 recast convert src ref $how --quiet
shards=$(find ref -name '*.safetensors' | wc -l)

# the command line
for bad in 0/3 4/3 3 1/ /3 1/3x 01/3 1/10000 1/0; do
    # shellcheck disable=SC2086
    expect 64 recast convert src d $how --part $bad
    says err 'as in 3/8'
done
part $((shards + 1)) 1 64
says err "the result has $shards shards" 'shard-size'
expect 64 recast convert src d.gguf --to gguf --split-size 1M --hollow --part 1/2
[ ! -e d ] || fail "a usage error wrote"
expect 66 recast join d
mkdir d
expect 66 recast join d
says err 'no parts'
rmdir d

# a foreign folder, a finished result, a whole run that is unfinished
mkdir d && touch d/something
part 3 1 73
rm -r d
cp -r ref d
part 3 1 73
rm -r d
RC_FAULT_OP=pwrite RC_FAULT_PATH=d/model-00004 RC_FAULT_AT=2 RC_FAULT_DO=KILL LD_PRELOAD="$ROOT/$O/tests/cli/fault.so" \
    "$RECAST" convert src d --to fp8 --shard-size 1M --quiet 2>killed
part 3 1 86
says err 'not in parts' 'without --part'
rm -r d

# other options, another number, another source, the whole: each is told what differs
part 3 1 0
part 3 1 0
says out 'part 1/3 of d is complete already'
expect 86 recast convert src d --to fp8 --shard-size 2M --part 2/3
says err 'other options' 'want fp8.*shard-size=1048576' 'recast.part'
part 4 2 86
says err 'want --part I/3, got I/4'
expect 86 recast convert src d --to fp8 --shard-size 1M
says err 'conversion in parts' 'recast join'
cp -r src changed && printf ' ' >>changed/config.json
expect 86 recast convert changed d --to fp8 --shard-size 1M --part 2/3
says err 'another source'

# missing, unfinished, at work
expect 66 recast join d
says err 'parts 2-3 of 3 are missing or unfinished' "recast convert .*/src d --to fp8 --shard-size 1048576 --part 2/3"
part 3 3 0
expect 66 recast join d
says err 'part 2 of 3 is missing'
RC_FAULT_OP=pwrite RC_FAULT_PATH=d/model RC_FAULT_AT=2 RC_FAULT_DO=SLEEP LD_PRELOAD="$ROOT/$O/tests/cli/fault.so" \
    "$RECAST" convert src d --to fp8 --shard-size 1M --part 2/3 --quiet &
first=$!
for _ in $(seq 200); do [ -s d/.recast.part-2-of-3.lock ] && break; sleep 0.02; done
part 3 2 85
says err "process $first"
expect 85 recast join d
says err 'part 2 of 3 is missing or unfinished, and at work'
wait $first || fail "the first run was harmed"
cp -r d whole
# a part whose file was lost, cut or lengthened afterwards is unfinished, and its command mends it
one=$(cd d && ls model-00001-*.partial)
for harm in "rm" "truncate -s -1" "truncate -s +1"; do
    $harm "d/$one"
    expect 66 recast join d
    says err 'part 1 of 3 is'
    part 3 1 0
    cmp "d/$one" "whole/$one" || fail "$harm: mended into something else"
done

# damage that only reading finds: which part, which tensor; a look at sizes trusts
size=$(stat -c %s "d/$one")
for at in 20 $((size / 2)) $((size - 1)); do
    rm -rf d && cp -rp whole d
    byte=$(od -An -tu1 -j "$at" -N 1 "d/$one")
    printf '%b' "\\0$(printf %03o $((byte ^ 1)))" | dd of="d/$one" bs=1 seek="$at" conv=notrunc status=none
    expect 80 recast join d
    says err "$one: .*not the bytes that part 1/3 wrote" 'remove this file, run --part 1/3 again'
    [ "$at" -eq 20 ] || says err ': [a-z]+[a-z0-9_.]*: @[0-9]+: not'
    unfinished d
done
expect 80 recast join d # and again
rm "d/$one"
part 3 1 0
expect 0 recast join d
same ref d

# a source that has moved: said where; one that is another: refused; gone: said how to go on
rm -rf d && cp -rp whole d
mv src moved
expect 66 recast join d
expect 86 recast join d --source changed
expect 0 recast join d --source moved
same ref d
mv moved src

# what is there is damaged, or never was ours
for bad in '{' '[]' '{"format":2}' '{"format":1,"parts":3}' '{"format":1,"tool":"x","parts":3,"source":"src","recipe":"r","recipe_digest":"0","source_digest":"0","replace":false,"arguments":["--force","x"]}'; do
    rm -rf d && cp -rp whole d
    echo "$bad" >d/recast.parts.json
    recast join d >out 2>err
    code=$?
    [ "$code" -eq 65 ] || [ "$code" -eq 69 ] || fail "$bad: $code"
done
rm -rf d && cp -rp whole d
: >d/recast.part-2-of-3.journal
expect 66 recast join d
part 3 2 0 # everything of it again
expect 0 recast join d --quiet
same ref d

# --restart discards one part only
rm -rf d && cp -rp whole d
stamp=$(stat -c %Y.%s d/recast.part-1-of-3.journal)
# shellcheck disable=SC2086
expect 0 recast convert src d $how --part 2/3 --restart
says out '^part +2/3'
[ "$stamp" = "$(stat -c %Y.%s d/recast.part-1-of-3.journal)" ] || fail "another part's journal was touched"
expect 0 recast join d --quiet
same ref d

# scalings that parts do not agree on
"$ROOT/$O/tests/cli/statistics" "$ROOT/tests/data/sample" . s moments || fail "statistics"
for i in 1 2; do
    expect 0 recast convert "$ROOT/tests/data/sample" a --to awq --scope all --group 32 --stats s --part $i/2 --quiet
done
cp a/recast.part-2-of-2.smooth a/recast.part-1-of-2.smooth
expect 66 recast join a # not those of part 1
says err 'part 1 of 2'
