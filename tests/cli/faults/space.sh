#!/bin/bash
# A full disk: preflight says so before anything is written; a disk that fills up during the
# run ends with 79, and the same command goes on when there is room.
. "$ROOT/tests/cli/lib.sh"
tiny src
mkdir small
mount -t tmpfs -o size=8m none small 2>err || { echo "cannot mount a tmpfs here"; exit 77; }
trap 'umount -l small' EXIT
expect 79 recast convert src small/d --to fp8
says err 'want [0-9]+ bytes' 'got [0-9]+ free' 'nothing was written'
[ -z "$(ls small)" ] || fail "something was written"
mount -o remount,size=20m small
expect 0 recast convert src ref --to fp8
# room at the start, taken by somebody else half way
RC_FAULT_OP=pwrite RC_FAULT_PATH=small/d/model-00002 RC_FAULT_AT=3 RC_FAULT_DO=SLEEP LD_PRELOAD="$ROOT/$O/tests/cli/fault.so" \
    "$RECAST" convert src small/d --to fp8 --threads 1 >out 2>err &
for _ in $(seq 100); do [ -e small/d/model-00002-of-00008.safetensors.partial ] && break; sleep 0.02; done
dd if=/dev/zero of=small/hog bs=1M count=20 2>/dev/null
wait $!
status=$?
[ $status -eq 79 ] || fail "a disk that filled up gave $status"
says err 'no-space/79' 'same command resumes'
unfinished small/d
rm small/hog
expect 0 recast convert src small/d --to fp8
same ref small/d
# killed while it gave final names: what is published needs no space again
rm -rf small/d
{ RC_FAULT_OP=rename RC_FAULT_PATH=d/model-00005 RC_FAULT_AT=1 RC_FAULT_DO=KILL LD_PRELOAD="$ROOT/$O/tests/cli/fault.so" \
    "$RECAST" convert src small/d --to fp8 --quiet; } >out 2>err
[ -e small/d/model-00004-of-00008.safetensors ] || fail "not killed between final names"
mount -o remount,size=19m small
expect 0 recast convert src small/d --to fp8
same ref small/d
# a file size limit: no SIGXFSZ
rm -rf d
(ulimit -f 1000; "$RECAST" convert src d --to fp8 >out 2>err)
[ $? -eq 79 ] || fail "ulimit -f"
# few descriptors
rm -rf d
(ulimit -n 24; "$RECAST" convert src d --to fp8 --threads 2 >out 2>err) || { cat err; fail "ulimit -n 24"; }
same ref d
# standard output on a full device
expect 0 recast convert src e --to fp8 --json
recast inspect src >/dev/full 2>err
[ $? -eq 74 ] || fail "/dev/full"
recast inspect src 2>err | head -1 >out
[ ! -s err ] || fail "a closed pipe is not an error"
