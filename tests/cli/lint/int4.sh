#!/bin/bash
# What lint says of 4-bit integers in AWQ's container and in compressed-tensors', for vLLM and SGLang:
# configs that engines take pass, and each trap is found by its rule. Tensors by tests/cli/repack.c.
# shellcheck disable=SC2016
. "$ROOT/tests/cli/lint/lib.sh"
tool=$ROOT/$O/tests/cli/repack
[ -x "$tool" ] || { echo 'repack is not built'; exit 77; }
tiny src
: >tripped
c=config.json
config() { edit_json "x/$c" "$@"; }
repack() { rm -rf "$3" && "$tool" "$1" "$2" "$3" && cp -r src/encoding "$3" || fail "repack $1"; }
both() {
    finds "vllm/$1" "${@:2}"
    finds "sglang/$1" "${@:2}"
}
# passes DIR: both engines take it, without a warning
passes() {
    accepted vllm "$@"
    accepted sglang "$@"
}
layers=$(jq .num_hidden_layers src/$c)

# The config of routed experts in 4 bits, attention, indexer and shared experts in FP8.
w4='{num_bits: 4, type: "int", symmetric: true, strategy: "group", group_size: 32, dynamic: false}'
f8='{num_bits: 8, type: "float", symmetric: true, strategy: "block", block_structure: [128, 128], dynamic: false}'
a8='{num_bits: 8, type: "float", symmetric: true, strategy: "group", group_size: 128, dynamic: true}'
mixed="del(.expert_dtype) | .quantization_config = {
    quant_method: \"compressed-tensors\", format: \"pack-quantized\", quantization_status: \"compressed\",
    config_groups: {
        group_0: {format: \"pack-quantized\", weights: $w4, input_activations: null,
            targets: [\"re:.*\\\\.(ffn|mlp)\\\\.experts\\\\.\\\\d+\\\\.(w1|w2|w3|gate_proj|up_proj|down_proj)\$\"]},
        group_1: {format: \"float-quantized\", weights: $f8, input_activations: $a8,
            targets: [\"re:.*\\\\.(attn|self_attn)\\\\.(wq_a|wkv|fused_wqa_wkv|wqkv_a|wq_b|wo_b)\$\",
                \"re:.*\\\\.(attn|self_attn)\\\\.indexer\\\\.wq_b\$\",
                \"re:.*\\\\.shared_experts\\\\.(w1|w2|w3|gate_proj|up_proj|down_proj|gate_up_proj)\$\"]}},
    ignore: [\"head\", \"lm_head\", \"re:.*embed.*\", \"re:.*\\\\.wo_a\$\", \"re:.*\\\\.gate\$\", \"re:.*compressor\\\\..*\",
        \"re:.*weights_proj\$\", \"re:(.*\\\\.)?mtp\\\\..*\", \"re:.*layers\\\\.$layers\\\\..*\", \"re:.*\\\\.decoder\\\\..*\",
        \"re:.*\\\\.(e_proj|h_proj)\$\"]}"
expect 0 recast convert src plain --to bf16 --draft drop --quiet
expect 0 recast convert src eight --to fp8 --draft drop --quiet
"$tool" plain-wo-a eight eight.wo && cp -r src/encoding eight.wo
repack w4a16 eight.wo ct
edit_json ct/$c "$mixed"
passes ct
passes ct --tp 2
says out 'accepts'
fresh() { rm -rf x && cp -al "$1" x; }

# the same with a draft in BF16, ignored; and with one that the config does not describe
expect 0 recast convert src plain.mtp --to bf16 --quiet
repack w4a16 plain.mtp x
config "$mixed | .quantization_config.config_groups |= del(.group_1) |
    .quantization_config.config_groups.group_0.targets += [\"re:.*(mtp|decoder|layers\\\\.$layers)\\\\..*experts\\\\..*\"] |
    .quantization_config.ignore |= map(select(test(\"decoder|layers|mtp\") | not)) |
    .quantization_config.ignore += [\"re:.*attn\\\\..*\", \"re:.*shared_experts.*\"]"
passes x
config '.quantization_config.config_groups.group_0.targets |= .[:1]
    | .quantization_config.config_groups.group_0.targets[0] |= sub("ffn\\|mlp"; "layers\\.[0-'"$((layers - 1))"']\\.(ffn|mlp)")'
both int4-modules warning x
says found 'the draft cannot be started'

# how the method is called, and its own keys
fresh ct; config '.quantization_config.quant_method = "awq"'; both int4-method fails x
fresh ct; config '.quantization_config.config_groups.group_0.format = "float-quantized"'; both ct-format fails x
fresh ct; config '.quantization_config.format = "mixed-precision"'; finds sglang/ct-format fails x; alone
says found 'format of all'
accepted vllm x
fresh ct; config 'del(.quantization_config.config_groups)'; both ct-format fails x
for what in '.weights.actorder = "group"' '.weights.strategy = "channel"' '.weights.dynamic = true' \
    '.weights.group_size = 16' '.weights.num_bits = 3'; do
    fresh ct; config ".quantization_config.config_groups.group_0$what"; both ct-arguments fails x
done
fresh ct; config '.quantization_config.config_groups.group_1.input_activations = null'; both ct-arguments fails x

# targets and ignore, held against what is stored
fresh ct; config '.quantization_config.config_groups.group_0.weights.group_size = 64'; both int4-modules fails x
says found 'groups of 64, symmetric' 'groups of 32, symmetric' 'experts.0'
fresh ct; config '.quantization_config.config_groups.group_0.weights.symmetric = false'; both int4-modules fails x
fresh ct; config '.quantization_config.config_groups.group_0.targets[0] |= sub("w1\\|w2\\|w3\\|"; "")'
finds vllm/int4-modules fails x; alone
says found 'model.layers.0.ffn.experts.0.w1' 'no group, and not in ignore'
accepted sglang x
fresh ct; config '.quantization_config.config_groups.group_0.targets[0] |= sub("\\|gate_proj\\|up_proj\\|down_proj"; "")'
finds sglang/int4-modules fails x; alone
accepted vllm x
fresh ct; config '.quantization_config.ignore += ["re:.*wkv$"]'; both int4-modules fails x
fresh ct; config '.quantization_config.ignore += ["model.layers.1.attn.wkv"]'; finds vllm/int4-modules fails x
says found 'layers.1.attn' 'parts of one module in and not in ignore'
fresh ct; config '.quantization_config.ignore += ["layers.1.attn.wq_b"]'; finds vllm/int4-modules fails x; accepted sglang x
fresh ct; config '.quantization_config.ignore += ["self_attn.wq_b"]'; finds sglang/int4-modules fails x; accepted vllm x
fresh ct; config '.quantization_config.ignore += ["re:(?!x)"]'; both int4-modules warning x
says found 'not understood'
fresh ct; config '.quantization_config.ignore |= map(select(test("wo_a") | not))'; accepted vllm x
repack w4a16 eight x; config "$mixed"; finds vllm/int4-modules fails x; says found 'wo_a'
finds sglang/int4-wo-a fails x; says found 'copied as numbers'
config '.quantization_config.ignore |= map(select(test("wo_a") | not))
    | .quantization_config.config_groups.group_1.targets += ["re:.*\\.wo_a$"]'
accepted vllm x # as the CUDA path has it; SGLang has no place for that
repack w4a16 plain x # all that is not in 4 bits is BF16, with one group for "Linear"
config "$mixed | .quantization_config.config_groups |= (del(.group_1) | .group_0.targets = [\"Linear\"])
    | .quantization_config.ignore += [\"re:.*attn\\\\..*\", \"re:.*shared_experts.*\"]"
passes x

# the tensors
repack w4a16 "$ROOT/tests/data/sample" x; config "$mixed"; finds sglang/int4-joined note x
says found 'SGLANG_OPT_FUSE_WQA_WKV=0'
repack w4a16-attn eight x; config "$mixed"; both int4-wo-a fails x
finds vllm/int4-wo-a fails x; says found '4-bit integers'
finds vllm/int4-wo-a note ct
repack w4a16-zeros plain x
config "$mixed | .quantization_config.config_groups |= (del(.group_1) | .group_0.weights |= (.symmetric = false | .group_size = 64))
    | .quantization_config.ignore += [\"re:.*attn\\\\..*\", \"re:.*shared_experts.*\"]"
accepted vllm x
finds sglang/int4-zeros fails x; alone
repack w4a16-hf eight x; config "$mixed"; both int4-names fails x
repack w4a16-bad-shape plain x; both shapes fails x
repack w4a16-one-asymmetric plain x; config "$mixed"; both int4-experts fails x; says found 'expert 0'

repack w4a16 "$ROOT/tests/data/golden_dspark/model" x; config "$mixed"; both int4-tiles warning x
says found 'columns of 128' '96'

# AWQ
awq='del(.expert_dtype) | .quantization_config = {quant_method: "awq", bits: 4, group_size: 64, zero_point: true,
    version: "gemm", modules_to_not_convert: ["attn.", "shared_experts", "e_proj", "h_proj"]}'
repack awq plain aw; edit_json aw/$c "$awq"
passes aw
both layout note aw
fresh aw; config '.quantization_config.bits = 8'; both awq-keys fails x; alone
fresh aw; config 'del(.quantization_config.group_size)'; both awq-keys fails x
fresh aw; config '.quantization_config.zero_point = false'; both awq-keys fails x; alone
fresh aw; config '.quantization_config.version = "gemv"'; both awq-keys warning x
fresh aw; config 'del(.quantization_config.modules_to_not_convert)'; both awq-keys warning x; both int4-modules fails x
fresh aw; config '.quantization_config.modules_to_not_convert -= ["shared_experts"]'; both int4-modules fails x; alone
fresh aw; config '.quantization_config.modules_to_not_convert += ["experts"]'; both int4-modules fails x; alone
fresh aw; config '.quantization_config.quant_method = "gptq"'; both int4-method fails x
repack awq eight x; config "$awq"; both int4-modules fails x
says found 'AWQ describes 4-bit integers and nothing else'

# ranks
both tp-int4 fails ct --tp 16
says found 'cuts through groups'
among='/(int4-|awq-|ct-|tp-int4)' all_tripped vllm sglang
