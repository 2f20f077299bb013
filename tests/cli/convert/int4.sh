#!/bin/bash
# 4-bit integers in both containers: what is written, what it is called, what is refused.
. "$ROOT/tests/cli/lib.sh"
src=$ROOT/tests/data/sample
# tensors DIR: "name dtype shape" of every tensor, from the shards' headers
tensors() {
    local f n
    for f in "$1"/*.safetensors; do
        n=$(od -An -tu8 -N8 "$f")
        tail -c +9 "$f" | head -c "$n" |
            jq -r 'del(.__metadata__) | to_entries[] | "\(.key) \(.value.dtype) \(.value.shape | map(tostring) | join("x"))"'
    done
}
# same_weights A B: every shard of A is in B, to the byte
same_weights() {
    local f
    for f in "$1"/*.safetensors; do cmp "$f" "$2/${f##*/}" || fail "$1 and $2 differ"; done
}
cfg() { jq -e "$2" "$1/config.json" >jq.out || fail "$1: not so: $2"; }

# what is written: names, types, shapes (a matrix w2 is [256, 128] here)
expect 0 recast convert "$src" awq --to awq --group 64
says out 'int4 +96 tensors in groups of 64, with zero points; rtn without statistics' 'loss +squared error 0\.'
says err 'rtn: no statistics, ranges by weights alone; recast calibrate makes better ones'
tensors awq >t
says t '^layers.0.ffn.experts.3.w2.qweight I32 128x32$' '^layers.0.ffn.experts.3.w2.scales F16 2x256$' \
    '^layers.0.ffn.experts.3.w2.qzeros I32 2x32$' '^layers.0.attn.wq_b.weight BF16 ' \
    '^layers.0.ffn.shared_experts.w1.weight BF16 ' '^mtp.0.ffn.experts.0.w1.qweight I32 '
grep -qE '\.scale |F8_|wq_b.qweight' t && fail "awq: something is left in FP8, or attention is INT4"
cfg awq '.quantization_config | .quant_method == "awq" and .bits == 4 and .group_size == 64 and .zero_point and .version == "gemm"'
cfg awq '.quantization_config.modules_to_not_convert | contains(["attn.", "shared_experts", ".e_proj", "head"])'
cfg awq 'has("expert_dtype") | not'

expect 0 recast convert "$src" w4 --to w4a16 --method rtn
grep -q warning err && fail "rtn was asked for: nothing to warn of"
tensors w4 >t
says t '^layers.0.ffn.experts.3.w2.weight_packed I32 256x16$' '^layers.0.ffn.experts.3.w2.weight_scale BF16 256x1$' \
    '^layers.0.ffn.experts.3.w2.weight_shape I64 2$' '^layers.0.attn.wq_b.weight F8_E4M3 ' \
    '^layers.0.attn.wq_b.weight_scale F32 ' '^layers.0.attn.wo_a.weight BF16 ' '^mtp.0.e_proj.weight_scale F32 '
grep -qE 'zero_point|\.scale |wo_a.weight_scale' t && fail "w4a16: zero points, or names of others"
cfg w4 '.quantization_config | .quant_method == "compressed-tensors" and .format == "pack-quantized"'
cfg w4 '.quantization_config.config_groups | .group_0.weights.symmetric and .group_0.weights.group_size == 128 and .group_1.weights.num_bits == 8'
# every expression matches the modules that it is for, in all spellings, and no other
# shellcheck disable=SC2016 # jq.s own variables
cfg w4 'def hits($l; $m): [$l[] | select(if startswith("re:") then . as $r | $m | test("^" + $r[3:]) else . == $m end)] | length > 0;
    .quantization_config as $q | $q.config_groups.group_0.targets as $i | $q.config_groups.group_1.targets as $f | $q.ignore as $n |
    ([ "model.layers.0.ffn.experts.0.w1", "model.layers.3.mlp.experts.17.down_proj", "mtp.0.ffn.experts.1.w3" ] | all(hits($i; .) and (hits($f; .) or hits($n; .) | not))) and
    ([ "model.layers.0.attn.fused_wqa_wkv", "model.layers.0.self_attn.wqkv_a", "model.layers.0.attn.indexer.wq_b",
       "model.layers.0.self_attn.compressor.indexer.q_b_proj", "model.layers.0.ffn.shared_experts.gate_up_proj", "model.layers.43.e_proj",
       "model.decoder.self_attn.wo_b" ] | all(hits($f; .) and (hits($i; .) or hits($n; .) | not))) and
    ([ "lm_head", "head", "model.embed_tokens", "model.layers.0.ffn.gate", "model.layers.0.attn.wo_a", "model.layers.0.attn.indexer.compressor.fused_wkv_wgate", "model.layers.1.self_attn.compressor.wkv_gate",
       "model.layers.0.attn.indexer.weights_proj" ] | all(hits($n; .) and (hits($i; .) or hits($f; .) | not)))'

expect 0 recast convert "$src" all --to w4a16 --scope all --asymmetric --group 32 --quiet
tensors all >t
says t '^layers.1.attn.indexer.wq_b.weight_packed ' '^layers.1.attn.wo_b.weight_zero_point I32 ' '^mtp.0.h_proj.weight_packed '
grep -qE 'F8_|wo_a.weight_packed|compressor.*packed' t && fail "scope all: FP8 is left, or too much is INT4"
cfg all '.quantization_config.config_groups | has("group_1") | not'
expect 0 recast lint all --for vllm
says out 'MTP draft: skipped unless' # found, though no part of it is a ".weight"

# others read it: nothing is missing, and what was promised to be exact is
for d in awq w4 all; do expect 0 recast inspect $d --json; jq -e .whole out >jq.out || fail "$d is not whole"; done
for d in awq w4; do
    expect 1 recast verify "$src" $d
    says out '96 of [0-9]+ parameters differ' # the experts
done

# one pass, both containers: repacked there and back, the same bytes
expect 0 recast convert awq packed --to w4a16
says out 'the same integers as in the source' 'exact +all'
cfg packed '.quantization_config.config_groups.group_0.weights | .symmetric == false and .group_size == 64'
expect 0 recast convert packed back --to awq
same_weights awq back
expect 0 recast convert all all-awq --to awq
expect 0 recast convert all-awq all-back --to w4a16
expect 0 recast convert all-back all-awq2 --to awq
same_weights all-awq all-awq2
expect 64 recast convert awq x --to w4a16 --group 32
says err '--group decides nothing here'
expect 69 recast convert awq x --to awq
says err 'of this container already'
expect 69 recast convert awq x.gguf --to gguf
says err 'rounded already'
expect 69 recast convert w4 x --to fp8
says err 'rounded already' 'original release'

# an upload whose scales are F32, which AutoAWQ's never are: the values are kept all the same
tool=$ROOT/$O/tests/cli/repack
for kind in awq awq-f32; do
    "$tool" $kind "$src" up-$kind || fail "repack $kind"
    jq '.quantization_config = {quant_method: "awq", bits: 4, group_size: 64, zero_point: true, version: "gemm"}' \
        "$src/config.json" >up-$kind/config.json
    expect 0 recast convert up-$kind w4-$kind --to w4a16
    says out 'exact +all'
done
expect 0 recast verify up-awq w4-awq-f32
says out 'verdict: EXACT'
# one whose draft has FP4: neither container has a name for that
"$tool" awq-layers "$src" up-layers || fail "repack awq-layers"
cp up-awq/config.json up-layers/
for part in '*' 'mtp.*'; do
    expect 69 recast convert up-layers x --to w4a16 --tensors "$part"
    says err 'draft are FP4' '--draft drop'
done
expect 0 recast convert up-layers w4-layers --to w4a16 --draft drop
says out 'exact +all'
# and one whose FP8 has its scales in BF16
"$tool" w4a16-attn "$src" up || fail "repack w4a16-attn"
jq '.quantization_config = {quant_method: "compressed-tensors", format: "pack-quantized", config_groups: {g: {targets: ["Linear"],
    weights: {num_bits: 4, type: "int", symmetric: true, strategy: "group", group_size: 32}}}}' "$src/config.json" >up/config.json
expect 0 recast convert up awq-up --to awq
says out 'exact +all'
expect 0 recast verify up awq-up
says out 'verdict: EXACT'

# names of transformers, there and back
expect 0 recast convert "$src" hf --to awq --group 64 --names hf --quiet
tensors hf >t
says t '^model.layers.0.mlp.experts.3.down_proj.qweight I32 128x32$' '^model.layers.0.self_attn.q_b_proj.weight BF16 ' '^lm_head.weight '
expect 0 recast inspect hf
expect 0 recast convert hf native --to w4a16
same_weights packed native

# the same bytes for any number of threads, memory and instruction set
for how in "--threads 1" "--threads 5 --mem-limit 24M" "--cpu ref" "--cpu avx2"; do
    for t in "awq --group 64" "w4a16 --method rtn"; do
        rm -rf d
        # shellcheck disable=SC2086
        recast convert "$src" d --to $t $how --quiet >out 2>err || { grep -q 'does not have it' err && continue; fail "$how"; }
        if [ "${t%% *}" = awq ]; then same awq d; else same w4 d; fi
    done
done

# the ledger
jq -e -s '[.[] | select(.op == "int4")] | length == 96 and all(.[]; .group == 64 and .method == "rtn" and .loss <= .loss_nearest
    and .groups > 0 and .sqnr_db > 15 and (.out | has("scale") and has("zero_point")))' awq/recast.jsonl >jq.out || fail "ledger"
jq -e '.recipe.group == 128 and .recipe.symmetric and .recipe.method == "rtn" and .totals.int4.tensors == 96 and (.exact | not)' w4/recast.json >jq.out || fail "summary"

# parts, drafts, shards, plans
expect 0 recast convert "$src" part --to awq --tensors 'layers.0.ffn.experts.*' --quiet
tensors part >t
[ "$(wc -l <t)" -eq 72 ] || fail "part: $(wc -l <t) tensors"
expect 0 recast convert "$src" nodraft --to w4a16 --draft drop --shard-size 2MB --quiet
tensors nodraft >t
grep -q '^mtp' t && fail "the draft is there"
cfg nodraft '.num_nextn_predict_layers == 0 and ([.quantization_config.config_groups.group_1.targets[] | select(test("h_proj"))] == [])'
expect 0 recast convert "$src" plan --to w4a16 --dry-run --json
jq -e '.recipe | startswith("w4a16 group=128 symmetric scope=experts method=rtn")' out >jq.out || fail "plan"
[ ! -e plan ] || fail "--dry-run wrote"

# misuse
expect 64 recast convert "$src" x --to awq --symmetric
says err 'always has zero points'
expect 64 recast convert "$src" x --to w4a16 --symmetric --asymmetric
for o in "--group 32" "--scope all" "--stats f" "--method rtn" "--smooth off" --symmetric --asymmetric "--names hf"; do
    # shellcheck disable=SC2086
    expect 64 recast convert "$src" x --to fp8 $o
    says err "${o%% *} goes with --to awq and --to w4a16"
done
for m in awq awq+; do
    expect 64 recast convert "$src" x --to awq --method $m
    says err "--method ${m/+/\\+} needs --stats" 'recast calibrate .* --text'
done
expect 64 recast convert "$src" x --to awq --smooth pow2
expect 64 recast convert "$src" x --to awq --imatrix f
[ ! -e x ] || fail "something was written"

# scales below what F16 holds: told, with a way out; and none at all: refused
cp -r "$src" low && chmod -R u+w low
f=$(grep -l 'layers.0.ffn.experts.0.w1.scale' low/*.safetensors)
n=$(od -An -tu8 -N8 "$f")
at=$(tail -c +9 "$f" | head -c "$n" | jq '."layers.0.ffn.experts.0.w1.scale".data_offsets[0]')
low() { head -c 64 /dev/zero | tr '\0' "\\$1" | dd of="$f" bs=1 seek=$((8 + n + at)) conv=notrunc status=none; }
low 157 # 2^(111-127) times up to 6, over 15
expect 0 recast convert low low4 --to awq --method rtn
says err 'warning: layers.0.ffn.experts.0.w1.weight: [0-9]+ of [0-9]+ scales are below what F16' '--to w4a16'
low 120 # 2^(80-127)
expect 81 recast convert low low5 --to awq --method rtn
says err 'layers.0.ffn.experts.0.w1.weight' 'F16 does not reach' 'to w4a16'
unfinished low5
expect 0 recast convert low low6 --to w4a16 --method rtn
