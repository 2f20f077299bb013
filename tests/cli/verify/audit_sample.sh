#!/bin/bash
# --sample: the same parameters for the same seed, no others read, and what follows for the rest.
. "$ROOT/tests/cli/lib.sh"
tiny src
expect 0 recast convert src fp8 --to fp8 --quiet
drawn() { jq -r '.tensors[].name' "$1"; }

expect 0 recast verify src fp8 --sample 40 --json a.json
says out 'EXACT - All [0-9,]+ values of 40 parameters' \
    'a sample, 40 of 312 parameters, 6 of 6 layers: with 95 % confidence fewer than 29 of the others \(10.7 %\) differ'
[ "$(drawn a.json | wc -l)" -eq 40 ] || fail 'not 40'
[ "$(jq -r '.roles | length' a.json)" -eq 11 ] || fail 'a role was not seen'
expect 0 recast verify src fp8 --sample 40 --seed 0 --threads 1 --json b.json
cmp <(drawn a.json) <(drawn b.json) || fail 'another draw by the same seed'
expect 0 recast verify src fp8 --sample 40 --seed 1 --json b.json
cmp -s <(drawn a.json) <(drawn b.json) && fail 'the same draw by another seed'
# another layout of the same model: the same names
expect 0 recast convert src bf16 --to bf16 --quiet
expect 0 recast verify src bf16 --sample 40 --json b.json
cmp <(drawn a.json) <(drawn b.json) || fail 'another draw for another layout'

# of what --tensors lets through; more than there are is all
expect 0 recast verify src fp8 --sample 10 --tensors 'layers.1.*' --tensors 'layers.2.*' --json b.json
drawn b.json | grep -vq '^layers\.[12]\.' && fail 'a parameter that --tensors keeps out'
says out 'a sample, 10 of 104 parameters, 2 of 2 layers'
expect 0 recast verify src fp8 --sample 100000
says out 'a sample, 312 of 312 parameters, 6 of 6 layers\)'
expect 0 recast verify src fp8 --sample 4
says out 'too few to say anything about the others'

# damage where nobody looks is not found; where somebody looks it is
name=$(drawn a.json | grep 'experts.*w2.weight' | head -1)
expect 0 recast verify src fp8 --json all.json
other=$(drawn all.json | grep experts | grep -vxF "$(drawn a.json)" | head -1)
spoil() { # spoil TENSOR: its first byte
    local shard at
    expect 0 recast inspect fp8 --tensors "$1" --json
    shard=$(jq -r '.[0].shard' out)
    at=$(jq '.[0].offset' out)
    printf '\100' | dd of="fp8/$shard" bs=1 seek="$at" conv=notrunc 2>>dd.log
}
spoil "$other"
expect 1 recast verify src fp8 --quiet
expect 0 recast verify src fp8 --sample 40 --quiet
spoil "$name"
expect 1 recast verify src fp8 --sample 40
says err "$name"
says out 'a sample, 40 of 312 parameters, 6 of 6 layers: 1 of these differ\)'

# the set of names is judged whole, the sample notwithstanding
LC_ALL=C sed -i 's/"layers.1.attn.q_norm.weight"/"layers.1.attn.x_norm.weight"/' fp8/*.safetensors fp8/model.safetensors.index.json
expect 82 recast verify src fp8 --sample 12
says err 'q_norm'

for n in 0 -1 x 1.5; do expect 64 recast verify src bf16 --sample $n; done
expect 64 recast verify src bf16 --seed 7
says err 'nothing is drawn without --sample'
