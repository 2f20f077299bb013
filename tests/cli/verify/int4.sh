#!/bin/bash
# Checkpoints in 4-bit integers, made by tests/cli/repack.c from the layouts alone: both containers
# hold the same values to the bit; what is malformed is said, with its tensor.
. "$ROOT/tests/cli/lib.sh"
tool=$ROOT/$O/tests/cli/repack
[ -x "$tool" ] || { echo 'repack is not built'; exit 77; }
native=$ROOT/tests/data/sample
awq='{quant_method: "awq", bits: 4, group_size: 64, zero_point: true, version: "gemm"}'
ct() {
    echo '{quant_method: "compressed-tensors", format: "pack-quantized", config_groups: {group_0:
        {targets: ["Linear"], weights: {num_bits: 4, type: "int", symmetric: '"$1"', group_size: '"$2"'}}}}'
}

# repack KIND QUANTIZATION_CONFIG: a folder of that name
repack() {
    rm -rf "$1" && "$tool" "$1" "$native" "$1" || fail "repack $1"
    config "$1" ".quantization_config = $2"
}
config() { jq "$2" "$1/config.json" >new.json && mv new.json "$1/config.json"; }

repack awq "$awq"
repack w4a16-zeros "$(ct false 64)"
repack w4a16 "$(ct true 32)"
repack w4a16-hf "$(ct true 32)"

# what inspect says: every tensor has its place
expect 0 recast inspect awq
says out '^awq: .*INT4 experts \(AWQ\)' 'experts .*4-bit integers, F16 scales per group \(AWQ\)' \
    'expert  *288 .*AWQ\+F16' 'whole: every tensor'
expect 0 recast inspect w4a16-zeros
says out 'INT4 experts \(compressed-tensors W4A16\)' 'expert  *384 .*INT4\+F16' 'whole: every tensor'
expect 0 recast inspect w4a16 --json
[ "$(jq -r '.storage | [.experts, .expert_scale, .dense, .dense_scale] | join(" ")' out)" = 'packed BF16 fp8 BF16' ] ||
    fail "storage of w4a16: $(jq -c .storage out)"
[ "$(jq '[.roles[].tensors] | add == input.tensors' out out)" = true ] || fail 'tensors without a place'
expect 0 recast inspect w4a16-hf
says out 'note: tensors have the names of transformers' 'attention .*INT4\+BF16'

# one rounding, two containers: equal to the bit, in either direction, for any number of threads
expect 0 recast verify awq w4a16-zeros
says out 'expert +96 .* 96 +exact +0  AWQ\+F16 -> INT4\+F16' 'EXACT'
expect 0 recast verify w4a16-zeros awq --mem-limit 64M --threads 3
cp -r awq copy && expect 0 recast verify awq copy
for threads in 1 4; do
    expect 1 recast verify "$native" awq --threads $threads --cpu ref --json awq.json
    says err 'awq/model.safetensors: layers.1.ffn.experts.4.w2.qweight: @[0-9]+: .* values differ'
    jq -S 'del(.converted, .run, .recast)' awq.json >awq.$threads
done
cmp -s awq.1 awq.4 || fail 'the figures depend on the number of threads'
expect 1 recast verify "$native" w4a16-zeros
tail -n +3 out | sed 's/w4a16-zeros/awq/; s/INT4+F16/AWQ+F16/; /note/d' >packed.figures
expect 1 recast verify "$native" awq
tail -n +3 out | sed '/note/d' >awq.figures
cmp -s packed.figures awq.figures || { diff packed.figures awq.figures; fail 'two containers, two figures'; }
expect 0 recast verify "$native" awq --min-sqnr expert=20

# FP8 beside it under other names and BF16 scales loses nothing; names of transformers neither
expect 0 recast verify "$native" w4a16 --min-sqnr expert=20
says out 'attention .* exact +0  FP8\+E8M0, F32 -> FP8\+BF16, F32'
expect 0 recast verify "$native" w4a16-hf --min-sqnr expert=20 --min-sqnr 20
says out 'expert .* 20\.[0-9] dB .*FP4\+E8M0 -> INT4\+BF16'
expect 0 recast verify w4a16 w4a16-hf --tensors '*.experts.*'
expect 64 recast verify awq "$native"
says err 'wrong way round'

# faults, one each
repack awq-no-zeros "$awq"
expect 82 recast inspect awq-no-zeros
says err 'layers.1.ffn.experts.0.w2.qzeros: missing: its weight cannot be read without it'
repack awq-group "$awq"
expect 82 recast verify "$native" awq-group
says out 'layers.1.ffn.experts.0.w2.scales: @[0-9]+: .*want \[128 / group, 256\], got \[32, 16\]'
repack w4a16-no-scale "$(ct false 64)"
expect 82 recast inspect w4a16-no-scale
says err 'layers.1.ffn.experts.0.w2.weight_scale: missing'
repack w4a16-bad-shape "$(ct false 64)"
expect 82 recast inspect w4a16-bad-shape
says err 'layers.0.ffn.experts.0.w1.weight_shape: @[0-9]+: says another shape .*want \[128, 256\], got \[129, 256\]'
repack w4a16-u8 "$(ct false 64)"
expect 82 recast inspect w4a16-u8
says err 'layers.1.ffn.experts.0.w2.weight_packed: .*want I32, got U8'
repack w4a16-nan "$(ct false 64)"
expect 0 recast inspect w4a16-nan
expect 1 recast verify w4a16-zeros w4a16-nan
says err 'NaN or infinity in CONVERTED, in 1 parameter'
says err 'layers.1.ffn.experts.0.w2.weight_packed: '
repack gptq "$awq"
expect 69 recast inspect gptq
says err 'layers.0.ffn.experts.0.w1.qweight: .*AWQ or GPTQ'

# configs that say something else
config awq '.quantization_config.group_size = 128'
expect 82 recast inspect awq
says err 'config.json: .*want groups of 64, with zero points, got groups of 128, with zero points'
config awq '.quantization_config = {quant_method: "compressed-tensors"}'
expect 82 recast verify "$native" awq
says out 'quant_method contradicts the tensors \(want awq, got compressed-tensors\)'
