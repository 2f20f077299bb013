#!/bin/bash
# One bit is found and named: status 1, shard, tensor, byte, place. Bounds accept what
# they say they accept, and a broken set is not mere difference.
. "$ROOT/tests/cli/lib.sh"
tiny src
expect 0 recast convert src good --to fp8

# flip DIR TENSOR BYTE: invert the lowest bit of one byte; prints its offset in the shard
flip() {
    local shard at old
    expect 0 recast inspect "$1" --tensors "$2" --json
    shard=$(jq -r '.[0].shard' out)
    at=$(($(jq '.[0].offset' out) + $3))
    old=$(od -An -tu1 -j "$at" -N 1 "$1/$shard" | tr -d ' ')
    # shellcheck disable=SC2059
    printf "\\$(printf %o $((old ^ 1)))" | dd of="$1/$shard" bs=1 seek="$at" conv=notrunc 2>>dd.log
    echo "$at" >offset
}

tensor=layers.2.ffn.experts.3.w2.weight
cp -r good bad
flip bad $tensor 1000
expect 1 recast verify src bad --json r.json --junit r.xml
says out 'verdict: DIFFERS' '1 of [0-9]+ parameters differ' "$tensor: 1 of 65,536 values differs; max error .* at row 3, column 232"
says err "bad/model-.*safetensors: $tensor: @$(cat offset): .*\[differs/1\]"
[ "$(grep -c 'recast: error: ' err)" -eq 1 ] || fail "one error line"
jq -e '.verdict == "differs" and (.passes | not) and .totals.failed == 1 and .totals.differ == 1' r.json >jq.out || fail "totals"
[ "$(jq -c '.tensors[] | select(.exact | not) | [.name, .differ, .worst.row, .worst.column, .worst.offset]' r.json)" = \
    "[\"$tensor\",1,3,232,$(cat offset)]" ] || fail "tensor in the report"
says r.xml 'failures="1"' "<failure message=\"1 of 24 parameters; worst $tensor"
expect 1 recast verify src bad --quiet
[ ! -s out ] || fail "--quiet speaks"

# elsewhere it does not matter; within bounds it is accepted, and told
expect 0 recast verify src bad --tensors 'layers.1.*'
expect 0 recast verify src bad --min-sqnr 30
says out 'WITHIN BOUNDS'
expect 1 recast verify src bad --min-sqnr 300
says out 'out of bounds'
expect 0 recast verify src bad --max-rel-err 0.1
expect 1 recast verify src bad --max-rel-err 1e-9
expect 1 recast verify src bad --min-sqnr 30 --max-rel-err 1e-9

# worst first
flip bad head.weight 401
flip bad layers.0.ffn.gate.tid2eid 16
expect 1 recast verify src bad
says out '3 of [0-9]+ parameters differ'
sed -n '/Worst first/,$p' out | sed -n 2p | grep -q tid2eid || fail "worst is not first"
says err 'tid2eid.*3 such parameters'

# a set that is not the source's
rm -r bad && cp -r good bad
LC_ALL=C sed -i 's/"layers.1.attn.q_norm.weight"/"layers.1.attn.x_norm.weight"/' bad/*.safetensors bad/model.safetensors.index.json
expect 82 recast verify src bad
says out 'BROKEN SET' 'layers.1.attn.q_norm.weight: .*missing' 'layers.1.attn.x_norm.weight: .*unknown'
says err 'q_norm.*\[tensor-set/82\]'
expect 82 recast verify bad good
says err 'bad/.*NATIVE cannot be the measure|bad/.*q_norm'
rm -r bad && cp -r good bad
expect 66 recast verify src nothing
shard=$(find bad -name '*.safetensors' | sort | tail -1)
truncate -s -1 "$shard"
expect 65 recast verify src bad
says err "$(basename "$shard")"
