#!/bin/bash
# Every case of tests/cli/sabotage.c is caught, and located by name: by the tensors (these parameters,
# and no other), by the config (this key, and no other), and by what the model then says.
#
#   SABOTAGE_TABLE=FILE   write the rows of the table in docs/sabotage.md there
. "$ROOT/tests/cli/lib.sh"
export OMP_WAIT_POLICY=passive
sample=$ROOT/tests/data/sample
tool=$ROOT/$O/tests/cli/sabotage
[ -x "$tool" ] || { echo 'sabotage is not built'; exit 77; }
head -c 760 "$sample/heldout.txt" >text # 229 tokens: past the window, and past what the indexer may choose

# tensor FILE NAME: the bytes of a tensor of a safetensors file
tensor() {
    local n from to
    n=$(od -An -tu8 -N8 "$1" | tr -d ' ')
    read -r from to < <(head -c $((n + 8)) "$1" | tail -c "$n" | jq -r ".[\"$2\"].data_offsets | @tsv")
    tail -c +$((8 + n + from + 1)) "$1" | head -c $((to - from))
}
# what the model says of the text: NAME.logits, and after each layer NAME.0 NAME.1 NAME.2
run() {
    expect 0 recast run "$2" -f text --logits "$1.st" --trace "$1.trace" --quiet
    tensor "$1.st" logits >"$1.logits"
    for l in 0 1 2; do tensor "$1.trace" "hidden.$l" >"$1.$l"; done
    rm "$1.st" "$1.trace"
}

# Tensor by tensor: out.json. Sets `found`.
by_tensors() {
    local name=$1 shows=$2 damaged=$3 want got
    want=$(echo "$damaged" | tr , '\n' | sort)
    expect "$([ "$shows" = refused ] && echo 82 || echo 1)" recast verify "$sample" bad --json out.json
    got=$(jq -r '(.tensors[] | select(.exact | not) | .name),
                 (.findings[] | select(.level == "fault" and .topic == "config") |
                    "config:" + (.message | capture("^.(?<key>[^\u0027]*).").key))' out.json | sort)
    [ "$got" = "$want" ] || fail "$name: found '$got', want '$want'"
    found=$(jq -r '[.tensors[] | select(.exact | not)] | if . == [] then "config" else
                   "worst " + (map(.sqnr_db) | if any(. == null) then "none" else "\(min | round) dB" end) end' out.json)
    case $shows:$damaged in
    refused:*) says err 'layers.0.ffn.gate.tid2eid: .*wrong shape' ;;
    *:config:*) says err "config.json: .*'${damaged#config:}' is not as in NATIVE" ;;
    *) says err "$(echo "$damaged" | tr , '|' | sed 's/\./\\./g')" ;;
    esac
}

# What it does to the model: no layer before `layer` differs by a bit, that one does.
by_running() {
    local name=$1 layer=$2 shows=$3
    [ "$shows" = refused ] && { expect 82 recast run bad -f text --logits bad.st --quiet; return; }
    run bad bad
    for l in 0 1 2; do
        cmp -s "good.$l" "bad.$l" || break
        l=3
    done
    case $shows in
    nothing) cmp -s good.logits bad.logits || fail "$name: seen in the logits" ;;
    rounding) ! cmp -s good.logits bad.logits || fail "$name: not even rounding differs" ;;
    logits) [ "$l" -eq 3 ] && ! cmp -s good.logits bad.logits || fail "$name: seen in layer $l" ;;
    *) [ "$l" -eq "$layer" ] && ! cmp -s good.logits bad.logits || fail "$name: first seen in layer $l, want $layer" ;;
    esac
}

run good "$sample"
"$tool" --list >cases
[ "$(wc -l <cases)" -ge 26 ] || fail "$(wc -l <cases) cases"
[ "$(cut -f1 cases | sort | uniq -d)" = '' ] || fail 'two cases of one name'
rm -f table
while IFS=$'\t' read -r name role layer shows damaged what; do
    "$tool" "$name" "$sample" bad || fail "$name"
    by_tensors "$name" "$shows" "$damaged"
    by_running "$name" "$layer" "$shows"
    echo "| $name | $what | $role | $layer $shows | ${damaged//,/, } | $found |" >>table
    rm -r bad
done <cases
"$tool" nothing "$sample" bad 2>/dev/null && fail 'a case that is none'
[ ! -e bad ] || fail 'a folder for a case that is none'
[ -z "${SABOTAGE_TABLE:-}" ] || cp table "$SABOTAGE_TABLE"
