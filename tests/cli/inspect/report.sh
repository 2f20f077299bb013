#!/bin/bash
# What inspect says of whole checkpoints: table, JSON, listing; headers are all it reads.
. "$ROOT/tests/cli/lib.sh"
tiny src

expect 0 recast inspect src
says out 'V4 \(custom sizes\)' 'window.*CSA.*HCA.*routing' '^  draft +MTP, 1 block' 'packed FP4' 'total_size agrees' \
    '^  role +tensors' '^  expert ' '^  F8_E4M3 ' 'whole: every tensor'
expect 0 recast inspect src --quiet
[ ! -s out ] || fail "--quiet speaks"

expect 0 recast inspect src --json
jq -e '.whole and .problems.total == 0 and .problems.first == [] and .index.says == "agrees"' out >jq.out || fail "whole"
jq -e '.index.total_size == .bytes and ([.shards[].tensors] | add) == .tensors' out >jq.out || fail "index, shards"
jq -e '([.dtypes[].bytes] | add) == .bytes and ([.roles[].bytes] | add) == .bytes' out >jq.out || fail "bytes add up"
jq -e '([.roles[].tensors] | add) == .tensors and ([.dtypes[].tensors] | add) == .tensors' out >jq.out || fail "tensors add up"
jq -e '.layers | .window + .csa + .hca == 5 and .hash + .scored == 5' out >jq.out || fail "layers"
jq -e '.parameters.active < .parameters.main and .parameters.draft > 0' out >jq.out || fail "parameters"
jq -e '.storage == {"experts":"fp4","expert_scale":"F8_E8M0","dense":"fp8","dense_scale":"F8_E8M0"}' out >jq.out || fail "storage"
[ "$(jq .file_bytes out)" -eq "$(cat src/*.safetensors | wc -c)" ] || fail "file_bytes"

expect 0 recast inspect src --tensors 'layers.1.ffn.experts.0.*' --tensors head.weight
[ "$(wc -l <out)" -eq 7 ] || fail "listing"
expect 0 recast inspect src --tensors 'layers.1.ffn.experts.0.*' --json
jq -e 'length == 6 and all(.bytes > 0 and .offset > 0 and (.shape | length) == 2)' out >jq.out || fail "listing as JSON"
expect 64 recast inspect src --tensors 'nothing.*'

# the published figures of the releases, from headers alone
expect 0 recast synth pro --like pro-0813 --hollow --quiet
expect 0 recast inspect pro --json
jq -e '.tensors == 149782 and .bytes == 892727580904 and .draft == {"kind":"DSpark","blocks":3}' out >jq.out || fail "pro"
expect 0 recast synth flash --like flash --hollow --quiet
expect 0 recast inspect flash --json
jq -e '.tensors == 69187 and .bytes == 159609485896 and .layers == {"window":2,"csa":21,"hca":20,"hash":3,"scored":40}' out >jq.out || fail "flash"
jq -e '.parameters.main / 1e9 | . > 283 and . < 285' out >jq.out || fail "284 B in all"
jq -e '.parameters.active / 1e9 | . > 12.5 and . < 13.5' out >jq.out || fail "13 B active"
