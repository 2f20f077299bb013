#!/bin/bash
# What lint says of folders, for vLLM and SGLang: our own outputs pass, each trap is found by its rule.
# shellcheck disable=SC2016,SC2119
. "$ROOT/tests/cli/lint/lib.sh"
tiny src
: >tripped
e0=layers.0.ffn.experts.0.w1
c=config.json

# own outputs, and the releases
for model in src "fp8 --to fp8" "e8m0 --to fp8 --scale-dtype e8m0"; do
    # shellcheck disable=SC2086
    [ "$model" = src ] || expect 0 recast convert src $model --quiet
done
for model in src fp8; do
    accepted vllm $model
    accepted vllm $model --tp 2
    accepted sglang $model
    accepted sglang $model --tp 2
done
accepted sglang e8m0
expect 0 recast lint src
says out '^vllm +accepts: ' '^sglang +accepts: '
expect 1 recast lint src --for all
for like in flash pro flash-base flash-0731; do
    rm -rf full
    recast synth full --like $like --hollow --quiet 2>err || { cat err; echo "needs room for holes"; exit 77; }
    accepted vllm full --tp 8
    accepted sglang full --tp 8
done
rm -rf full

# both ENGINE-LESS-RULE VERDICT MODEL [OPTION..]
both() {
    finds "vllm/$1" "${@:2}"
    finds "sglang/$1" "${@:2}"
}
# config JQ: x is fp8 with another config
config() {
    local from=${2:-fp8}
    rm -rf x && cp -al "$from" x
    edit_json x/$c "$1"
}
copy() { rm -rf x && cp -al "$1" x; }

# config.json
config '.model_type = "deepseek_v3"'; both model-type fails x
config '.architectures = ["DeepseekV3ForCausalLM"]'; both architectures fails x; alone
config 'del(.hidden_size)'; both config fails x
says found 'hidden_size is missing'
config '.compress_ratios = .compress_ratios[:3]'; both compress-ratios fails x
config '.compress_ratios[1] = 8'; both compress-ratios fails x
config '.scoring_func = "sigmoid"'; both routing fails x; alone
config 'del(.topk_method)'; both routing fails x; alone
config 'del(.quantization_config)'; both quant-method fails x
config '.quantization_config.quant_method = "awq"'; both quant-method fails x
config '.quantization_config.activation_scheme = "static"'; both activation-scheme fails x; alone
config 'del(.quantization_config.activation_scheme)'; both activation-scheme fails x; alone
config '.quantization_config.weight_block_size = [128]'; both block-size fails x
config '.quantization_config.weight_block_size = [64, 128]'; both block-size fails x; alone
config 'del(.quantization_config.weight_block_size)'; both block-size fails x; alone
config 'del(.quantization_config.scale_fmt)'; both scale-fmt warning x
expect 0 recast lint x --for vllm
expect 82 recast lint x --for vllm --strict
config 'del(.rope_scaling)'; finds sglang/rope fails x; alone
config '.num_key_value_heads = 2'; finds sglang/kv-heads fails x

# expert_dtype: vLLM believes the config, SGLang looks
config 'del(.expert_dtype)'
finds vllm/expert-dtype-missing fails x; alone
says found 'nothing, which is' 'add .*expert_dtype'
accepted sglang x
config 'del(.expert_dtype) | .quantization_config.expert_dtype = "fp8"'
finds vllm/expert-dtype-missing fails x; alone
config 'del(.expert_dtype)' src; accepted vllm x
config '.expert_dtype = "fp4"'; finds vllm/expert-dtype fails x; alone
config '.expert_dtype = "fp8"' src; finds vllm/expert-dtype fails x; alone
config '.expert_dtype = "nvfp4"' src; finds vllm/expert-dtype fails x; alone
finds sglang/experts note fp8

# scales
finds vllm/expert-scale-e8m0 fails e8m0; alone
jq -e '.count == 144 and .want == "F32" and .got == "F8_E8M0"' found >/dev/null || fail "$(cat found)"
copy src; rename_tensor x $e0.scale $e0.weight_scale_inv; finds vllm/scale-names fails x; alone
copy src
rewrite_header "$(shard_of x $e0.scale)" '.[$t].dtype = "I8"' --arg t $e0.scale
finds vllm/fp4-scale-dtype fails x; alone
copy src; drop_tensor x $e0.scale; both scale-missing fails x
copy src; t=layers.1.attn.wq_b.scale
rewrite_header "$(shard_of x $t)" '.[$t].dtype = "U8"' --arg t $t
both scale-dtype fails x; alone
a=layers.1.attn.wo_a
copy src; rename_tensor x $a.scale $a.weight_scale_inv
finds sglang/wo-a fails x; alone
says found "other layers' wo_a"
accepted vllm x
for ((i = 0; i < 5; i++)); do
    [ $i -eq 1 ] || rename_tensor x layers.$i.attn.wo_a.scale layers.$i.attn.wo_a.weight_scale_inv
done
finds sglang/wo-a fails x; alone
says found 'copied as numbers'
copy src; drop_tensor x $a.scale; finds vllm/wo-a fails x; alone
copy src
rewrite_header "$(shard_of x $a.scale)" '.[$t].dtype = "U8"' --arg t $a.scale
finds sglang/wo-a-scale fails x
expect 0 recast convert src bf16 --to bf16 --quiet
finds vllm/wo-a fails bf16; alone
finds sglang/experts fails bf16; alone

# tensors
copy src; drop_tensor x norm.weight; both missing fails x; alone
says found '"tensor":"norm.weight"'
copy src; rename_tensor x norm.weight final_norm.weight
finds vllm/names fails x
finds sglang/names warning x
copy src; t=layers.2.attn.indexer.weights_proj.weight
rewrite_header "$(shard_of x $t)" '.[$t].shape |= reverse' --arg t $t
both shapes fails x; alone
copy src; t=layers.2.attn.wkv.weight
rewrite_header "$(shard_of x $t)" '.[$t].dtype = "I8"' --arg t $t
both weight-dtype fails x; alone
copy src; t=layers.1.ffn.gate.bias; f=$(basename "$(shard_of x $t)")
drop_tensor x $t; add_tensor x "$f" $t BF16 '[8]' 16
both control-f32 warning x
drop_tensor x $t; add_tensor x "$f" $t I32 '[8]' 32
both control-f32 fails x; alone
copy src; t=layers.0.ffn.gate.tid2eid
f=$(basename "$(shard_of x $t)"); drop_tensor x $t; add_tensor x "$f" $t F32 '[384, 2]' 3072
both table-dtype fails x; alone

# files
copy src; edit_json x/$index '.metadata.total_size += 1'; both files warning x
copy src; edit_json x/$index '.weight_map["norm.weight"] = .weight_map["embed.weight"]'
both files warning x
says found 'another shard than stated'
copy src; edit_json x/$index 'del(.weight_map["norm.weight"])'; both files warning x
copy src; f=$(shard_of x norm.weight); rewrite_header "$f" 'del(.__metadata__)'
both metadata-format warning x
says found "\"file\":\"$(basename "$f")\""
copy src; rm x/tokenizer.json; both tokenizer fails x; alone
copy src; rm x/tokenizer_config.json; both tokenizer warning x
copy src; rm -r x/encoding; edit_json x/tokenizer_config.json 'del(.chat_template)'; both chat warning x

# drafts
both draft note src
config '.num_nextn_predict_layers = 3' src; both draft warning x
copy src; drop_tensor x mtp.0.hnorm.weight; both draft warning x
expect 0 recast convert src dropped --to fp8 --draft drop --quiet
accepted vllm dropped
config '.num_nextn_predict_layers = 1' dropped; both draft note x
cp -a "$ROOT/tests/data/golden_dspark/model" spark
edit_json spark/$c 'del(.dspark_markov_rank)'
recast lint spark --for vllm --json >out || true
jq -e '.engines[0].rules[] | select(.id == "vllm/draft") | .message | test("dspark_markov_rank")' out >/dev/null ||
    fail "a DSpark draft without its keys"

# layouts of others
copy src; rename_tensor x $e0.weight $e0.qweight; rename_tensor x $e0.scale $e0.scales
edit_json x/$c '.quantization_config = {quant_method: "awq", bits: 4, group_size: 128, zero_point: true, version: "gemm"}'
both layout fails x
says found 'AWQ' 'qweight'
copy src; rename_tensor x $e0.weight $e0.weight_packed
edit_json x/$c '.quantization_config = {quant_method: "compressed-tensors", format: "pack-quantized"}'
both layout fails x # one matrix of many
says found 'compressed-tensors'
copy src; rename_tensor x $e0.scale $e0.weight_scale_2
finds vllm/layout fails x
says found 'NVFP4' 'taken for MXFP4'
edit_json x/$c '.quantization_config.moe_quant_algo = "NVFP4"'; finds vllm/layout note x
copy src; rename_tensor x norm.weight model.layers.0.input_layernorm.weight; both layout fails x
says found 'transformers'

# the same, as they were published: made of the sample model by tests/cli/repack.c
native=$ROOT/tests/data/sample
if [ -x "$ROOT/$O/tests/cli/repack" ]; then
    expect 0 recast convert "$native" f32 --to fp8 --quiet
    repack() { rm -rf y && "$ROOT/$O/tests/cli/repack" "$1" "$2" y || fail "repack $1"; }
    repack weight-scale-inv f32; expect 0 recast lint y --for vllm; finds sglang/wo-a fails y
    repack plain-wo-a f32; finds vllm/wo-a fails y; expect 0 recast lint y --for sglang
    repack nvfp4 "$native"; finds vllm/layout fails y; finds sglang/layout warning y
    edit_json y/$c '.quantization_config.moe_quant_algo = "NVFP4"'; finds vllm/layout note y
fi

# tensor parallelism
both tp-heads fails src --tp 3
both tp-groups fails src --tp 4
finds vllm/tp-experts fails src --tp 16
both tp-intermediate fails fp8 --tp 4
both tp-intermediate warning src --tp 4
both tp-blocks fails src --tp 4
says found 'a multiple of 512'

# the rest
finds vllm/fp4-hardware note src
expect 0 recast convert src t.gguf --to gguf --quiet
both container fails t.gguf; alone
but='/(int4-|awq-|ct-|tp-int4)' all_tripped vllm sglang # int4.sh trips those
