#!/bin/bash
# Options, recipes and sources that cannot become a GGUF file: one line, the right status, nothing written.
. "$ROOT/tests/cli/lib.sh"
tiny src
mkdir d
clean() { [ -z "$(ls -A d)" ] || fail "$(ls -A d) was written"; }
no() { # no CODE PATTERN ARGUMENT...
    local code=$1 pattern=$2
    shift 2
    expect "$code" recast convert "$@"
    says err "$pattern"
    clean
}
no 64 'no recipe of gguf.*want mxfp4' src d/m.gguf --to gguf:q9
no 64 'fp8, bf16, awq, w4a16 and gguf' src d/m.gguf --to gg
no 64 'not the name of a .gguf file' src d/m --to gguf
no 64 'go with --to gguf' src d/m --to fp8 --imatrix x
no 64 'go with --to gguf' src d/m --to fp8 --type 'a=q8_0'
no 64 'does not go with' src d/m.gguf --to gguf --tensors 'layers.*'
no 64 'does not go with' src d/m.gguf --to gguf --shard-size 1M
no 64 'does not go with' src d/m.gguf --to gguf --draft keep
no 64 'does not go with' src d/m --to fp8 --draft embed
no 64 'a file of its own' src d/m.gguf --to gguf:ds4-q2 --draft embed
no 64 'matches no tensor' src d/m.gguf --to gguf --type 'blk.99.*=q8_0'
no 64 "no '='" src d/m.gguf --to gguf --type 'blk.9'
no 64 'no type that recast writes' src d/m.gguf --to gguf --type 'blk.*=q9'
no 64 'is no role' src d/m.gguf --to gguf --type '@nobody=q8_0'
no 64 'in the source folder' src src/m.gguf --to gguf
no 73 'folder does not exist' src nowhere/m.gguf --to gguf
no 69 'blk.0.attn_q_b.weight.*a multiple of 256.*got 128' src d/m.gguf --to gguf --type 'blk.0.attn_q_b.weight=q4_k'
no 69 'steers the model' src d/m.gguf --to gguf --type 'blk.0.hc_attn_fn.weight=q8_0'
no 66 'none.dat' src d/m.gguf --to gguf:q4_k --imatrix none.dat
printf 'junk that is no imatrix' >bad.dat
no 65 'bad.dat' src d/m.gguf --to gguf:q4_k --imatrix bad.dat
printf '# mine\n*.ffn_down_exps.weight = q6_k # larger\nblk.* q8_0\n' >recipe
no 65 'recipe.*@46.*no .=.' src d/m.gguf --to gguf:q4_k --recipe recipe
no 66 'none' src d/m.gguf --to gguf --recipe none
no 66 'src: there is no such file' src d/m.gguf --to gguf --recipe src

# the tokenizer belongs inside
cp -r src s && rm s/tokenizer.json
no 66 'tokenizer.json.*carries its tokenizer' s d/m.gguf --to gguf
echo '{' >s/tokenizer.json
no 65 'tokenizer.json' s d/m.gguf --to gguf
sed 's/{1,3}/{1,4}/' src/tokenizer.json >s/tokenizer.json
cmp -s src/tokenizer.json s/tokenizer.json && fail 'the pre-tokenizer is the same'
no 69 'tokenizer.json.*pre-tokenizer.*definition [0-9a-f]{32}' s d/m.gguf --to gguf

# rules: command line before file before preset; the plan shows it without reading
printf 'blk.0.ffn_down_exps.weight = q6_k\n@expert = q5_k\n' >recipe
expect 0 recast convert src d/m.gguf --to gguf:q4_k --recipe recipe --type 'blk.1.ffn_*_exps.weight=q3_k' --dry-run
says out 'expert +Q3_K' 'expert +Q5_K' 'expert +Q6_K'
clean
expect 0 recast convert src d/m.gguf --to gguf:q4_k --recipe recipe --type 'blk.1.ffn_*_exps.weight=q3_k' --draft drop
expect 0 recast inspect d/m.gguf --tensors 'blk.[01].ffn_*_exps.weight'
says out 'blk.0.ffn_down_exps.weight +Q6_K' 'blk.0.ffn_up_exps.weight +Q5_K' 'blk.1.ffn_down_exps.weight +Q3_K'

# what is finished stays until --force; what is not ours, too
expect 73 recast convert src d/m.gguf --to gguf
says err 'finished conversion' 'force'
rm d/*
echo mine >d/m.gguf
expect 73 recast convert src d/m.gguf --to gguf
says err 'no result of recast'
[ "$(cat d/m.gguf)" = mine ] || fail "somebody's file is gone"
expect 0 recast convert src d/m.gguf --to gguf --force

# not finite, all zero: as with every target; blocks cannot hold NaN whatever is allowed
printf '\377\377' | dd of=src/"$(jq -r '.weight_map["layers.0.attn_norm.weight"]' src/model.safetensors.index.json)" \
    bs=1 seek="$(recast inspect src --tensors layers.0.attn_norm.weight --json | jq '.[0].offset')" conv=notrunc status=none
expect 81 recast convert src n.gguf --to gguf
says err 'layers.0.attn_norm.weight' 'NaN or infinity'

# hollow: metadata and size, no data
tiny h
expect 0 recast convert h hollow.gguf --to gguf --hollow
expect 0 recast convert h full.gguf --to gguf
[ "$(stat -c %s hollow.gguf)" -eq "$(stat -c %s full.gguf)" ] || fail "another size"
expect 0 recast inspect hollow.gguf --strict
expect 73 recast convert h hollow.gguf --to gguf
expect 0 recast convert h hollow.gguf --to gguf --force
cmp hollow.gguf full.gguf || fail "not replaced"

for to in fp8 bf16 gguf; do
    expect 69 recast convert full.gguf "x.$to.gguf" --to "$to"
    says err 'full.gguf: .*not a source'
done
