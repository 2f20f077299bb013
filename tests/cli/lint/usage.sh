#!/bin/bash
# Options, exit codes and the forms of the report; that the rules are in docs/lint.md.
. "$ROOT/tests/cli/lint/lib.sh"
tiny src

expect 0 recast lint --help
says out 'usage: recast lint MODEL' '--for vllm\|sglang\|llama.cpp\|ds4\|all' '--tp N' 'docs/lint.md'
expect 64 recast lint
expect 64 recast lint src --for ollama
says err 'want one of vllm'
expect 64 recast lint src --tp 0
expect 64 recast lint src --tp 5000
expect 64 recast lint src --rules
expect 64 recast lint src src

# nobody named: a survey, and one that accepts is enough
expect 0 recast lint src
[ "$(wc -l <out)" -eq 2 ] || fail "more than a line an engine: $(cat out)"
expect 0 recast lint src --for vllm --for sglang --tp 2
says out '^vllm +accepts: [0-9]+ rules$' '^sglang +accepts' 'note +vllm/draft'
expect 1 recast lint src --for vllm --for ds4
says out '^ds4 +FAILS: 1 of' 'fails +ds4/container' 'do: recast convert'
fresh x
edit_json x/config.json '.expert_dtype = "fp8"'
expect 0 recast lint x # SGLang takes it
says out '^vllm +FAILS: 1 of [0-9]+ rules' 'fails +vllm/expert-dtype: expert_dtype is not' 'want fp4, got fp8'
expect 1 recast lint x --for all --quiet
[ ! -s out ] || fail "--quiet speaks"
expect 0 recast lint src --for vllm --verbose
says out 'ok +vllm/model-type' 'skipped +vllm/tp-heads: one rank' 'vllm-project/vllm: vllm/models/deepseek_v4/.*commit'
[ "$(grep -cE '^  (ok|note|skipped|warning|fails) ' out)" -eq "$(recast lint --rules --for vllm | grep -c '^vllm/')" ] ||
    fail "--verbose does not list every rule"
edit_json x/config.json '.expert_dtype = "fp4" | del(.quantization_config.fmt)'
expect 0 recast lint x --for vllm
says out '^vllm +accepts: [0-9]+ rules, 1 warning$' 'warning +vllm/scale-fmt: fmt is missing'
expect 82 recast lint x --for vllm --strict
says err 'warnings are errors under --strict'

# the machine's form
expect 0 recast lint src --for vllm --tp 2 --json
jq -e '.recast and .source == "src" and .tp == 2 and .accepted and (.engines | length == 1)
    and (.engines[0] | .engine == "vllm" and .accepted and .worst == "note" and .failures == 0)
    and (.engines[0].rules | all(.id and .verdict and .catches and .source.repo and (.count >= 0)))' out >/dev/null ||
    fail "the JSON: $(cat out)"
expect 0 recast lint src --json
jq -e '.tp == null and ([.engines[].engine] == ["vllm", "sglang"])' out >/dev/null || fail "$(cat out)"

# what cannot be read
expect 66 recast lint nowhere --for vllm
fresh x && rm x/config.json && expect 66 recast lint x
fresh x && rm x/model-00002-of-*.safetensors && expect 66 recast lint x
f='model-00002-of-00008.safetensors'
fresh x && rm x/$f && head -c -1 src/$f >x/$f && expect 65 recast lint x
fresh x && poke x/config.json 0 '[' && expect 65 recast lint x

fresh x && edit_json x/config.json '.model_type = "deepseek_v41"' && expect 69 recast lint x
says err 'V4.1'
mkdir empty && expect 66 recast lint empty

# a few megabytes of any model, in little memory
if recast synth big --like pro-0813 --hollow --quiet 2>err; then
    (
        [ "$sanitized" ] || ulimit -v 300000
        expect 0 recast lint big --for vllm --tp 8
    ) || exit 1
fi

# the document names every rule, and no other
# shellcheck disable=SC2016
{
    recast lint --rules --json | jq -r '.engines[].rules[].id' | sort >ids
    grep -oE '^\| `(vllm|sglang|llama\.cpp|ds4)/[a-z0-9-]+`' "$ROOT/docs/lint.md" | tr -d '|` ' | sort >documented
}
cmp ids documented || { diff ids documented; fail "docs/lint.md and the rules differ"; }
