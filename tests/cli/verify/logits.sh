#!/bin/bash
# What two models say about a text: nothing lost means a divergence of exactly 0; what rounds is measured, and
# the more it rounds the more it is.
. "$ROOT/tests/cli/lib.sh"
sample=$ROOT/tests/data/sample
head -c 1500 "$sample/heldout.txt" >text
field() { jq -r "$1" r.json; }
# more A B: A is larger than B
more() { awk "BEGIN { exit !($1 > $2) }" || fail "$3: $1 is not more than $2"; }

# lossless: every layer is known to be equal and runs once
expect 0 recast convert "$sample" fp8 --to fp8 --quiet
expect 0 recast verify "$sample" fp8 --logits --text text --layers --json r.json
says out 'EXACT' 'KL'
[ "$(field '[.verdict, .behaviour.kl.mean, .behaviour.kl.max, .behaviour.same_top.value, .layers.shared] | @csv')" = '"exact",0,0,1,3' ] ||
    fail "fp8 is not exact: $(field '[.verdict, .behaviour.kl, .behaviour.same_top, .layers.shared] | @json')"

# the same without knowing it: both run, every digit is 0
expect 0 recast verify "$sample" fp8 --logits --text text --layers --skip-tensors --json r.json
[ "$(field '[.behaviour.kl.mean, .behaviour.kl.max, .layers.shared] | @csv')" = '0,0,0' ] || fail 'fp8, both run'
[ "$(field '[.layers.at[] | .attention.rel_err, .experts.rel_err] | max')" = 0 ] || fail 'fp8: streams differ'
[ "$(field '[.layers.at[] | .flipped, .blocks_flipped] | add')" = 0 ] || fail 'fp8: choices differ'

# the same values in GGUF blocks
expect 0 recast convert "$sample" exact.gguf --to gguf:mxfp4-bf16 --quiet
expect 0 recast verify "$sample" exact.gguf --logits --text text --skip-tensors --json r.json
[ "$(field '.behaviour.kl.max')" = 0 ] || fail 'exact.gguf is not exact'
expect 0 recast verify "$sample" exact.gguf --logits --text text --layers --json r.json
[ "$(field '.layers.shared')" = 3 ] || fail 'exact.gguf: its config is taken for another'

# recipes in their order, under any thread count and memory limit the same digits
last=0
for type in q8_0 q6_k q4_k q2_k; do
    expect 0 recast convert "$sample" $type.gguf --to gguf:$type --quiet
    expect 0 recast verify "$sample" $type.gguf --logits --text text --max-kl 1 --json r.json
    kl=$(field '.behaviour.kl.mean')
    more "$kl" "$last" $type
    last=$kl
done
cp r.json all.json
expect 0 recast verify "$sample" q2_k.gguf --logits --text text --max-kl 1 --json r.json --threads 1 --mem-limit 64M --cpu ref
cmp all.json r.json || fail 'another number of threads, other digits'

# gates
expect 1 recast verify "$sample" q2_k.gguf --logits --text text
says err 'max-kl'
expect 1 recast verify "$sample" q2_k.gguf --logits --text text --max-kl 1e-6
says err 'max-kl' '1e-06'
expect 1 recast verify "$sample" q2_k.gguf --logits --text text --min-top1 99.9%
says err 'min-top1'
expect 0 recast verify "$sample" q2_k.gguf --logits --text text --max-kl 0.1 --min-top1 50% --max-ppl-ratio 1.2
expect 1 recast verify "$sample" q2_k.gguf --logits --text text --max-kl 0.1 --min-sqnr expert=60
printf '# what we ship\nmax-kl = 0.1\nmin-top1 = 50%%\nmin-sqnr expert = 5\n' >gates
expect 0 recast verify "$sample" q2_k.gguf --logits --text text --gate gates
expect 1 recast verify "$sample" q2_k.gguf --logits --text text --gate gates --max-kl 1e-6
printf 'max-kl = much\n' >bad
expect 64 recast verify "$sample" q2_k.gguf --logits --text text --gate bad
says err 'line 1'

# windows: strided, ragged, ids instead of text, native numerics
recast tokenize "$sample" -f text >ids
expect 0 recast verify "$sample" fp8 --logits --tokens ids --ctx 100 --stride 30 --skip 10 --skip-tensors --json r.json
[ "$(field '.behaviour.kl.max')" = 0 ] || fail 'windows'
expect 0 recast verify "$sample" fp8 --logits --tokens ids --numerics native --skip-tensors --json r.json
[ "$(field '.behaviour.kl.max')" = 0 ] || fail 'native numerics'

# misuse
expect 64 recast verify "$sample" fp8 --logits
says err '--text'
expect 64 recast verify "$sample" fp8 --text text
expect 64 recast verify "$sample" fp8 --layers
expect 64 recast verify "$sample" fp8 --max-kl 0.1
expect 64 recast verify "$sample" fp8 --logits --text text --max-kl x
expect 64 recast verify "$sample" fp8 --logits --text text --ctx 10 --stride 20
expect 66 recast verify "$sample" fp8 --logits --text nowhere
expect 64 recast verify "$sample"
: >empty
expect 64 recast verify "$sample" fp8 --logits --text empty --skip-tensors
echo ok
