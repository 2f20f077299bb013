#!/bin/bash
# A golden file stands for the native weights: small, checked, and of the same opinion.
. "$ROOT/tests/cli/lib.sh"
sample=$ROOT/tests/data/sample
head -c 1500 "$sample/heldout.txt" >text
field() { jq -r "$1" "$2"; }

expect 0 recast verify "$sample" --record g.rgf --text text
says out 'recorded'
expect 0 recast verify "$sample" --record again.rgf --text text --threads 1 --mem-limit 64M
cmp g.rgf again.rgf || fail 'two recordings differ'

# nothing lost: proven by checksums
expect 0 recast convert "$sample" fp8 --to fp8 --quiet
expect 0 recast verify --golden g.rgf fp8 --json g.json
[ "$(field '[.verdict, .behaviour.kl.mean, .behaviour.kl.max] | @csv' g.json)" = '"exact",0,0' ] || fail 'fp8 by golden file'

# what rounds: the figure of the full comparison, estimated without bias
expect 0 recast convert "$sample" q.gguf --to gguf:q4_k --quiet
expect 0 recast verify "$sample" q.gguf --logits --text text --skip-tensors --max-kl 1 --json full.json
expect 0 recast verify --golden g.rgf q.gguf --max-kl 1 --json g.json
full=$(field '.behaviour.kl.mean' full.json) kl=$(field '.behaviour.kl.mean' g.json)
awk "BEGIN { exit !($kl < $full * 1.05 && $kl > $full * 0.95) }" || fail "golden: $kl, full: $full"
[ "$(field '.provenance.tokens_digest' full.json)" = "$(field '.provenance.tokens_digest' g.json)" ] || fail 'not the same text'
for key in same_top overlap5 perplexity.ratio; do
    awk "BEGIN { d = $(field ".behaviour.$key.value" full.json) - $(field ".behaviour.$key.value" g.json); exit !(d * d < 1e-6) }" || fail "$key"
done
expect 1 recast verify --golden g.rgf q.gguf --max-kl 1e-6
expect 1 recast verify --golden g.rgf q.gguf

# every logit kept: the same digits
expect 0 recast verify "$sample" --record all.rgf --text text --top-k all --quiet
expect 0 recast verify --golden all.rgf q.gguf --max-kl 1 --json g.json
[ "$(field '.behaviour.kl | @json' g.json)" = "$(field '.behaviour.kl | @json' full.json)" ] || fail 'top-k all is not the full comparison'

# 10,000 tokens in less than 2 MB
expect 0 recast verify "$sample" --record big.rgf --text "$sample/heldout.txt" --ctx 512 --quiet
n=$(recast tokenize "$sample" -f "$sample/heldout.txt" | wc -w)
[ "$n" -ge 10000 ] || fail "the text has $n tokens only"
[ "$(stat -c %s big.rgf)" -lt $((2000000 * n / 10000)) ] || fail "big.rgf has $(stat -c %s big.rgf) bytes"

# damaged, cut, of another model, not there
cp g.rgf bad.rgf
printf '\377' | dd of=bad.rgf bs=1 seek=$(($(stat -c %s g.rgf) / 2)) conv=notrunc status=none
expect 80 recast verify --golden bad.rgf fp8
says err 'bad.rgf'
head -c 1000 g.rgf >cut.rgf
expect 65 recast verify --golden cut.rgf fp8
expect 65 recast verify --golden text fp8
# sealed, but its text is cut otherwise than its header says
expect 65 recast verify --golden "$ROOT/tests/fuzz/seeds/golden/other_stride.rgf" "$sample"
says err 'other_stride.rgf: the text of the golden file'
expect 66 recast verify --golden nowhere fp8
tiny other
expect 82 recast verify --golden g.rgf other
says err 'vocab_size'

# misuse
expect 64 recast verify --golden g.rgf fp8 --text text
expect 64 recast verify --golden g.rgf "$sample" fp8
expect 64 recast verify "$sample" --record g2.rgf
expect 64 recast verify "$sample" --record g2.rgf --text text --top-k 3
[ ! -e g2.rgf ] || fail 'a golden file after misuse'
echo ok
