#!/bin/bash
# One outcome in every form: JSON, JUnit, HTML, Markdown, annotations.
. "$ROOT/tests/cli/lib.sh"
sample=$ROOT/tests/data/sample
head -c 1500 "$sample/heldout.txt" >text
expect 0 recast convert "$sample" q.gguf --to gguf:q2_k --quiet
expect 1 recast verify "$sample" q.gguf --logits --text text --layers --ablate --max-kl 0.001 --ci \
    --json r.json --junit r.xml --html r.html --md r.md
says out '::error' 'max-kl'
jq -e '.gates[] | select(.gate == "max-kl") | .passes == false' r.json >/dev/null || fail 'the gate in JSON'
jq -e '.ablation.groups | length > 0' r.json >/dev/null || fail 'ablation in JSON'
jq -e '.layers.at | length == 3' r.json >/dev/null || fail 'layers in JSON'
says r.xml '<testsuite' 'max-kl' '<failure'
says r.html '<!DOCTYPE html>' '<svg' 'max-kl' 'prefers-color-scheme' '@media print'
grep -qE 'https?://[^w]' r.html && fail 'the page asks the network for something'
says r.md '^\| ' 'max-kl'
expect 1 recast verify "$sample" q.gguf --logits --text text --layers --ablate --max-kl 0.001 --ci --html again.html --threads 1 --quiet
cmp r.html again.html || fail 'the same outcome, another page'

# a golden file's outcome has no tensors
expect 0 recast verify "$sample" --record g.rgf --text text --quiet
expect 1 recast verify --golden g.rgf q.gguf --max-kl 0.001 --json g.json --junit g.xml --html g.html --md g.md --ci
says g.html '<svg' 'max-kl'
says g.xml '<failure'
expect 64 recast verify "$sample" q.gguf --json x --html x
expect 73 recast verify "$sample" q.gguf --html nowhere/x.html
echo ok
