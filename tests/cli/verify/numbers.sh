#!/bin/bash
# A conversion whose weights hold a NaN differs: status 1, named, and in every report. NATIVE with
# one is no measure.
. "$ROOT/tests/cli/lib.sh"
sample=$ROOT/tests/data/sample
head -c 300 "$sample/heldout.txt" >text
expect 0 recast verify "$sample" --record g.rgf --text text --quiet
cp -r "$sample" bad
expect 0 recast inspect bad --tensors layers.1.attn.attn_sink --json
shard=$(jq -r '.[0].shard' out)
printf '\377\377\377\377' | dd of="bad/$shard" bs=1 seek="$(jq '.[0].offset' out)" conv=notrunc 2>dd.log

reports="--json r.json --junit r.xml --html r.html --md r.md"
for how in "$sample bad --logits --text text --layers --ablate" "--golden g.rgf bad" \
    "$sample bad --logits --text text --skip-tensors"; do
    rm -f r.*
    # shellcheck disable=SC2086 # options and their values
    expect 1 recast verify $how --max-kl 100 --ci $reports
    says err "bad/$shard: layers.1.attn.attn_sink: .*\[differs/1\]"
    says out 'verdict: DIFFERS' '^::error '
    jq -e '.verdict == "differs" and (.passes | not) and .faults >= 1' r.json >jq.out || fail 'JSON'
    says r.xml '<failure message=.*attn_sink'
    says r.html 'attn_sink'
    says r.md 'differs'
done
expect 81 recast verify bad "$sample" --logits --text text --skip-tensors
says err "bad/$shard"
expect 81 recast verify bad --record h.rgf --text text
says err "bad/$shard"

# so is the one of two that is too short for the text
cp -r "$sample" short
sed -i 's/"max_position_embeddings": 4096/"max_position_embeddings": 8/' short/config.json
expect 64 recast verify "$sample" short --logits --text text --skip-tensors
says err 'short/config.json: .* positions are more'
expect 64 recast verify --golden g.rgf short
says err 'short/config.json: .* positions are more'
