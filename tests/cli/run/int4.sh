#!/bin/bash
# A model in 4-bit integers runs: the same logits from both containers, for any number of threads
# and memory; a scale that is no number is named.
. "$ROOT/tests/cli/lib.sh"
tool=$ROOT/$O/tests/cli/repack
[ -x "$tool" ] || { echo 'repack is not built'; exit 77; }
native=$ROOT/tests/data/sample
head -c 500 "$native/heldout.txt" >text

# repack KIND QUANTIZATION_CONFIG: a folder of that name
repack() {
    "$tool" "$1" "$native" "$1" || fail "repack $1"
    jq ".quantization_config = $2" "$1/config.json" >new.json && mv new.json "$1/config.json"
}
zeros='{quant_method: "compressed-tensors", format: "pack-quantized", config_groups: {group_0:
    {weights: {num_bits: 4, type: "int", symmetric: false, group_size: 64}}}}'
repack awq '{quant_method: "awq", bits: 4, group_size: 64, zero_point: true, version: "gemm"}'
repack w4a16-zeros "$zeros"
repack w4a16-nan "$zeros"

# logits DIR TO OPTION..: of the text
logits() { expect 0 recast run "$1" -f text --logits "$2" --quiet "${@:3}"; }
logits awq a
logits w4a16-zeros b
cmp -s a b || fail 'two containers, two kinds of logits'
logits "$native" n
! cmp -s a n || fail '4 bits change nothing'
logits awq c --threads 3 --mem-limit 64M --cpu ref
cmp -s a c || fail 'the logits depend on threads, memory or processor'
for numerics in native f64; do
    logits awq a --numerics $numerics
    logits w4a16-zeros b --numerics $numerics
    cmp -s a b || fail "two containers, two kinds of logits with --numerics $numerics"
done

# verify says of their predictions what it says of their values
expect 0 recast verify awq w4a16-zeros --logits --text text
says out 'KL divergence +mean 0 '
expect 0 recast verify "$native" awq --logits --text text --max-kl 0.05 --layers --ablate
expect 1 recast verify "$native" w4a16-zeros --logits --text text --max-kl 1e-9

for numerics in f32 f64; do
    expect 81 recast run w4a16-nan -f text --logits x --quiet --numerics $numerics
    says err 'layers.1.ffn.experts.0.w2.weight_packed: .*(NaN|not a number)'
done
