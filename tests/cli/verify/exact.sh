#!/bin/bash
# Every layout holds the values of the source; reports are complete and repeat.
. "$ROOT/tests/cli/lib.sh"
tiny src
expect 0 recast convert src fp8 --to fp8
expect 0 recast convert src e8m0 --to fp8 --scale-dtype e8m0
expect 0 recast convert src bf16 --to bf16

for d in fp8 e8m0 bf16; do
    expect 0 recast verify src $d --json $d.json --junit $d.xml
    says out 'verdict: EXACT' '^  expert '
    [ ! -s err ] || fail "$d: there is something on stderr"
    jq -e '.verdict == "exact" and .passes and .totals.exact == .totals.parameters and .faults == 0' $d.json >jq.out || fail $d
    jq -e '(.tensors | length) == .totals.parameters' $d.json >jq.out || fail "$d: tensors"
    jq -e '.tensors | all(.exact and .max_abs_err == 0 and .rel_err == 0 and .sqnr_db == null and .cosine == 1 and .worst == null)' \
        $d.json >jq.out || fail "$d: figures"
    jq -e '([.roles[].values] | add) == .totals.values' $d.json >jq.out || fail "$d: roles"
    says $d.xml 'failures="0"' 'classname="layers.4" name="expert"' 'classname="mtp.0"'
    ! ls .*.partial ./*.partial 2>jq.out || fail "left over"
done
recast verify src e8m0 2>err | grep -q 'vLLM' || fail "no word on E8M0 scales"
[ "$(jq -r '.tensors[] | select(.name == "layers.2.ffn.experts.1.w3.weight") | .native, .converted' fp8.json | xargs)" = "FP4+E8M0 FP8+F32" ] ||
    fail "layouts"

# any two layouts: a re-pack against another
expect 0 recast verify fp8 e8m0
expect 0 recast verify e8m0 bf16

# the same report for any number of threads and any memory
expect 0 recast verify src fp8 --threads 1 --mem-limit 12M --json one.json
cmp -s one.json fp8.json || fail "report depends on threads"
expect 0 recast verify src fp8 --cpu ref --threads 3 --json ref.json
cmp -s ref.json fp8.json || fail "report depends on the processor"
expect 0 recast verify src fp8 --quiet
if [ -s out ] || [ -s err ]; then fail "--quiet speaks"; fi

expect 0 recast verify src fp8 --tensors 'layers.3.*' --tensors head.weight --json part.json
jq -e '.tensors | all((.layer == 3 and (.draft | not)) or .name == "head.weight") and length > 20' part.json >jq.out || fail "--tensors"

expect 0 recast convert src part --to fp8 --tensors 'layers.3.*'
expect 0 recast verify src part --tensors 'layers.3.*'
expect 82 recast verify src part

# no word is taken from the converter
rm fp8/recast.json fp8/recast.jsonl
expect 0 recast verify src fp8

# a draft that was left out on purpose
expect 0 recast convert src nodraft --to fp8 --draft drop
expect 82 recast verify src nodraft
says err 'draft' 'allow-missing-draft'
expect 0 recast verify src nodraft --allow-missing-draft
says out 'note: .*draft' 'verdict: EXACT'
