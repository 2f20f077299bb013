#!/bin/bash
# States that only an ill-timed end leaves behind: what the next run makes of them.
. "$ROOT/tests/cli/lib.sh"
shim=$ROOT/$O/tests/cli/fault.so
fault() { # fault OP PATH AT DO OPTIONS...: a conversion into d that meets it
    local op=$1 path=$2 at=$3 do=$4
    shift 4
    { RC_FAULT_OP=$op RC_FAULT_PATH=$path RC_FAULT_AT=$at RC_FAULT_DO=$do LD_PRELOAD=$shim \
        "$RECAST" convert src d --threads 1 --quiet "$@"; } >out 2>err
}
expect 0 recast synth src --like tiny --experts 2 --layers 2 --quiet
expect 0 recast convert src f32 --to fp8
expect 0 recast convert src e8m0 --to fp8 --scale-dtype e8m0

# an older result is replaced: killed at any call of the publication, the new one comes out
cp -r f32 d
RC_FAULT_COUNT=count RC_FAULT_OP=any RC_FAULT_PATH=/d LD_PRELOAD=$shim \
    expect 0 recast convert src d --to fp8 --threads 1 --scale-dtype e8m0 --force
n=$(cat count)
for call in "unlink d/recast.json 1" "unlink d/recast.json 2" "unlink model.safetensors.index 1" \
    "write d/recast.journal $(grep -c . f32/recast.jsonl)" $(seq -f "any:/d:%.0f" $((n - 100)) 7 "$n"); do
    rm -rf d && cp -r f32 d
    read -r op path at <<<"${call//:/ }"
    fault "$op" "$path" "$at" KILL --to fp8 --scale-dtype e8m0 --force
    expect 0 recast convert src d --to fp8 --scale-dtype e8m0 --force
    same e8m0 d
done

# a journal that a power cut brought back, and damaged: nothing to do, and no crash
rm -rf d
fault unlink d/recast.journal 1 KILL --to fp8
[ -e d/recast.json ] && [ -e d/recast.journal ] || fail "not killed at the very end"
printf '\377' | dd of=d/recast.journal bs=1 seek=700 conv=notrunc status=none
expect 0 recast convert src d --to fp8
says out 'was complete already'
same f32 d

# what one run let pass, the next one may refuse: here a NaN and an inexact tile
cp -r src keep
printf '\300\177' | dd of="$(echo src/model-00001-*)" bs=1 seek=$(($(stat -c %s src/model-00001-*) - 2)) conv=notrunc status=none
rm -rf d
fault pwrite d/model-00003 3 KILL --to fp8 --allow-nonfinite
expect 81 recast convert src d --to fp8
says err 'embed.weight: .*NaN'
unfinished d
expect 0 recast convert src d --to fp8 --allow-nonfinite
rm -rf src d && cp -r keep src
# poke TENSOR BYTE: write it at the start of the tensor
poke() {
    local shard head at
    shard=src/$(jq -r --arg t "$1" '.weight_map[$t]' src/model.safetensors.index.json)
    head=$(od -An -tu8 -N8 "$shard" | tr -d ' ')
    at=$(head -c $((8 + head)) "$shard" | tail -c "$head" | jq --arg t "$1" '.[$t].data_offsets[0]')
    printf "%b" "$2" | dd of="$shard" bs=1 seek=$((8 + head + at)) conv=notrunc status=none
}
poke layers.0.ffn.experts.0.w1.scale '\001'
expect 81 recast convert src d --to fp8
rm -rf d
fault pwrite d/model-00004 3 KILL --to fp8 --exact report
expect 81 recast convert src d --to fp8
says err 'experts.0.w1.weight: .* cannot be kept exactly'
unfinished d
expect 0 recast convert src d --to fp8 --exact report
says out INEXACT
rm -rf src d && cp -rp keep src

# what could not be synced is not taken up again: it may still be in the page cache
fault fsync d/model-00002 1 EIO --to fp8
! compgen -G 'd/model-00002-*.partial' >found || fail "an unsynced file is left for the next run"

# a resume needs no more memory than the run did
tiny big
rm -rf src d && mv big src
fault pwrite d/model-00004 3 KILL --to fp8
expect 0 recast convert src d --to fp8 --mem-limit 4M

# a finished result is replaced by --force alone, not by --restart beside a forced run's journal
rm -rf d
expect 0 recast convert src d --to fp8
fault pwrite d/model-00002 2 KILL --to bf16 --force
expect 73 recast convert src d --to fp8 --restart
says err 'holds a finished conversion' '--force replaces it'

# a journal that cannot be read is not an empty one
rm -rf d
fault pwrite d/model-00004 3 KILL --to fp8
cp d/recast.journal journal
fault pread d/recast.journal 3 EIO --to fp8
says err 'cannot read the journal.*io/74'
cmp journal d/recast.journal || fail "the journal was touched"

# a new folder is durable before anything lies in it
mkdir deep && rm -rf deep/d
{ RC_FAULT_OP=fsync RC_FAULT_PATH=/deep RC_FAULT_AT=1 RC_FAULT_DO=EIO LD_PRELOAD=$shim "$RECAST" convert src deep/d --to fp8; } >out 2>err
says err 'cannot sync the folder'
[ ! -e deep/d/recast.journal ] || fail "the parent folder was not synced first"

# side files with every odd name; a journal among them is not ours to copy, nor in our way
long=$(printf 'n%.0s' $(seq 255))
echo long >"src/$long"
echo odd >"src/$(printf 'a b\n\377%%n')"
echo "not a journal of this run" >src/recast.journal
rm -rf d
fault rename d/config.json 1 KILL --to fp8
expect 0 recast convert src d --to fp8
cmp "src/$long" "d/$long" || fail "a long name"
[ "$(find d -type f -name 'a b*' | wc -l)" -gt 0 ] || fail "an odd name"
[ ! -e d/recast.journal ] || fail "somebody's journal was copied"
rm src/recast.journal "src/$long"

# a checkpoint of others is never replaced: the arguments are the wrong way round
rm -rf d && mkdir d && touch d/model-00001-of-00002.safetensors
expect 73 recast convert src d --to fp8 --force
says err 'no result of recast' 'wrong way round'

# --force keeps other files, those that look a little like shards too
rm -rf d
expect 0 recast convert src d --to fp8
touch d/model.safetensors d/model-draft.safetensors d/models.safetensors.partial \
    d/model-1-of-2.safetensors d/model-00009-of-00009.safetensors
expect 0 recast convert src d --to fp8 --force
for f in model.safetensors model-draft.safetensors models.safetensors.partial model-1-of-2.safetensors; do
    [ -e d/$f ] || fail "$f is gone"
done
[ ! -e d/model-00009-of-00009.safetensors ] || fail "a shard of an older result is left"

# what must fail for want of memory fails at the start
head -c 6000000 /dev/urandom >src/tokenizer.model
rm -rf d
expect 71 recast convert src d --to fp8 --mem-limit 4M
[ ! -e d/recast.journal ] || fail "it began"
