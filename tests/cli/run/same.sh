#!/bin/bash
# The logits are the same to the bit whatever the threads, the processor, the memory, and for
# checkpoints that hold the same values.
. "$ROOT/tests/cli/lib.sh"
export OMP_WAIT_POLICY=passive
tiny src
ids=$(seq -s, 2 7 380)
# logits NAME MODEL OPTIONS: NAME.st is there and is the same as ref.st
logits() {
    local name=$1 model=$2
    shift 2
    expect 0 recast run "$model" --tokens "$ids" --logits "$name.st" --trace "$name.trace.st" --quiet "$@"
    [ ! -s out ] || fail "text although -n was not given"
    [ -z "$(find . -name '*.partial')" ] || fail "a partial file is left"
    [ "$name" = ref ] || cmp "ref.st" "$name.st" || fail "$model $*: other logits"
    [ "$name" = ref ] || cmp "ref.trace.st" "$name.trace.st" || fail "$model $*: another trace"
    [ "$name" = ref ] || rm "$name.st" "$name.trace.st"
}
logits ref src --threads 1
# the file: a header of JSON, then the numbers
header() { tail -c +9 "$1" | head -c "$(od -An -tu8 -N8 "$1" | tr -d ' ')"; }
[ "$(header ref.st | jq -c '.logits | [.dtype, .shape]')" = '["F32",[55,384]]' ] || fail "$(header ref.st)"
header ref.trace.st >out
for l in 0 1 2 3 4; do
    says out "\"hidden.$l\":..?dtype\":\"F32\",\"shape\":.55,4,256" "\"experts.$l\":..?dtype\":\"I32\",\"shape\":.55,2" "\"expert_weights.$l\""
done
says out '"blocks.2":..?dtype":"I32","shape":.55,8' '"blocks.4"' '"tokens":..?dtype":"I64","shape":.55\]'
if grep -qE '"blocks.[013]"' out; then fail "blocks of a layer without an indexer"; fi

for how in '--threads 2' '--threads 3' '--mem-limit 64M --scratch .' '--cpu ref' '--cpu avx2' '--cpu avx512' '--cpu avx512bf16'; do
    # shellcheck disable=SC2086
    case $how in
    --cpu*) "$RECAST" run src --tokens 1 -n 1 --threads 1 --quiet $how >out 2>err || { says err 'no such instructions' && continue; } ;;
    esac
    # shellcheck disable=SC2086
    logits x src $how
done

# the same values in other stores
expect 0 recast convert src e8m0 --to fp8 --scale-dtype e8m0 --quiet
expect 0 recast convert src f32 --to fp8 --quiet
expect 0 recast convert src bf16 --to bf16 --quiet
expect 0 recast convert src g.gguf --to gguf:mxfp4-bf16 --draft drop --quiet
for m in e8m0 f32 bf16 g.gguf; do
    logits x $m --threads 1
done
cp ref.st f32.st
expect 0 recast run src --tokens "$ids" --logits ref.st --numerics native --threads 1 --quiet
expect 0 recast run src --tokens "$ids" --trace ref.trace.st --numerics native --threads 1 --quiet
if cmp -s ref.st f32.st; then fail "native numerics change nothing"; fi
for m in e8m0 g.gguf; do
    logits x $m --threads 1 --numerics native
done
logits x src --threads 2 --numerics native --mem-limit 64M

# so many tokens that their state goes to a scratch file
many=$(seq -s, 1 3000 | sed 's/[0-9]*\([0-9][0-9]\)/\1/g')
expect 0 recast run src --tokens "$many" --logits many.st --layers 0..1 --threads 2 --quiet
expect 0 recast run src --tokens "$many" --logits spilled.st --layers 0..1 --threads 2 --mem-limit 64M --scratch . --json
[ "$(jq .spilled_bytes out)" -gt 10000000 ] || fail "nothing was spilled: $(cat out)"
[ "$(jq .memory_peak_bytes out)" -le 67108864 ] || fail "more than the limit: $(cat out)"
cmp many.st spilled.st || fail "other logits by way of a scratch file"

# some layers only
expect 0 recast run src --tokens "$ids" --trace part.st --layers 1..2 --threads 1 --quiet
header part.st >out
says out '"hidden.1"' '"hidden.2"'
if grep -qE '"hidden.[034]"' out; then fail "layers that were not asked for"; fi
expect 0 recast run src --tokens "$ids" --logits part.st --layers 0.. --threads 1 --quiet
cmp part.st f32.st || fail "--layers 0.. is not the whole model"
