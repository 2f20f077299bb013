#!/bin/bash
# Recipes: --shard-size, --draft drop, --tensors, --dry-run, --json, config and side files.
. "$ROOT/tests/cli/lib.sh"
tiny src

expect 0 recast convert src plan --to fp8 --dry-run
says out '^read ' '^write ' '^space '
[ ! -e plan ] || fail "--dry-run wrote something"
expect 0 recast convert src plan --to fp8 --dry-run --json
jq -e '.tensors > 100 and .space_needed > .tensor_bytes' out >jq.out || fail "plan as JSON"

expect 0 recast convert src d --to fp8 --json
jq -e '.exact and .totals.tiles == .totals.tiles_exact' out >jq.out || fail "summary as JSON"
[ "$(jq -r .expert_dtype d/config.json)" = fp8 ] || fail "expert_dtype"
[ "$(jq -c .quantization_config src/config.json)" = "$(jq -c .quantization_config d/config.json)" ] || fail "quantization_config"
[ "$(jq -S 'del(.expert_dtype)' src/config.json | sha256sum)" = "$(jq -S 'del(.expert_dtype)' d/config.json | sha256sum)" ] || fail "config"
for f in generation_config.json tokenizer.json tokenizer_config.json LICENSE; do cmp src/$f d/$f || fail "$f"; done
diff -r src/encoding d/encoding || fail "encoding/"
lines=$(wc -l <d/recast.jsonl)
[ "$lines" -eq "$(jq .totals.parameters d/recast.json)" ] || fail "ledger lines"
# digests in the ledger are those of the bytes
jq -r 'select(.tensor=="embed.weight") | [.out.weight.bytes, .out.weight.xxh3_128] | @tsv' d/recast.jsonl >want
read -r bytes hex <want
tail -c "$bytes" d/model-00001-of-*.safetensors | xxhsum -H2 - | grep -q "$hex" || fail "digest of embed.weight"

expect 0 recast convert src b --to bf16
[ "$(jq '.quantization_config, .expert_dtype' b/config.json | sort -u)" = null ] || fail "bf16 config"

expect 0 recast convert src nodraft --to fp8 --draft drop
! grep -q '"mtp\.' nodraft/model.safetensors.index.json || fail "draft is still there"
[ "$(jq .num_nextn_predict_layers nodraft/config.json)" = 0 ] || fail "config says draft"
expect 0 recast inspect nodraft

expect 0 recast convert src small --to fp8 --shard-size 1M
[ "$(find small -name '*.safetensors' | wc -l)" -gt 8 ] || fail "--shard-size"
expect 0 recast verify src small

expect 0 recast convert src part --to fp8 --tensors 'layers.0.*' --tensors 'head.weight'
jq -e '.weight_map | keys | all(startswith("layers.0.") or . == "head.weight")' part/model.safetensors.index.json >jq.out || fail "--tensors"

# usage
expect 64 recast convert src x
expect 64 recast convert src x --to fp9
expect 64 recast convert src x --to bf16 --scale-dtype e8m0
expect 64 recast convert src x --to fp8 --thread 2
says err "did you mean '--threads'"
for t in 0 -1 1e3 8x 0x10 " 8" 999999999; do expect 64 recast convert src x --to fp8 --threads "$t"; done
for m in 0 12Q 99999999999T; do expect 64 recast convert src x --to fp8 --mem-limit $m; done
expect 64 recast convert src x --to fp8 --to bf16
expect 64 recast convert src src --to fp8
expect 64 recast convert src src/inside --to fp8
ln -s src link
expect 64 recast convert src link --to fp8
expect 64 recast convert src/encoding/.. src --to fp8
expect 73 recast convert src no/such/parent --to fp8
touch file
expect 73 recast convert src file --to fp8
expect 66 recast convert nothing x --to fp8
expect 69 recast convert b x --to fp8
expect 71 recast convert src x --to fp8 --mem-limit 1M
[ ! -e x/recast.json ] || fail "x looks finished"
mkdir -- -odd && mkdir full && touch full/thing
expect 73 recast convert src full --to fp8
says err 'is not empty'
expect 0 recast convert --to fp8 -- src -odd
