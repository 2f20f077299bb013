#!/bin/bash
# recast tokenize: text to ids and back, from a folder, a file and a GGUF file; what it says when
# there is nothing to read text with.
. "$ROOT/tests/cli/lib.sh"
tiny src
printf 'Hello, 1234 <think>\xff\xf0\x9f\xa9\n\n  x' >text
tok() { expect 0 recast tokenize "$@"; }

# The same ids wherever the vocabulary and the text come from
tok src -f text && cp out ids
grep -qE '^[0-9]+( [0-9]+)*$' ids || fail 'not a line of ids'
tok src/tokenizer.json -f text && cmp -s out ids || fail 'another by its file'
(cd src && expect 0 recast tokenize tokenizer.json -f ../text && cmp -s out ../ids) || fail 'in its folder'
tok src --file=text && cmp -s out ids || fail '--file'
recast tokenize src <text >out 2>err && cmp -s out ids || fail 'standard input'
recast tokenize src -f - <text >out 2>err && cmp -s out ids || fail '-'
cp src/tokenizer.json alone.json && tok alone.json -f text && cmp -s out ids || fail 'another name'
mkdir only && cp src/tokenizer.json only && tok only -f text && cmp -s out ids || fail 'no weights'
expect 0 recast convert src m.gguf --to gguf:mxfp4 --draft drop --quiet
tok m.gguf -f text && cmp -s out ids || fail 'GGUF gives other ids'

# And back, byte for byte
tok src --ids "$(cat ids)" && cmp -s out text || fail '--ids'
tok src --ids "$(tr ' ' , <ids)" && cmp -s out text || fail '--ids with commas'
recast tokenize src --ids - <ids >out 2>err && cmp -s out text || fail '--ids -'
recast tokenize src --text <text >out 2>err && cmp -s out text || fail '--text'
recast tokenize src </dev/null >out 2>err && [ "$(cat out)" = "" ] || fail 'an empty text'

# A line for each token, and JSON
tok src -f text --pieces
[ "$(wc -l <out)" -eq "$(wc -w <ids)" ] && [ "$(cut -f1 out | paste -sd ' ')" = "$(cat ids)" ] || fail '--pieces'
says out '<think>$' '\\xff' '\\x0a'
tok src -f text --json --pieces
[ "$(jq -c '[.bytes, .tokens, (.ids | map(tostring) | join(" ")), (.pieces | length)]' out)" = \
    "[$(stat -c %s text),$(wc -w <ids),\"$(cat ids)\",$(wc -w <ids)]" ] || fail '--json'
tok src --ids "$(cat ids)" --json
[ "$(jq -r .text out)" = 'Hello, 1234 <think>\xff\xf0\x9f\xa9\x0a\x0a  x' ] || fail '--ids --json'

# Misuse
misuse() {
    local pattern=$1
    shift
    expect 64 recast tokenize "$@"
    says err "$pattern"
}
misuse 'too few arguments'
misuse 'needs a value that is not empty' src -p ''
misuse 'different inputs' src -p a -f text
misuse 'different inputs' src --ids 1 --messages text
misuse "'9999999' is not an id of this vocabulary, 0 to [0-9]+" src --ids 1,9999999
misuse "'x' is not an id" src --ids x
misuse "'-1' is not an id" src --ids -1
misuse "'18446744073709551617' is not an id" src --ids 18446744073709551617
misuse '--ids gives text' src --ids 1 --text
misuse 'goes with --chat' src -p a --system s
misuse 'goes with --chat' src -p a --think
misuse 'goes with --think' src -p a --chat --effort max
misuse "unknown option '--x'" src -x
misuse '-p|--prompt needs a value' src -p

# Nothing to read text with
expect 66 recast tokenize nothing -p a
expect 66 recast tokenize src/encoding -p a
says err 'tokenizer.json: not there' '^recast: hint: .*--tokens'
expect 66 recast tokenize src -f nothing
says err 'nothing: '
printf '{"model": 1}' >bad.json
expect 65 recast tokenize bad.json -p a
jq '.normalizer = {type: "NFC"}' src/tokenizer.json >other.json
expect 69 recast tokenize other.json -p a
says err 'a normalizer'
jq '.pre_tokenizer.pretokenizers |= .[1:]' src/tokenizer.json >other.json
expect 69 recast tokenize other.json -p a
says err 'pre-tokenizer'
jq '.model.vocab |= del(.a) | .model.merges = []' src/tokenizer.json >other.json
expect 65 recast tokenize other.json -p banana
says err 'no token for byte 0x61'
