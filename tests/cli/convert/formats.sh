#!/bin/bash
# Every target of every small source converts exactly, and verify agrees.
. "$ROOT/tests/cli/lib.sh"
tiny src
for to in "fp8" "fp8 --scale-dtype e8m0" "bf16"; do
    # shellcheck disable=SC2086
    expect 0 recast convert src "d$to" --to $to
    says out 'exact +all [0-9]+ tiles'
    expect 0 recast verify src "d$to"
    expect 0 recast inspect "d$to"
done
# a converted model converts on: scales to the other type and back are the same bytes
expect 0 recast convert dfp8 e8m0 --to fp8 --scale-dtype e8m0
expect 0 recast convert e8m0 back --to fp8
for f in dfp8/*.safetensors; do cmp "$f" "back/${f##*/}" || fail "round trip"; done
expect 0 recast convert dfp8 dbf16b --to bf16
for f in dbf16/*.safetensors; do cmp "$f" "dbf16b/${f##*/}" || fail "bf16 by way of fp8"; done
