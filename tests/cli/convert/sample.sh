#!/bin/bash
# The sample model: small, but trained, so its weights and scales are what training makes.
. "$ROOT/tests/cli/lib.sh"
src=$ROOT/tests/data/sample

expect 0 recast inspect "$src" --json
jq -e '.whole and .layers.window > 0 and .layers.csa > 0 and .layers.hca > 0' out >jq.out || fail "layers"
jq -e '.layers.hash > 0 and .layers.scored > 0' out >jq.out || fail "routing"
[ "$(du -sk "$src" | cut -f1)" -lt 10240 ] || fail "too large for a repository"

for to in fp8 "fp8 --scale-dtype e8m0" bf16; do
    rm -rf d
    # shellcheck disable=SC2086
    expect 0 recast convert "$src" d --to $to
    says out 'exact +(all [0-9]+ tiles|no weight)'
    expect 0 recast verify "$src" d
    says out 'verdict: EXACT'
done
expect 0 recast convert "$src" sample.gguf --to gguf:bf16
expect 0 recast verify "$src" sample.gguf
expect 0 recast inspect sample.gguf
says out 'tokenizer +gpt2, joyai-llm: 1,536 tokens'
expect 0 recast convert "$src" small.gguf --to gguf
expect 0 recast verify "$src" small.gguf --min-sqnr 40
