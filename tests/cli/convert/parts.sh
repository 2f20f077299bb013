#!/bin/bash
# A conversion in parts, in any order and at once, is the conversion: byte for byte.
. "$ROOT/tests/cli/lib.sh"
sample=$ROOT/tests/data/sample
tiny src

# parts ORDER N DST HOW...: all N parts of a conversion one after the other
parts() {
    local order=$1 n=$2 dst=$3 i
    shift 3
    for i in $order; do
        expect 0 recast convert src "$dst" "$@" --part "$i/$n" --quiet
        unfinished "$dst"
    done
}
no_traces() { # DIR: nothing is left of the parts
    [ -z "$(find "$1" -name '*recast.part*' -o -name '*.partial' -o -name '*join*' -o -name '*.lock')" ] ||
        fail "left over: $(ls -A "$1")"
}

# FP8: in order, backwards, and all at the same time
expect 0 recast convert src ref --to fp8 --shard-size 1M --quiet
shards=$(find ref -name '*.safetensors' | wc -l)
[ "$shards" -ge 6 ] || fail "$shards shards only"
parts "1 2 3" 3 d --to fp8 --shard-size 1M
expect 0 recast join d
says out 'exact +all' 'checked .* read back' "wrote +d: .* in $shards shards"
same ref d
no_traces d
expect 0 recast join d # nothing to do is no failure
says out 'is complete'
expect 73 recast convert src d --to fp8 --shard-size 1M --part 2/3
says err 'finished conversion' 'force'
rm -rf d
parts "3 1 2" 3 d --to fp8 --shard-size 1M
expect 0 recast join d --check sizes --threads 1
says out 'sizes only'
same ref d
rm -rf d
for i in $(seq "$shards"); do
    recast convert src d --to fp8 --shard-size 1M --part "$i/$shards" --threads 1 --quiet 2>"err.$i" &
    pids[i]=$!
done
for i in $(seq "$shards"); do
    wait "${pids[i]}" || { cp "err.$i" err; fail "part $i of $shards at once"; }
done
expect 0 recast join d --json
jq -e '.exact' out >jq.out || fail "no summary"
same ref d
no_traces d

# GGUF in splits: DST is a file
expect 0 recast convert src ref.gguf --to gguf:q4_k --split-size 1M --quiet
splits=$(find . -maxdepth 1 -name 'ref-*.gguf' | wc -l)
[ "$splits" -ge 3 ] || fail "$splits splits only"
mkdir g
for i in 3 1 2; do
    expect 0 recast convert src g/ref.gguf --to gguf:q4_k --split-size 1M --part "$i/3" --quiet
    [ -z "$(find g -name '*.gguf')" ] || fail "a final name before join"
done
[ -e g/ref.recast.parts.json ] || fail "no common file"
expect 0 recast join g/ref.gguf
for f in ref-*.gguf ref.recast.jsonl; do cmp "$f" "g/$f" || fail "$f differs"; done
cmp <(jq -S 'del(.run)' ref.recast.json) <(jq -S 'del(.run)' g/ref.recast.json) || fail "summary"
no_traces g
expect 64 recast convert src two.gguf --to gguf --part 1/3 # the model and its draft
says err 'the result has 2 shards' 'split-size'

# 4-bit with statistics: each part finds the scalings that it needs
"$ROOT/$O/tests/cli/statistics" "$sample" . s moments || fail "statistics"
how="--to awq --scope all --group 32 --method awq+ --stats s"
# shellcheck disable=SC2086
expect 0 recast convert "$sample" aref $how --quiet
sites=$(grep -c '"scaling"' aref/recast.jsonl)
count=0
for i in 2 4 1 3; do
    # shellcheck disable=SC2086
    RC_FAULT_OP=rename RC_FAULT_PATH=a/recast RC_FAULT_AT=0 RC_FAULT_DO=NAP RC_FAULT_COUNT=calls \
        LD_PRELOAD="$ROOT/$O/tests/cli/fault.so" "$RECAST" convert "$sample" a $how --part $i/4 --quiet || fail "part $i"
    [ "$(cat calls)" -lt "$sites" ] || fail "part $i searched $(cat calls) of $sites scalings"
    count=$((count + $(cat calls)))
done
[ "$count" -ge "$sites" ] || fail "$count scalings, want $sites at least"
(mkdir elsewhere && cd elsewhere && "$RECAST" join ../a >../out 2>../err) || fail "join from another folder"
says out 'scaling +channels'
same aref a
no_traces a

# what join gives out is what another run takes for finished
expect 73 recast convert src d --to fp8 --shard-size 1M
# over an older result: it stays until join
expect 0 recast convert src old --to bf16 --quiet
expect 73 recast convert src old --to fp8 --shard-size 1M --part 1/2
expect 0 recast convert src old --to fp8 --shard-size 1M --part 1/2 --force --quiet
expect 0 recast convert src old --to fp8 --shard-size 1M --part 2/2 --quiet
jq -e '.recipe.to == "bf16"' old/recast.json >jq.out || fail "the older result is gone too soon"
expect 0 recast join old --quiet
same ref old
# the share, before it is made
expect 0 recast convert src e --to fp8 --shard-size 1M --part 2/3 --dry-run
says out 'part +2/3: [0-9]+ of [0-9]+ shards, the first model-0000.-of-'
[ ! -e e ] || fail "a dry run wrote"
sum=0
for i in 1 2 3; do
    expect 0 recast convert src e --to fp8 --shard-size 1M --part $i/3 --dry-run --json
    sum=$((sum + $(jq '.part.tensor_bytes' out)))
done
[ "$sum" -eq "$(jq .tensor_bytes out)" ] || fail "shares of $sum bytes"
expect 0 recast convert src e --to fp8 --shard-size 1M --part 1/3 --json
jq -e '.finished and .part.part == 1 and (.part.shards | length > 0)' out >jq.out || fail "a part's report"
# several targets, each shared out by itself and joined by itself
for i in 2 1 3; do
    expect 0 recast convert src --to fp8=m8 --to gguf:q4_k=g/m.gguf --shard-size 1M --split-size 1M --part $i/3
    says out "^part +$i/3 of m8" "^part +$i/3 of g/m.gguf"
done
expect 0 recast join m8 --quiet
expect 0 recast join g/m.gguf --quiet
same ref m8
for f in ref-*.gguf; do cmp "$f" "g/m${f#ref}" || fail "$f differs"; done
