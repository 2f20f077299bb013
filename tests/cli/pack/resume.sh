#!/bin/bash
# Killed anywhere, the same command completes pack and unpack with the same bytes.
. "$ROOT/tests/cli/lib.sh"
expect 0 recast synth src --like tiny --experts 2 --layers 2 --quiet
expect 0 recast pack src ref.rcz --quiet
shim=$ROOT/$O/tests/cli/fault.so
mkdir d
RC_FAULT_PATH=d/ RC_FAULT_OP=any RC_FAULT_COUNT=count LD_PRELOAD=$shim recast pack src d/a.rcz --threads 1 --quiet
RC_FAULT_OP=pwrite RC_FAULT_COUNT=count LD_PRELOAD=$shim recast pack src d/b.rcz --threads 1 --quiet
n=$(cat count)
[ "$n" -gt 100 ] || fail "only $n writes"
for k in 1 2 3 $(seq 4 $((n / 30 + 1)) "$n") $((n - 1)) "$n"; do
    rm -f d/*
    { RC_FAULT_OP=pwrite RC_FAULT_AT=$k RC_FAULT_DO=KILL LD_PRELOAD=$shim "$RECAST" pack src d/a.rcz --quiet; } >out 2>err
    [ ! -e d/a.rcz ] || fail "write $k: delivered"
    expect 0 recast pack src d/a.rcz --json
    cmp ref.rcz d/a.rcz || fail "killed before write $k of $n: another archive"
    [ "$(find d -type f | wc -l)" -eq 1 ] || fail "write $k: left over"
done
jq -e '.pieces_kept > 10' out >jq.out || fail "nothing was kept"
echo "pack: killed before writes of $n"
for op in fsync rename; do
    rm -f d/*
    { RC_FAULT_OP=$op RC_FAULT_PATH=a.rcz RC_FAULT_AT=1 RC_FAULT_DO=KILL LD_PRELOAD=$shim "$RECAST" pack src d/a.rcz --quiet; } >out 2>err
    expect 0 recast pack src d/a.rcz --quiet
    cmp ref.rcz d/a.rcz || fail "killed before $op: another archive"
done
# what was damaged meanwhile is made again
rm -f d/*
{ RC_FAULT_OP=pwrite RC_FAULT_AT=$((n - 3)) RC_FAULT_DO=KILL LD_PRELOAD=$shim "$RECAST" pack src d/a.rcz --quiet; } >out 2>err
printf 'XXXX' | dd of=d/a.rcz.partial bs=1 seek=5000 conv=notrunc status=none
expect 0 recast pack src d/a.rcz --quiet
cmp ref.rcz d/a.rcz || fail "a damaged piece was believed"
# of another source, or level
rm -f d/*
{ RC_FAULT_OP=pwrite RC_FAULT_AT=$((n - 3)) RC_FAULT_DO=KILL LD_PRELOAD=$shim "$RECAST" pack src d/a.rcz --quiet; } >out 2>err
expect 86 recast pack src d/a.rcz --level 3
says err 'restart'
cp -r src other
touch other/config.json
expect 86 recast pack other d/a.rcz
expect 0 recast pack src d/a.rcz --restart --quiet
cmp ref.rcz d/a.rcz || fail "--restart: another archive"

RC_FAULT_OP=any RC_FAULT_PATH=out RC_FAULT_COUNT=count LD_PRELOAD=$shim recast unpack ref.rcz out.d --threads 1 --quiet
n=$(cat count)
[ "$n" -gt 50 ] || fail "only $n calls"
for k in $(seq 1 $((n / 40 + 1)) "$n") $((n - 1)) "$n"; do
    rm -rf out.d
    { RC_FAULT_OP=any RC_FAULT_PATH=out RC_FAULT_AT=$k RC_FAULT_DO=KILL LD_PRELOAD=$shim "$RECAST" unpack ref.rcz out.d --threads 1 --quiet; } >log 2>err
    expect 0 recast unpack ref.rcz out.d --json
    diff -r src out.d || fail "killed before call $k of $n: other files"
done
echo "unpack: killed before calls of $n"
# what is complete stays as it is; what was changed is not overwritten unasked
expect 0 recast unpack ref.rcz out.d
says out 'complete already'
printf 'X' | dd of=out.d/config.json bs=1 seek=5 conv=notrunc status=none
expect 73 recast unpack ref.rcz out.d
says err 'config.json' 'force'
expect 0 recast unpack ref.rcz out.d --force
diff -r src out.d || fail "--force: other files"
