#!/bin/bash
# Channels that were scaled as AWQ does: found from the values, believed when the readers agree, compared
# with that undone. Half-scaled ones are in sabotage.sh.
. "$ROOT/tests/cli/lib.sh"
export OMP_WAIT_POLICY=passive
sample=$ROOT/tests/data/sample
tool=$ROOT/$O/tests/cli/sabotage repack=$ROOT/$O/tests/cli/repack
[ -x "$tool" ] && [ -x "$repack" ] || { echo 'sabotage and repack are not built'; exit 77; }
head -c 760 "$sample/heldout.txt" >text

# by powers of two, at every norm that can be: nothing is lost, and nothing said by a ledger
expect 0 recast convert "$sample" bf16 --to bf16 --quiet
"$tool" smoothed bf16 two
expect 0 recast verify "$sample" two --json r.json --md r.md --html r.html
says out 'EXACT' 'channels of 10 norms are scaled, by powers of two from 0.25 to 4, and so are all 93 of their readers'
says r.md 'channels of 10 norms are scaled'
says r.html 'channels of 10 norms are scaled'
jq -e '.scaling | .norms == 10 and .readers == 93 and .astray == 0 and .powers_of_two and .least == 0.25 and .most == 4
    and (.points | length == 10 and all(.divided == 1 and .scaled > 0 and .scaled < .channels))' r.json >jq.out ||
    fail "scaling: $(jq -c .scaling r.json)"
[ "$(jq -r '[.tensors[] | select(.scaling == "undone")] | length' r.json)" = 103 ] || fail 'readers and norms'
expect 0 recast verify "$sample" two --threads 1 --json one.json --quiet
expect 0 recast verify "$sample" two --threads 3 --json three.json --quiet
cmp one.json three.json || fail 'digits depend on threads'
expect 0 recast verify bf16 two # whatever NATIVE is stored as
expect 0 recast verify two bf16
expect 0 recast verify "$sample" bf16 --json r.json
jq -e '.scaling == null' r.json >jq.out || fail 'a scaling where there is none'

# what it says is the same to the last bit, and nothing is taken for equal without running it
expect 0 recast verify "$sample" two --logits --text text --layers --json r.json
jq -e '.behaviour.kl.max == 0 and .layers.shared == 0
    and ([.layers.at[] | .attention.rel_err, .experts.rel_err] | all(. == 0))' r.json >jq.out || fail 'it says something else'
expect 0 recast verify "$sample" --record golden.rgf --text text --quiet
expect 0 recast verify --golden golden.rgf two

# a part of the parameters: what was scaled is known all the same
expect 0 recast verify "$sample" two --tensors 'layers.1.ffn.experts.*'
says out 'EXACT' 'channels of 10 norms'
expect 0 recast verify "$sample" two --sample 40
says out 'EXACT' 'a sample, 40 of 208'

# by other factors: the norms are as good as exact, their readers were rounded
"$tool" smoothed-oddly bf16 odd
expect 1 recast verify "$sample" odd --json r.json
says out 'by factors from 1 to 4, and so are all 23 of their readers'
jq -e '[.tensors[] | select(.exact | not) | .scaling] | length == 23 and all(. == "undone")' r.json >jq.out || fail 'odd factors'
jq -e '[.tensors[] | select(.scaling == "undone" and .role == "norm") | .exact] | length == 2 and all' r.json >jq.out ||
    fail 'norms by odd factors'
expect 0 recast verify "$sample" odd --min-sqnr 50
expect 1 recast verify "$sample" odd --min-sqnr 60

# in 4 bits: how much the rounding costs is measured behind the scaling, the rest is exact
"$repack" awq two int4 || fail repack
jq '.quantization_config = {quant_method: "awq", bits: 4, group_size: 64, zero_point: true, version: "gemm"} | del(.expert_dtype)' \
    two/config.json >int4/config.json
expect 0 recast verify "$sample" int4 --min-sqnr expert=5 --json r.json
says out 'WITHIN BOUNDS' 'and so are all 93 of their readers'
jq -e '[.roles[] | select(.role != "expert") | .exact == .parameters] | all' r.json >jq.out || fail 'the rest is not exact'
expect 1 recast verify "$sample" int4 --logits --text text --ablate --max-kl 1e-9 --json r.json
jq -e '.ablation | .kl > 0.01 and (.groups[0] | .label == "expert" and .kl == 0)' r.json >jq.out ||
    fail "putting experts back into scaled channels: $(jq -c '.ablation.groups[:2]' r.json)"
