#!/bin/bash
# Hollow checkpoints of full size: counts, bytes and tiles that were published or follow from them.
. "$ROOT/tests/cli/lib.sh"
plan() { # plan LIKE TENSORS BYTES TILES
    expect 0 recast synth "$1" --like "$1" --hollow --quiet
    expect 0 recast inspect "$1" --json
    recast convert "$1" d --to fp8 --dry-run --json >out 2>err
    case $? in 0 | 79) ;; *) fail "dry run of $1" ;; esac
    [ "$(jq -r '"\(.source_tensors) \(.tensors) \(.source_bytes) \(.tiles)"' out)" = "$2 $2 $3 $4" ] || fail "$1: $(head -c 600 out)"
    rm -rf "$1"
}
plan flash 69187 159609485896 17301504
plan flash-0731 72317 166878536440 18087936 # tiles as a published re-pack reports them
plan pro 145116 864704792696 95993856
plan pro-0813 149782 892727580904 99090432
[ ! -e d ] || fail "--dry-run wrote something"
