#!/bin/bash
# A finished result is kept until a new one is whole; other people's files are kept always.
. "$ROOT/tests/cli/lib.sh"
tiny src
expect 0 recast convert src d --to fp8
expect 73 recast convert src d --to fp8
says err 'holds a finished conversion' '^recast: hint: --force'
cp -r d before
expect 73 recast convert src d --to fp8 --scale-dtype e8m0
same before d
# killed in the middle of replacing it, the old one is still whole
RC_FAULT_OP=pwrite RC_FAULT_PATH=d/model RC_FAULT_AT=5 RC_FAULT_DO=KILL LD_PRELOAD="$ROOT/$O/tests/cli/fault.so" \
    recast convert src d --to fp8 --scale-dtype e8m0 --force >out 2>err
[ -e d/recast.journal ] || fail "no journal after the kill"
for f in before/*; do case $f in */recast.json) ;; *) diff -r "$f" "d/${f##*/}" || fail "$f was touched" ;; esac; done
expect 0 recast verify src d
expect 0 recast convert src d --to fp8 --scale-dtype e8m0 --force
expect 0 recast convert src e --to fp8 --scale-dtype e8m0
same e d
