#!/bin/bash
# States that only an ill-timed end leaves behind: what the next run makes of them.
. "$ROOT/tests/cli/lib.sh"
shim=$ROOT/$O/tests/cli/fault.so
fault() { # fault OP PATH AT DO OPTIONS...: a conversion into d that meets it
    local op=$1 path=$2 at=$3 do=$4
    shift 4
    { RC_FAULT_OP=$op RC_FAULT_PATH=$path RC_FAULT_AT=$at RC_FAULT_DO=$do LD_PRELOAD=$shim \
        "$RECAST" convert src d --threads 1 --quiet "$@"; } >out 2>err
}
expect 0 recast synth src --like tiny --experts 2 --layers 2 --quiet
expect 0 recast convert src f32 --to fp8
expect 0 recast convert src e8m0 --to fp8 --scale-dtype e8m0

# an older result is replaced: killed at any call of the publication, the new one comes out
cp -r f32 d
RC_FAULT_COUNT=count RC_FAULT_OP=any RC_FAULT_PATH=/d LD_PRELOAD=$shim \
    expect 0 recast convert src d --to fp8 --threads 1 --scale-dtype e8m0 --force
n=$(cat count)
for call in "unlink d/recast.json 1" "unlink d/recast.json 2" "unlink model.safetensors.index 1" \
    "write d/recast.journal $(grep -c . f32/recast.jsonl)" $(seq -f "any:/d:%.0f" $((n - 100)) 7 "$n"); do
    rm -rf d && cp -r f32 d
    read -r op path at <<<"${call//:/ }"
    fault "$op" "$path" "$at" KILL --to fp8 --scale-dtype e8m0 --force
    expect 0 recast convert src d --to fp8 --scale-dtype e8m0 --force
    same e8m0 d
done

# a journal that a power cut brought back, and damaged: nothing to do, and no crash
rm -rf d
fault unlink d/recast.journal 1 KILL --to fp8
[ -e d/recast.json ] && [ -e d/recast.journal ] || fail "not killed at the very end"
printf '\377' | dd of=d/recast.journal bs=1 seek=700 conv=notrunc status=none
expect 0 recast convert src d --to fp8
says out 'was complete already'
same f32 d
