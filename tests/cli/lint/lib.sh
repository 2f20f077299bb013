#!/bin/bash
# tests/cli/lint/lib.sh - for the tests of lint: what a rule says of a model, and which rules were
# seen to say something.
. "$ROOT/tests/cli/input/lib.sh"

# finds RULE VERDICT MODEL [OPTION..]: the rule's own engine judges so, and the exit status agrees;
# what the finding says is in ./found
finds() {
    local rule=$1 verdict=$2 model=$3 got
    shift 3
    recast lint "$model" --for "${rule%%/*}" --json "$@" >out 2>err
    got=$?
    [ ! -s err ] || fail "lint $model spoke on stderr"
    jq -e ".engines[0].accepted == ($got == 0) and $got <= 1" out >/dev/null || fail "status $got, and: $(cat out)"
    jq -c --arg r "$rule" '.engines[0].rules[] | select(.id == $r)' out >found
    [ "$(jq -r .verdict found)" = "$verdict" ] ||
        fail "$rule of $model: want $verdict, got $(cat found); failing: $(jq -c '[.engines[0].rules[] | select(.verdict == "fails") | .id]' out)"
    echo "$rule" >>tripped
}

# alone: nothing else failed
alone() {
    jq -e '[.engines[0].rules[] | select(.verdict == "fails")] | length <= 1' out >/dev/null ||
        fail "more than one rule fails: $(jq -c '[.engines[0].rules[] | select(.verdict == "fails") | .id]' out)"
}

# accepted ENGINE MODEL [OPTION..]: no rule fails, none warns
accepted() {
    local engine=$1
    shift
    expect 0 recast lint --for "$engine" --strict "$@"
    says out "^$engine +accepts: "
}

# all_tripped ENGINE..: every rule of theirs was seen to find something; `among` and `but` are patterns of ids
all_tripped() {
    local engine
    sort -u tripped >seen
    for engine in "$@"; do
        recast lint --rules --json --for "$engine" | jq -r '.engines[].rules[].id' | { grep -E "${among:-.}" || true; } |
            { grep -vE "${but:-^$}" || true; } | sort | comm -23 - seen >unseen
        [ ! -s unseen ] || fail "rules that no case of this test trips: $(tr '\n' ' ' <unseen)"
    done
}
