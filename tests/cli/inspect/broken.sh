#!/bin/bash
# A set that is not whole: everything is listed, then one error line and status 82.
. "$ROOT/tests/cli/lib.sh"
tiny src

# renamed FROM TO: one tensor under another name, in its shard and in the index
renamed() {
    LC_ALL=C sed -i "s/\"$1\"/\"$2\"/" bad/*.safetensors bad/model.safetensors.index.json
}

cp -r src bad
renamed layers.1.attn.q_norm.weight layers.1.attn.x_norm.weight
expect 82 recast inspect bad
says out 'NOT WHOLE: 2 problems' 'missing +layers.1.attn.q_norm.weight' 'extra +layers.1.attn.x_norm.weight'
says err 'layers.1.attn.q_norm.weight.*\[tensor-set/82\]'
expect 82 recast inspect bad --json
jq -e '(.whole | not) and .problems.total == 2 and (.problems.first | map(.kind) == ["missing", "extra"])' out >jq.out || fail "JSON"

rm -r bad && cp -r src bad # more than are shown
for e in 0 1 2 3 4 5 6 7; do
    for w in w1 w2 w3; do renamed layers.2.ffn.experts.$e.$w.weight layers.9.ffn.experts.$e.$w.weight; done
done
expect 82 recast inspect bad
says out 'NOT WHOLE: 48 problems' 'and 28 more'

rm -r bad && cp -r src bad
sed -i 's/"expert_dtype": "fp4"/"expert_dtype": "fp8"/' bad/config.json
expect 82 recast inspect bad
says err 'expert_dtype contradicts'

rm -r bad && cp -r src bad
sed -i 's/"total_size": *[0-9]*/"total_size": 5/' bad/model.safetensors.index.json
expect 0 recast inspect bad
says out 'total_size is WRONG'
says err 'warning: .*total_size is 5'
expect 82 recast inspect bad --strict

expect 66 recast inspect nothing
expect 66 recast inspect src/config.json
expect 64 recast inspect
expect 64 recast inspect src --jsn
says err "did you mean '--json'"
