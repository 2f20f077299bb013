#!/bin/bash
# Somebody else's 4-bit upload (AWQ, compressed-tensors; DeepSeek's names or transformers'): judged by bounds,
# by a sample, and by what it says. Made of the sample by tests/cli/repack.c; what is malformed is in int4.sh.
. "$ROOT/tests/cli/lib.sh"
tool=$ROOT/$O/tests/cli/repack
[ -x "$tool" ] || { echo 'repack is not built'; exit 77; }
native=$ROOT/tests/data/sample

# repack KIND FROM TO JQ: TO is new, with another quantization_config
repack() {
    rm -rf "$3" && "$tool" "$1" "$2" "$3" || fail "repack $1"
    jq "del(.expert_dtype) | .quantization_config = $4" "$native/config.json" >"$3/config.json"
}
awq='{quant_method: "awq", bits: 4, group_size: 64, zero_point: true, version: "gemm"}'
ct() { # ct SYMMETRIC GROUP
    echo "{quant_method: \"compressed-tensors\", format: \"pack-quantized\", config_groups: {g: {targets: [\"Linear\"],
        weights: {num_bits: 4, type: \"int\", symmetric: $1, strategy: \"group\", group_size: $2}}}}"
}
stored() { jq -r ".roles[] | select(.role == \"$1\") | .converted" r.json; }
# judged DIR LAYOUT_OF_EXPERTS LAYOUT_OF_ATTENTION WORST: within bounds, everything but experts exact
judged() {
    expect 0 recast verify "$native" "$1" --min-sqnr expert=15 --json r.json
    says out 'WITHIN BOUNDS'
    [ "$(stored expert)" = "$2" ] || fail "$1: experts are $(stored expert), want $2"
    [ "$(stored attention)" = "$3" ] || fail "$1: attention is $(stored attention), want $3"
    jq -e --argjson worst "$4" '.scaling == null and ([.roles[] | select(.role == "expert")][0].worst_sqnr_db | . > $worst and . < $worst + 2)' \
        r.json >jq.out || fail "$1: $(jq -c '.roles[] | select(.role == "expert")' r.json)"
    expect 1 recast verify "$native" "$1"
    expect 0 recast verify "$native" "$1" --min-sqnr expert=15 --sample 40
    says out 'a sample, 40 of 208 parameters'
}

repack awq "$native" aw "$awq" && judged aw AWQ+F16 'FP8+E8M0, F32' 20
says out 'AWQ'
repack w4a16-zeros "$native" zp "$(ct false 64)" && judged zp INT4+F16 'FP8+E8M0, F32' 20
repack w4a16 "$native" ct "$(ct true 32)" && judged ct INT4+BF16 'FP8+BF16, F32' 20
repack w4a16-hf "$native" hf "$(ct true 32)"
expect 0 recast verify "$native" hf --min-sqnr expert=15 --min-sqnr attention=15 --min-sqnr indexer=15 --json r.json
[ "$(stored attention)" = 'INT4+BF16, F32' ] || fail "hf: attention is $(stored attention)"
expect 0 recast inspect hf
says out 'W4A16'

# one scale: that matrix, and no other
for t in layers.1.ffn.experts.0.w2 layers.2.ffn.experts.5.w1; do
    cp -r aw x
    expect 0 recast inspect aw --tensors "$t.scales" --json
    printf '\070' | dd of=x/model.safetensors bs=1 seek=$(($(jq '.[0].offset' out) + 1)) conv=notrunc 2>>dd.log
    expect 1 recast verify aw x --json r.json
    [ "$(jq -c '[.tensors[] | select(.exact | not) | .name]' r.json)" = "[\"$t.weight\"]" ] || fail "$t: $(jq -c .message r.json)"
    rm -r x
done

# what it says about a text, layer by layer; and the same from a golden file
head -c 400 "$native/heldout.txt" >text
expect 0 recast verify "$native" aw --logits --text text --layers --max-kl 1 --json r.json
jq -e '.behaviour | .broken == 0 and .kl.mean > 0 and .kl.mean < 0.05' r.json >jq.out || fail "$(jq -c .behaviour.kl r.json)"
expect 0 recast verify "$native" --record golden.rgf --text text --quiet
expect 0 recast verify --golden golden.rgf aw --max-kl 1
expect 1 recast verify --golden golden.rgf aw
