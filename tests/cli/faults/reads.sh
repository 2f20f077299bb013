#!/bin/bash
# Every read of a small conversion fails once; reads and writes move one byte; signals interrupt.
. "$ROOT/tests/cli/lib.sh"
expect 0 recast synth src --like tiny --experts 2 --layers 2 --quiet
expect 0 recast convert src ref --to fp8
export RC_FAULT_PATH=/src LD_PRELOAD=
shim=$ROOT/$O/tests/cli/fault.so
RC_FAULT_OP=pread RC_FAULT_COUNT=count LD_PRELOAD=$shim recast convert src d --to fp8 --threads 1 --quiet
n=$(cat count)
[ "$n" -gt 50 ] || fail "only $n reads"
for k in $(seq 1 3 "$n"); do
    rm -rf d
    RC_FAULT_OP=pread RC_FAULT_AT=$k RC_FAULT_DO=EIO LD_PRELOAD=$shim expect 74 recast convert src d --to fp8 --threads 1
    says err '^recast: error: .*(json|safetensors|token|LICENSE|SYNTHETIC|encoding)'
    [ ! -e d/recast.json ] || fail "looks finished"
done
rm -rf d # the last one resumes
expect 0 recast convert src d --to fp8
same ref d
for op in pread pwrite write; do
    rm -rf d
    RC_FAULT_PATH=/ RC_FAULT_OP=$op RC_FAULT_AT=$((n / 2)) RC_FAULT_DO=SHORT LD_PRELOAD=$shim expect 0 recast convert src d --to fp8
    same ref d
    rm -rf d
    RC_FAULT_PATH=/ RC_FAULT_OP=$op RC_FAULT_AT=$((n / 3)) RC_FAULT_DO=EINTR LD_PRELOAD=$shim expect 0 recast convert src d --to fp8
    same ref d
done
