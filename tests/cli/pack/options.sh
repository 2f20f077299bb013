#!/bin/bash
# What pack and unpack refuse, and what they say.
. "$ROOT/tests/cli/lib.sh"
expect 0 recast synth src --like tiny --experts 2 --layers 1 --quiet
expect 64 recast pack src
expect 64 recast pack src a.zip
says err 'ends in .rcz'
expect 66 recast pack none a.rcz
expect 73 recast pack src src/a.rcz
says err 'would lie in the folder'
expect 73 recast pack src no/such/folder/a.rcz
[ ! -e src/a.rcz.partial ] && [ ! -e src/a.rcz.lock ] || fail "left over in the source"
expect 0 recast pack src a.rcz --dry-run --json
jq -e '.estimate and .archive_bytes > 0 and .free > 0' out >jq.out || fail "no estimate"
estimate=$(jq .archive_bytes out)
[ ! -e a.rcz ] || fail "--dry-run wrote"
expect 0 recast pack src a.rcz --json
jq -e --argjson e "$estimate" '.archive_bytes / $e > 0.7 and .archive_bytes / $e < 1.4' out >jq.out || fail "the estimate is far off"
expect 73 recast pack src a.rcz
says err 'exists' 'force'
expect 0 recast pack src a.rcz --force --level 19 --quiet
expect 0 recast unpack a.rcz d --json
jq -e '.pieces > 0 and .bytes > 0 and .pieces_kept == 0' out >jq.out || fail "no summary"
diff -r src d || fail "other files"
expect 64 recast unpack a.rcz
expect 64 recast unpack a.rcz d --list
expect 66 recast unpack src d
mkdir e && echo mine >e/mine.txt
expect 73 recast unpack a.rcz e
says err 'other files'
expect 0 recast unpack a.rcz e --force --quiet
[ "$(cat e/mine.txt)" = mine ] || fail "another's file was touched"
# full disk, and one that fails
RC_FAULT_OP=fallocate RC_FAULT_PATH=/f/ RC_FAULT_DO=ENOSPC LD_PRELOAD="$ROOT/$O/tests/cli/fault.so" recast unpack a.rcz f >out 2>err
RC_FAULT_OP=pwrite RC_FAULT_PATH=g.rcz RC_FAULT_AT=20 RC_FAULT_DO=ENOSPC LD_PRELOAD="$ROOT/$O/tests/cli/fault.so" \
    expect 79 recast pack src g.rcz
says err 'the same command resumes'
[ ! -e g.rcz ] || fail "delivered from a full disk"
expect 0 recast pack src g.rcz --level 19 --restart --quiet
cmp a.rcz g.rcz || fail "another archive after a full disk"
# a source that changes during the run, and one whose links leave it
ln -s /etc/passwd src/link.txt
expect 83 recast pack src h.rcz
rm src/link.txt
