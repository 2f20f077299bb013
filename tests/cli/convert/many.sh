#!/bin/bash
# Several targets in one pass: each the same bytes as from a run of its own, whatever happens.
. "$ROOT/tests/cli/lib.sh"
shim=$ROOT/$O/tests/cli/fault.so
expect 0 recast synth src --like tiny --experts 2 --layers 2 --quiet
all="--to fp8=o/f --to gguf:mxfp4=o/g.gguf --to w4a16=o/w"
many() { # many OPTIONS...: all three
    # shellcheck disable=SC2086
    recast convert src $all --quiet "$@"
}
fault() { # fault OP PATH AT DO: all three, into that
    # shellcheck disable=SC2086
    { RC_FAULT_OP=$1 RC_FAULT_PATH=$2 RC_FAULT_AT=$3 RC_FAULT_DO=$4 LD_PRELOAD=$shim \
        "$RECAST" convert src $all --quiet --threads 1; } >out 2>err
} 2>killed # the shell's own remark
expect 0 recast convert src ref.f --to fp8
mkdir ref
expect 0 recast convert src ref/g.gguf --to gguf:mxfp4
expect 0 recast convert src ref.w --to w4a16 --quiet
same_gguf() {
    for f in ref/*; do
        case $f in
        *.json) cmp <(jq -S 'del(.run)' "$f") <(jq -S 'del(.run)' "o/${f#ref/}") || fail "$f differs" ;;
        *) cmp "$f" "o/${f#ref/}" || fail "$f differs" ;;
        esac
    done
}
# whole: all three are as they should be, and nothing else is left
whole() {
    same ref.f o/f
    same ref.w o/w
    same_gguf
    [ "$(find o -maxdepth 1 ! -name 'g.*' ! -name 'mtp-g.gguf' ! -name f ! -name w ! -name o)" = "" ] || fail "more files: $(ls o)"
    ! find o -name '*.journal' -o -name '*.partial' -o -name '*.state' -o -name '*.blocks' | grep . || fail "leftovers"
}
begin() { rm -rf o && mkdir o; }

# any number of threads, any memory that is enough
for how in "--threads 1" "--threads 3 --mem-limit 48M" "--threads 8 --mem-limit 200M" "--threads 2"; do
    begin
    # shellcheck disable=SC2086
    expect 0 many $how
    whole
done
begin
expect 71 many --mem-limit 30M
says err 'read ahead.*want at least'
[ ! -e o/f/recast.json ] || fail "it looks finished"

# peak memory stays under the limit, with room for the program itself
expect 0 many --mem-limit 64M
whole
begin
# shellcheck disable=SC2086
/usr/bin/time -f %M -o peak true 2>time.err && {
    /usr/bin/time -f %M -o peak "$RECAST" convert src $all --quiet --mem-limit 64M >out 2>err || fail "under time"
    [ "$(tail -1 peak)" -lt $((96 * 1024)) ] || fail "$(tail -1 peak) kB at most"
}

# one or two complete already, and one more: nothing of theirs is written again
begin
expect 0 recast convert src o/f --to fp8
before=$(stat -c %i:%Y o/f/*)
expect 0 recast convert src --to fp8=o/f --to gguf:mxfp4=o/g.gguf
says out 'o/f was complete already' 'wrote     o/g.gguf'
expect 0 many
[ "$(stat -c %i:%Y o/f/*)" = "$before" ] || fail "o/f was touched"
whole
expect 0 many --json
jq -e 'length == 3 and (map(.recipe.to) == ["fp8", "gguf", "w4a16"])' out >jq.out || fail "three summaries"
# the same by another recipe, or of another source, is not complete: as ever it needs --force
expect 73 recast convert src --to fp8=o/f --to bf16=o/w
says err 'o/w: holds a finished conversion'
cp -r src changed && printf ' ' >>changed/config.json
expect 73 recast convert changed --to fp8=o/f --to w4a16=o/w
expect 0 many --force
whole

# killed at any call, the same command completes all of them
begin
# shellcheck disable=SC2086
RC_FAULT_COUNT=calls RC_FAULT_OP=any RC_FAULT_PATH=/o/ LD_PRELOAD=$shim expect 0 recast convert src $all --quiet --threads 1
n=$(cat calls)
step=$((n / 40 + 1))
for at in $(seq 1 $step "$n"); do
    begin
    fault any /o/ "$at" KILL
    expect 0 many
    whole
done
# and killed again and again while there is something to do
begin
for round in $(seq 12); do
    fault any /o/ $((150 + 13 * round)) KILL && break
done
expect 0 many
whole

# one disk full: the target is named, what is finished of all is kept
for path in o/f/model-00002 o/g.gguf o/w/model-00003; do
    begin
    fault pwrite $path 2 ENOSPC
    says err "error: $path.*no-space/79" 'same command resumes'
    unfinished o/f
    unfinished o/w
    [ ! -e o/g.gguf ] || fail "o/g.gguf has its name"
    expect 0 many
    whole
done
# a tensor that one of them cannot keep
cp -r src bad
shard=$(jq -r '.weight_map["layers.0.ffn.experts.0.w1.scale"]' bad/model.safetensors.index.json)
head=$(od -An -tu8 -N8 "bad/$shard" | tr -d ' ')
at=$(head -c $((8 + head)) "bad/$shard" | tail -c "$head" | jq '."layers.0.ffn.experts.0.w1.scale".data_offsets[0]')
printf '\001' | dd of="bad/$shard" bs=1 seek=$((8 + head + at)) conv=notrunc status=none
begin
expect 81 recast convert bad --to w4a16=o/w --to fp8=o/f
says err 'cannot be kept exactly.*; for o/f'

# refused before anything is written
begin
for pair in "o/f o/f" "o/f o/f/x" "o/f/x o/f" "o/../o/f o/f"; do
    [ "${pair#o/f/x}" = "$pair" ] || mkdir -p o/f
    expect 64 recast convert src --to fp8="${pair% *}" --to bf16="${pair#* }"
    says err 'another target'
done
rm -rf o/f
expect 64 recast convert src --to gguf=o/g.gguf --to gguf:q8_0=o/g.gguf
expect 64 recast convert src --to gguf=o/g.gguf --to gguf:q8_0=o/mtp-g.gguf
expect 64 recast convert src --to fp8=o/f --to gguf=src/g.gguf
expect 64 recast convert src --to fp8=o/f --to bf16
expect 64 recast convert src --to fp8
expect 64 recast convert src o/x --to fp8=o/f
expect 64 recast convert src --to fp8=
expect 64 recast convert src --to fp8=o/f --to bf16=o/b --imatrix none
says err 'with --to gguf, not with --to fp8'
expect 64 recast convert src --to fp8=o/f --to bf16=o/b --group 64
expect 64 recast convert src --to fp8=o/f --to awq=o/b --symmetric
expect 64 recast convert src --to gguf=o/g.gguf --to gguf:q8_0=o/h.gguf --hollow
[ -z "$(ls o)" ] || fail "something was written: $(ls o)"

# a target may stand alone, and options go to those that they fit
expect 0 recast convert src --to fp8=o/f --quiet
same ref.f o/f
begin
expect 0 recast convert src --to fp8=o/f --to gguf:mxfp4=o/g.gguf --to w4a16=o/w --group 64 --scale-dtype e8m0 --split-size 1M --quiet
expect 0 recast convert src s.w --to w4a16 --group 64 --quiet
expect 0 recast convert src s.f --to fp8 --scale-dtype e8m0
same s.w o/w
same s.f o/f
compgen -G "o/g-00001-of-0000?.gguf" >found || fail "--split-size: $(ls o)"

# --dry-run: all plans, nothing written; space of one disk adds up
begin
# shellcheck disable=SC2086
expect 0 recast convert src $all --dry-run
[ "$(grep -c '^plan ' out)" -eq 3 ] || fail "three plans"
# shellcheck disable=SC2086
expect 0 recast convert src $all --dry-run --json
jq -e 'length == 3 and all(.space_needed > .tensor_bytes and .complete == false)' out >jq.out || fail "plans as JSON"
[ -z "$(ls o)" ] || fail "--dry-run wrote something"
