#!/bin/bash
# An archive is a source: what is made of it, and said of it, is what the folder would give.
. "$ROOT/tests/cli/lib.sh"
tiny native
expect 0 recast pack native a.rcz --quiet
expect 0 recast convert native want --to fp8 --quiet
expect 0 recast convert a.rcz got --to fp8 --quiet --threads 3
for f in want/*.safetensors want/*.index.json want/config.json; do cmp "$f" "got/${f##*/}" || fail "$f differs"; done
expect 0 recast verify a.rcz want
says out 'EXACT'
expect 0 recast pack want fp8.rcz --quiet
expect 0 recast verify native fp8.rcz
says out 'EXACT'
expect 0 recast verify a.rcz fp8.rcz --quiet
expect 0 recast inspect a.rcz
expect 0 recast tokenize a.rcz -p hello
expect 0 recast run a.rcz --tokens 1,2,3 -n 4 --ids --quiet
cp out run.archive
expect 0 recast run native --tokens 1,2,3 -n 4 --ids --quiet
cmp out run.archive || fail "the model of the archive says something else"
# packing an archive unpacks and packs it: the same archive
expect 0 recast pack a.rcz b.rcz --quiet
cmp a.rcz b.rcz || fail "an archive of an archive differs"
# a resumed conversion knows the archive again, and another one
RC_FAULT_OP=pwrite RC_FAULT_PATH=d/model RC_FAULT_AT=5 RC_FAULT_DO=KILL LD_PRELOAD="$ROOT/$O/tests/cli/fault.so" \
    recast convert a.rcz d --to fp8 >out 2>err
[ -e d/recast.journal ] || fail "no journal after the kill"
expect 0 recast convert a.rcz d --to fp8 --quiet
for f in want/*.safetensors; do cmp "$f" "d/${f##*/}" || fail "$f differs after the resume"; done
# what is named .rcz and is none, or is not there
expect 66 recast inspect none.rcz
echo no archive, whatever its name says >no.rcz
expect 65 recast inspect no.rcz
says err 'no archive'
mkdir dir.rcz && cp -r native/. dir.rcz
expect 0 recast inspect dir.rcz
