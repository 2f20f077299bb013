#!/bin/bash
# J05 J06: text from the input is data in every message and listing: escaped, cut, never a
# format. One JSON object a line with --errors=json; a full device is an error.
. "$ROOT/tests/cli/input/lib.sh"
tiny src

# clean FILE: printable bytes and line ends only
clean() {
    if LC_ALL=C grep -qP '[^\x20-\x7e\xc2-\xf4\x80-\xbf]|\xc2[\x80-\x9f]|\xe2\x80[\xaa-\xae]' "$1"; then
        cat -v "$1"
        fail "$1 holds bytes that a terminal obeys"
    fi
}
n=0
# '\u0085' is a C1 control, U+202E turns text round, U+200B hides
for name in 'a\nb' 'a\u001b[31mred' 'a\u0007' 'a\u0085b' 'a\u202eb' 'a\u200bb' '%n%s%x%1000000d' 'a\\b' 'naïve' 'a\u007fb'; do
    fresh x
    # shellcheck disable=SC2016
    rewrite_header x/model-00001-of-00008.safetensors \
        'with_entries(if .key == "embed.weight" then .key = $n else . end)' --arg n "$(jq -nj "\"$name\"")"
    # shellcheck disable=SC2016
    edit_json x/$index '.weight_map |= with_entries(if .key == "embed.weight" then .key = $n else . end)' \
        --arg n "$(jq -nj "\"$name\"")"
    for args in "inspect x" "inspect x --tensors * --quiet" "convert x y --to fp8" "verify x src" "verify src x"; do
        # shellcheck disable=SC2086
        (set -f && recast $args >out 2>err)
        [ $? -eq 82 ] || fail "$args with a tensor named $name"
        clean out
        clean err
        # shellcheck disable=SC2086
        (set -f && recast $args --errors=json --json report.json >out 2>err)
        recast inspect x --errors=json >out 2>err
        clean err
        jq -es 'length >= 1 and all(type == "object") and (map(select(.level == "error")) | length == 1 and .[0].code == 82 and .[0].class == "tensor-set")' err >jq.out || fail "--errors=json: $name"
    done
    expect 82 recast inspect x
    n=$((n + 1))
done
fresh x && edit_json x/$index '.weight_map["%n%s%n"] = "../%n\u001b]0;owned\u0007"'
refuses 83 x '%n%s%n' '\.\./%n.x1b\]0;owned.x07'
# a long name is cut, in text and in JSON
long=$(zeros 4000 | tr '\0' n)
fresh x && add_tensor x model-00001-of-00008.safetensors "$long" BF16 '[1]' 2
expect 82 recast inspect x
one_line 82 'nnnn\.\.'
[ "$(wc -c <err)" -lt 2000 ] || fail 'a message of any length'
# names in the shell's hands: options, arguments, paths
for name in $'new\nline' $'esc\e[31m' '%n%s' $'bad\xff' '../..'; do
    recast inspect "no/$name" >out 2>err
    [ $? -eq 66 ] || fail "inspect $name"
    clean err && [ "$(wc -l <err)" -le 2 ] || fail 'an error is one line'
    recast inspect src "--$name" >out 2>err
    [ $? -eq 64 ] || fail "option --$name"
    clean err && [ "$(wc -l <err)" -le 2 ] || fail 'an error is one line'
    recast "$name" >out 2>err
    [ $? -eq 64 ] || fail "command $name"
    clean err && [ "$(wc -l <err)" -le 2 ] || fail 'an error is one line'
done

# --errors=json: every failing command, one object a line, the same facts
json() {
    expect_json=$1
    shift
    recast "$@" --errors=json >out 2>err
    [ $? -eq "$expect_json" ] || fail "$* --errors=json"
    jq -es --argjson c "$expect_json" 'map(select(.level == "error")) | length == 1 and .[0].code == $c and (.[0].message | length > 0) and (.[0].resumable | type == "boolean")' err >jq.out || fail "$*: not the JSON that was promised"
}
json 66 inspect nothing
json 73 convert src no/such/parent --to fp8
json 64 convert src y
json 64 convert src
json 64 convert src y --to fp9
json 64 inspect src --thread
json 64 verify src src
fresh x && truncate -s 17M x/config.json.big && mv x/config.json.big x/config.json
json 84 inspect x
jq -e '.file == "config.json" and .want and .got' err >jq.out || fail 'want and got'
fresh x && head -c 100000 src/model-00001-of-00008.safetensors >x/t && mv x/t x/model-00001-of-00008.safetensors
json 65 convert x y --to fp8
jq -e '.file == "model-00001-of-00008.safetensors" and .tensor == "embed.weight" and .offset == 100000 and .hint' err >jq.out || fail 'offset'

# --quiet: errors only. F31: a full device. F11 F08: pipes
expect 0 recast inspect src --quiet
[ ! -s err ] || fail '--quiet'
for args in 'inspect src' 'inspect src --json' 'convert src y --to fp8 --dry-run' '--help' 'inspect --help' 'verify src d'; do
    [ -e d ] || expect 0 recast convert src d --to fp8
    # shellcheck disable=SC2086
    recast $args >/dev/full 2>err
    [ $? -eq 74 ] || fail "$args >/dev/full"
done
recast inspect src >/dev/full 2>/dev/full
[ $? -eq 74 ] || fail 'both full'
# H14: no escapes where nobody looks
expect 0 recast convert src z --to fp8
clean out && clean err
