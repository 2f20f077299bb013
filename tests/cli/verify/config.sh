#!/bin/bash
# What loaders will make of CONVERTED: its config, its index, the files beside it.
. "$ROOT/tests/cli/lib.sh"
tiny src
expect 0 recast convert src good --to fp8

# edit JQ-PROGRAM: a copy with another config
edit() {
    rm -rf bad
    cp -r good bad
    jq "$1" good/config.json >bad/config.json
}

edit '.rope_theta = 10000.0 | .rms_norm_eps = 0.000001' # other spellings of the same
expect 0 recast verify src bad
edit '.rope_theta = 20000'
expect 1 recast verify src bad
says err "bad/config.json: 'rope_theta' .*want 10000, got 20000"
edit '.rope_scaling.factor = 8'
expect 1 recast verify src bad
says err "'rope_scaling.factor'"
edit 'del(.expert_dtype)'
expect 0 recast verify src bad
says err 'warning: bad/config.json: expert_dtype is absent'
expect 82 recast verify src bad --strict
edit '.expert_dtype = "fp4"'
expect 82 recast verify src bad
edit 'del(.quantization_config)'
expect 82 recast verify src bad
edit '.quantization_config.activation_scheme = "static"'
expect 1 recast verify src bad
edit 'del(.quantization_config.weight_block_size)'
expect 1 recast verify src bad
edit 'del(.quantization_config.scale_fmt)'
expect 0 recast verify src bad
says err 'warning: .*scale_fmt'
edit '.torch_dtype = "float16"'
expect 0 recast verify src bad
says out "note: .*'torch_dtype'"
edit '.novelty = {"a": [1, 2]}'
expect 0 recast verify src bad
says err "warning: .*'novelty.a\[0\]' is not in NATIVE"

rm -rf bad
cp -r good bad
rm bad/tokenizer.json bad/LICENSE
echo >>bad/generation_config.json
sed -i 's/"total_size": *[0-9]*/"total_size": 5/' bad/model.safetensors.index.json
expect 0 recast verify src bad --json r.json
says err 'warning: bad/tokenizer.json' 'warning: bad/generation_config.json' 'warning: bad/model.safetensors.index.json: total_size is 5'
says out 'note: bad/LICENSE'
jq -e '.passes and .warnings == 3 and .notes == 1 and (.findings | length) == 4' r.json >jq.out || fail "findings"
