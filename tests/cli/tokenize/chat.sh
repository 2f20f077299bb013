#!/bin/bash
# recast tokenize --chat and --messages: the release's own cases, and one question.
. "$ROOT/tests/cli/lib.sh"
tiny src
data=$ROOT/tests/data/encoding
tok() { expect 0 recast tokenize "$@"; }

for i in 1 2 3 4; do
    think=--think
    [ $i -ne 4 ] || think=
    # shellcheck disable=SC2086
    tok src --messages "$data/test_input_$i.json" $think --text
    cmp -s out "$data/test_output_$i.txt" || fail "case $i"
    # shellcheck disable=SC2086
    tok src --messages "$data/test_input_$i.json" $think && cp out ids
    tok src --ids "$(cat ids)" && cmp -s out "$data/test_output_$i.txt" || fail "case $i as ids"
done
recast tokenize src --messages - --text <"$data/test_input_4.json" >out 2>err
cmp -s out "$data/test_output_4.txt" || fail 'standard input'

prompt() { [ "$(cat out)" = "$1" ] || fail "$(cat out), not $1"; }
bos='<｜begin▁of▁sentence｜>'
tok src --chat -p Hi --text && prompt "$bos<｜User｜>Hi<｜Assistant｜></think>"
tok src --chat -p Hi --system S --think --text && prompt "${bos}S<｜User｜>Hi<｜Assistant｜><think>"
tok src --chat -p Hi --think --effort high --text && prompt "$bos<｜User｜>Hi<｜Assistant｜><think>"
tok src --chat -p Hi --think --effort max --text && says out 'Reasoning Effort: Absolute maximum'
# Each special token is one id
tok src --chat -p Hi --pieces
[ "$(grep -cE '	(<｜.*｜>|</think>)$' out)" -eq 4 ] || fail 'special tokens'

printf '[{"role":"user","content":"a"},{"role":"assistant","reasoning_content":"R"},{"role":"user"}]' >talk.json
tok src --messages talk.json --think --text && ! grep -q R out || fail 'reasoning is kept'
tok src --messages talk.json --think --keep-reasoning --text && says out '<think>R</think>'
printf '[{"role":"owl"}]' >talk.json
expect 65 recast tokenize src --messages talk.json
says err 'talk.json: @9: unknown role: "owl"'
expect 64 recast tokenize src --messages talk.json --chat
expect 64 recast tokenize src --messages talk.json --system S
expect 64 recast tokenize src -p a --keep-reasoning
