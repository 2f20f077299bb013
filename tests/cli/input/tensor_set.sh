#!/bin/bash
# C: every tensor is there, of the dtype and shape that the config calls for, and no other.
. "$ROOT/tests/cli/input/lib.sh"
tiny src
w1=layers.1.ffn.experts.3.w1
dense=layers.0.attn.wq_a

# drop TENSOR CODE PATTERN...
drop() {
    fresh x
    drop_tensor x "$1"
    refuses 82 x "${@:2}"
}
# entry TENSOR JQ_FILTER: change its entry in the header; the bytes stay
entry() {
    fresh x
    # shellcheck disable=SC2016
    rewrite_header "$(shard_of x "$1")" ".[\$t] |= ($2)" --arg t "$1"
}

# C01 C02 C03 C16
drop layers.3.ffn.experts.5.w2.weight 'layers.3.ffn.experts.5.w2.weight: missing'
drop layers.2.attn_norm.weight 'layers.2.attn_norm.weight: missing'
drop head.weight 'head.weight: missing'
drop $w1.scale "$w1.scale: .*(missing|cannot be read)"
drop $dense.scale "$dense.scale: .*(missing|cannot be read)"
drop $w1.weight "$w1.weight: missing: its scale is there without it"
fresh x && edit_json x/config.json '.tie_word_embeddings = true'
refuses 82 x 'head.weight: .*ties the head to the embedding'
# C04: the scale is of another type
fresh x && entry $w1.scale '.dtype = "U8"'
refuses 82 x "$w1.scale: @[0-9]+: wrong dtype.*want F8_E8M0, got U8"
entry $dense.scale '.dtype = "F8_E4M3"'
refuses 82 x "$dense.scale: @[0-9]+: wrong dtype.*want F8_E8M0, got F8_E4M3"
# C05 C07 C09 C10: shapes
entry layers.0.attn.wq_b.scale '.shape |= reverse'
refuses 82 x 'layers.0.attn.wq_b.scale: @[0-9]+: wrong shape' 'want \[4, 1\], got \[1, 4\]'
entry $w1.scale '.shape = [128, 16]' # groups of 16
refuses 82 x "$w1.scale: @[0-9]+: wrong shape" 'want \[256, 8\], got \[128, 16\]'
entry $w1.weight '.shape = [128, 256]'
refuses 82 x "$w1.weight: @[0-9]+: wrong shape" 'want \[256, 128\], got \[128, 256\]'
entry layers.0.attn.wq_b.weight '.shape |= reverse'
refuses 82 x 'layers.0.attn.wq_b.weight: @[0-9]+: wrong shape'
entry $w1.weight '.shape = [1, 256, 128]'
refuses 69 x "$w1.weight: @[0-9]+: experts stacked into one tensor of rank 3"
# C08: I8 is packed FP4 in experts, and nothing anywhere else
entry $dense.weight '.dtype = "I8"'
refuses 82 x "$dense.weight: @[0-9]+: wrong dtype.*want F8_E4M3, got I8"
entry $w1.weight '.dtype = "U8"'
refuses 82 x "$w1.weight: @[0-9]+: wrong dtype.*want I8, got U8"
# C11
entry layers.1.attn_norm.weight '.dtype = "F16"'
refuses 82 x 'layers.1.attn_norm.weight: @[0-9]+: wrong dtype.*want BF16, got F16'
fresh x && drop_tensor x layers.1.attn_norm.weight
add_tensor x model-00003-of-00008.safetensors layers.1.attn_norm.weight F32 '[256]' 1024
accepts x '1 norms are stored as F32'
# C12 C13 C14
fresh x && add_tensor x model-00003-of-00008.safetensors layers.1.extra.weight BF16 '[2,2]' 8
refuses 82 x 'layers.1.extra.weight: @[0-9]+: unknown tensor'
fresh x && rename_tensor x layers.4.attn_norm.weight layers.5.attn_norm.weight
refuses 82 x 'layers.4.attn_norm.weight: missing; 2 (problems|faults) in all'
expect 82 bounded inspect x
says out 'layers.5.attn_norm.weight' 'num_hidden_layers'
fresh x && rename_tensor x $w1.weight layers.1.ffn.experts.8.w1.weight
refuses 82 x "$w1.weight: missing"
expect 82 bounded inspect x
says out 'layers.1.ffn.experts.8.w1.weight' 'n_routed_experts'
fresh x && edit_json x/config.json '.n_routed_experts = 9'
refuses 82 x 'layers.0.ffn.gate.weight: .*wrong shape; [0-9]+ (problems|faults) in all .want \[9, 256\], got \[8, 256\]'
# C15: draft tensors and the config disagree
fresh x && edit_json x/config.json '.num_nextn_predict_layers = 0'
refuses 82 x 'num_nextn_predict_layers: there are draft tensors'
drop mtp.0.e_proj.weight 'mtp.0.e_proj.weight: missing'
# C17
fresh x && drop_tensor x layers.1.attn_norm.weight
add_tensor x model-00003-of-00008.safetensors layers.1.attn_norm.weight BF16 '[0]' 0
refuses 82 x 'layers.1.attn_norm.weight: @[0-9]+: wrong shape.*want \[256\], got \[0\]'
# C19: a weight and its scale under both of its names
fresh x && add_tensor x model-00003-of-00008.safetensors $w1.weight_scale_inv F8_E8M0 '[256,8]' 2048
refuses 82 x "$w1.(weight_scale_inv|scale): .*second scale"
# C22: other quantizations, by their names
for n in qweight g_idx weight_scale_2 weight_packed; do
    fresh x && add_tensor x model-00003-of-00008.safetensors $w1.$n I32 '[2]' 8
    refuses 69 x "$w1.$n: @[0-9]+: the layout of another program"
done
fresh x && rename_tensor x embed.weight model.embed_tokens.weight
refuses 69 x 'model.embed_tokens.weight: @[0-9]+: .*transformers names'
# C25: two shards have changed places
fresh x && mv x/model-00003-of-00008.safetensors x/t && mv x/model-00005-of-00008.safetensors x/model-00003-of-00008.safetensors && mv x/t x/model-00005-of-00008.safetensors
refuses 82 x 'another shard' 'want model-0000[35]-of-00008.safetensors, got model-0000[35]-'
# --dry-run gives the same answer as the run
expect 82 bounded convert x refused --to fp8 --dry-run
# H18: verify with its sides swapped, and a folder against itself
expect 0 recast convert src d --to fp8
expect 64 bounded verify src src
