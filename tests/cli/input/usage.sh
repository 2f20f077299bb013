#!/bin/bash
# H: the command line. A mistake is 64 with the value shown, before anything is read or
# written; what is not in convert/options.sh.
. "$ROOT/tests/cli/input/lib.sh"
tiny src
# usage PATTERN ARGUMENTS...
usage() {
    local pattern=$1
    shift
    expect 64 bounded "$@"
    one_line 64 "$pattern"
    [ ! -s out ] || fail "$*: misuse is told on stderr"
}

# H01 H02
# shellcheck disable=SC2119
bounded >out 2>err
[ $? -eq 64 ] && [ ! -s out ] && grep -q '^usage: recast COMMAND' err || fail 'no arguments'
for c in "" inspect convert verify synth tokenize; do
    # shellcheck disable=SC2086
    expect 0 bounded $c --help
    says out '^usage: recast'
    [ ! -s err ] || fail "$c --help"
done
expect 0 bounded --version
says out '^recast [0-9]+\.[0-9]+\.[0-9]+$'
usage "unknown command 'frobnicate'" frobnicate
usage "did you mean 'convert'" conver src x
for c in inspect convert verify synth tokenize; do
    usage "unknown option '--frobnicate'" $c --frobnicate
    usage "unknown option '--x'" $c -x
    usage 'too few arguments' $c
    usage 'an argument is empty' $c ''
    usage '--errors: .xml. is not one of text\|json' $c src --errors xml
    usage '--quiet is given twice' $c src --quiet --quiet
    usage '--quiet takes no value' $c src --quiet=yes
done
# H03
usage '--to needs a value' convert src x --to
usage '--to needs a value that is not empty' convert src x --to ''
usage '--to needs a value that is not empty' convert src x --to=
usage '--threads is given twice' convert src x --to fp8 --threads 1 --threads 1
usage '--like needs a value' synth x --like
usage '--json needs a value' verify src x --json
usage 'too many arguments' inspect src src
usage 'too many arguments' convert src x y --to fp8
usage 'too many arguments' verify src x y
usage 'too many arguments' synth x y --like tiny
# H04 H05 for every command that takes them; the value is shown
for v in 0 -1 1e3 8x 0x10 ' 8' '8 ' +8 999999999 18446744073709551617 ''; do
    for c in 'convert src x --to fp8' 'verify src x' 'synth x --like tiny'; do
        # shellcheck disable=SC2086
        usage "--threads: '${v//+/\\+}' is not|--threads needs a value" $c --threads "$v"
    done
done
for v in 0 12Q 99999999999T 18446744073709551616 -1 1.5G 1KK 1Ki G; do
    for c in 'convert src x --to fp8 --mem-limit' 'convert src x --to fp8 --shard-size' 'verify src x --mem-limit'; do
        # shellcheck disable=SC2086
        usage "'$v' is not a size" $c "$v"
    done
done
for v in nan inf x '' 1x 1e999; do usage '--min-sqnr' verify src x --min-sqnr "$v"; done
usage '--max-rel-err' verify src x --max-rel-err -1
usage "--layers: '0' is not" synth x --like tiny --layers 0
usage "--like: 'huge' is not one of" synth x --like huge
usage 'layers|experts' synth x --like tiny --layers 500
# H06
expect 66 bounded inspect src/config.json
one_line 66 'config.json: .*[Nn]ot a directory' '^recast: hint: name the folder'
expect 66 bounded inspect nothing
expect 66 bounded inspect src/encoding # a folder, but no checkpoint
one_line 66 'no config.json: not a checkpoint folder'
expect 66 bounded verify src nothing
expect 66 bounded verify nothing src
# H07: the output is the input by whatever name; the input is not touched
find src -type f -exec sha256sum {} + | sort >before
ln -s src link
mkdir -p deep/er && ln -s ../../src/encoding deep/er/inside
for dst in src src/ ./src src/new link link/new "$PWD/src" src/../src deep/er/inside deep/er/inside/x .; do
    expect 64 bounded convert src "$dst" --to fp8
    expect 64 bounded convert link "$dst" --to fp8 --force
done
expect 64 bounded convert src src --to fp8 --restart
find src -type f -exec sha256sum {} + | sort >after
cmp before after || fail 'the input was touched'
# H08
usage '--scale-dtype goes with --to fp8' convert src x --to bf16 --scale-dtype f32
usage 'needs --to' convert src x
# H10: there is no option to give a secret by
usage '--token is not taken' convert src x --to fp8 --token hf_secret
if grep -q hf_secret err; then fail 'the secret was echoed'; fi
usage '--token is not taken' inspect src --token=hf_secret
if grep -q hf_secret err; then fail 'the secret was echoed'; fi
# H11
cp -r src ./-dash
expect 0 bounded inspect -- -dash
usage 'unknown option' inspect -dash
cp -r src "$(printf 'f\377\n x')"
expect 0 bounded inspect "$(printf 'f\377\n x')"
# H13: what is done already
expect 0 recast convert src d --to fp8
expect 73 recast convert src d --to fp8
one_line 73 'holds a finished conversion' '^recast: hint: --force'
expect 73 recast convert src d --to bf16
# H16
usage "did you mean '--threads'" convert src x --to fp8 --thr 2
usage "did you mean '--allow-zero'" convert src x --to fp8 --allow-z
# H17
usage 'too many arguments' inspect $(seq 10000)
long=$(zeros 100000 | tr '\0' a)
usage "unknown option '--aaa" inspect "--$long"
usage "unknown command 'aaa" "$long"
expect 66 bounded inspect "$long"
one_line 66 'aaa\.\.'
usage 'is not a whole number' convert src x --to fp8 --threads "$long"
# H18
usage 'the original comes first' verify d src
usage 'the same folder' verify src link
# the tensors that are asked for are none
usage '--tensors' inspect src --tensors 'no.such.*'
usage '--tensors' convert src x --to fp8 --tensors 'no.such.*'
usage '--tensors' verify src d --tensors 'no.such.*'
[ ! -e x ] || fail 'misuse wrote something'
