#!/bin/bash
# tests/cli/lib.sh - what the command-line tests share. Sourced by each of them:
# the current folder is empty and private, $RECAST is the program, $ROOT the tree.
set -u

fail() {
    echo "not ok: $*"
    [ -s err ] && sed 's/^/  stderr: /' err
    exit 1
}

# expect CODE COMMAND...: run it, stdout to ./out, stderr to ./err, insist on its status
expect() {
    local want=$1 got
    shift
    "$@" >out 2>err
    got=$?
    [ "$got" -eq "$want" ] || fail "$* gave status $got, want $want"
    case $want in
    0 | 1 | 13?) ;;
    *) [ "$(grep -c '^recast: error: ' err)" -eq 1 ] || fail "$*: want exactly one error line" ;;
    esac
}

# says FILE PATTERN...: every pattern (grep -E) occurs in the file
says() {
    local file=$1 p
    shift
    for p in "$@"; do
        grep -qE -- "$p" "$file" || { cat "$file"; fail "'$p' is not in $file"; }
    done
}

recast() { "$RECAST" "$@"; }

# The small complete model, made once a run of the test suite.
tiny() {
    expect 0 recast synth "$1" --like tiny --quiet
}

# digest DIR: one line a file, less what a result says about its own run
digest() {
    (
        cd "$1" || exit 1
        find . -type f ! -name recast.json ! -name '.recast.lock' | LC_ALL=C sort | xargs sha256sum
        jq -S 'del(.run)' recast.json | sha256sum
    )
}

# same A B: two results are equal to the byte
same() {
    digest "$1" >a.digest
    digest "$2" >b.digest
    cmp -s a.digest b.digest || { diff a.digest b.digest; fail "$1 and $2 differ"; }
}

# bare DIR: as digest, but for where the source's files came from and how it is known what they are
bare() {
    digest "$1" | head -n -1
    jq -S 'del(.run, .source.origin) | .source.files |= map({file, bytes})' "$1/recast.json"
}

# alike A B: the same results, made of one checkpoint in two places
alike() {
    bare "$1" >a.digest
    bare "$2" >b.digest
    cmp -s a.digest b.digest || { diff a.digest b.digest; fail "$1 and $2 differ"; }
}

# unfinished DIR: nothing in it looks like a result
unfinished() {
    [ ! -e "$1/recast.json" ] || fail "$1/recast.json is there"
    [ ! -e "$1/model.safetensors.index.json" ] || fail "$1: the index is there"
}
