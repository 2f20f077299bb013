#!/bin/bash
# Somebody else's upload: the layouts that were published, made of the sample model by
# tests/cli/repack.c, are recognised and judged; what cannot be read is refused with its evidence.
. "$ROOT/tests/cli/lib.sh"
tool=$ROOT/$O/tests/cli/repack
[ -x "$tool" ] || { echo 'repack is not built'; exit 77; }
native=$ROOT/tests/data/sample

# repack KIND FROM TO: TO is new
repack() { rm -rf "$3" && "$tool" "$1" "$2" "$3" || fail "repack $1"; }
# config DIR FILTER: edit its config.json
config() { jq "$2" "$1/config.json" >new.json && mv new.json "$1/config.json"; }
# stored DIR ROLE: how, in the table of roles
stored() { jq -r ".roles[] | select(.role == \"$1\") | .converted" r.json; }
# exact DIR LAYOUT_OF_EXPERTS LAYOUT_OF_ATTENTION
exact() {
    expect 0 recast verify "$native" "$1" --json r.json
    says out 'EXACT'
    [ "$(stored expert)" = "$2" ] || fail "$1: experts are $(stored expert), want $2"
    [ "$(stored attention)" = "$3" ] || fail "$1: attention is $(stored attention), want $3"
}

expect 0 recast convert "$native" f32 --to fp8 --quiet
expect 0 recast convert "$native" e8m0 --to fp8 --scale-dtype e8m0 --quiet

# FP8 experts: scales of either type, under either name, with either exponent; wo_a in BF16
exact f32 FP8+F32 'FP8+F32, F32'
exact e8m0 FP8+E8M0 'FP8+E8M0, F32'
says out 'note: .*FP8 experts with E8M0 scales'
repack weight-scale-inv f32 x && exact x FP8+F32 'FP8+F32, F32'
repack weight-scale-inv e8m0 x && exact x FP8+E8M0 'FP8+E8M0, F32'
repack other-exponent f32 x && exact x FP8+F32 'FP8+F32, F32'
repack other-exponent e8m0 x && exact x FP8+E8M0 'FP8+E8M0, F32'
repack plain-wo-a e8m0 x && exact x FP8+E8M0 'FP8+E8M0, F32, BF16'
says out 'note: .*4 attn.wo_a.weight are stored as BF16 without a scale'
repack plain-wo-a "$native" x && exact x FP4+E8M0 'FP8+E8M0, F32, BF16'
repack f32-norms "$native" x && exact x FP4+E8M0 'FP8+E8M0, F32'
says out 'note: .*23 norms are stored as F32'

# what their configs say of the experts: nothing, at the root, inside, and what is not true
repack same e8m0 x
config x 'del(.expert_dtype)' && exact x FP8+E8M0 'FP8+E8M0, F32'
says err 'warning: .*expert_dtype is absent'
expect 82 recast verify "$native" x --strict --quiet
config x 'del(.expert_dtype) | .quantization_config.expert_dtype = "fp8"' && exact x FP8+E8M0 'FP8+E8M0, F32'
[ ! -s err ] || fail 'a warning although quantization_config says what the experts are'
config x '.expert_dtype = "fp4"'
expect 82 recast verify "$native" x
says err 'expert_dtype contradicts the tensors'
config x '.expert_dtype = "fp8" | del(.quantization_config.scale_fmt)' && exact x FP8+E8M0 'FP8+E8M0, F32'
says err 'warning: .*scale_fmt is absent'

# one tile's scale missing under the other name is found under it
repack weight-scale-inv f32 x
LC_ALL=C sed -i 's/layers.1.attn.wkv.weight_scale_inv/layers.1.attn.wkv.weight_scale_xxx/' x/model.safetensors
expect 82 recast verify "$native" x
says out 'layers.1.attn.wkv.scale: .*missing' 'layers.1.attn.wkv.weight_scale_xxx: .*unknown tensor'

# ModelOpt's NVFP4: cast without a loss, with a draft left as it was, and calibrated
repack nvfp4 "$native" nv && exact nv NVFP4+E4M3 'FP8+E8M0, F32'
says out 'NVFP4 experts \(ModelOpt\)'
expect 0 recast inspect nv
says out 'NVFP4 \(E2M1\), E4M3 scales per 16'
repack nvfp4-layers "$native" x && exact x 'NVFP4+E4M3, FP4+E8M0' 'FP8+E8M0, F32'
says out 'note: .*24 experts of the draft are FP4'
repack nvfp4-rounded "$native" x
expect 1 recast verify "$native" x
expect 0 recast verify "$native" x --min-sqnr expert=20
says out 'WITHIN BOUNDS'
expect 1 recast verify "$native" x --min-sqnr expert=30
config nv '.expert_dtype = "nvfp4" | .quantization_config.moe_quant_algo = "NVFP4"' && exact nv NVFP4+E4M3 'FP8+E8M0, F32'
ids=$(seq -s, 2 9 400)
expect 0 recast run "$native" --tokens "$ids" --logits a.st --quiet
expect 0 recast run nv --tokens "$ids" --logits b.st --quiet
cmp a.st b.st || fail 'NVFP4 of equal values gives other logits'
expect 69 recast convert nv out.gguf --to gguf --quiet
says err 'nv: ModelOpt.s NVFP4 .*not converted'
expect 69 recast convert nv out --to fp8 --quiet
# one scale of 16 and one of a whole matrix changed: their matrix, and no other
for t in layers.2.ffn.experts.3.w1.weight_scale layers.2.ffn.experts.3.w1.weight_scale_2; do
    cp -r nv x.bad
    expect 0 recast inspect nv --tensors "$t" --json
    at=$(jq '.[0].offset' out)
    printf '\070' | dd of=x.bad/model.safetensors bs=1 seek=$((at + 3 * (${#t} > 45))) conv=notrunc 2>>dd.log
    expect 1 recast verify "$native" x.bad --json r.json
    [ "$(jq -c '[.tensors[] | select(.exact | not) | .name]' r.json)" = '["layers.2.ffn.experts.3.w1.weight"]' ] || fail "$t"
    rm -r x.bad
done
for kind in 'no-scale-2 missing: its weight cannot be read' 'odd-scale-2 not a number' 'nan-scale-2 not a scale'; do
    repack "${kind%% *}" "$native" x
    expect 82 recast verify "$native" x
    says err "layers.1.ffn.experts.0.w2.weight_scale_2: .*${kind#* }"
    if grep -q 'all zero' err; then fail "$kind: NATIVE is said to be zero"; fi
    expect 82 recast inspect x
done

# what is not read says what it is, where, and what to do
for kind in 'packed compressed-tensors.*weight_packed' 'hf transformers names.*model.layers' \
    'nvfp4-attention ModelOpt NVFP4.*weight_scale_2' 'stacked experts stacked'; do
    repack "${kind%% *}" "$native" x
    expect 69 recast verify "$native" x
    says err "x/model.safetensors: .*${kind#* }" '69'
    [ "${kind%% *}" = stacked ] || says err 'start from the original release'
done
