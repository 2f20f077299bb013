#!/bin/bash
# One result whatever the threads, the memory, the instruction set, the splits or the kills.
. "$ROOT/tests/cli/lib.sh"
expect 0 recast synth src --like tiny --experts 2 --layers 3 --quiet
files() { (cd "$1" && sha256sum -- *.gguf *.jsonl && jq -S 'del(.run)' m.recast.json); }
like() { files "$1" >a.digest; files "$2" >b.digest; cmp a.digest b.digest || fail "$1 and $2 differ"; }
for r in ds4-q2 q4_k q6_k mxfp4; do
    mkdir -p ref d && rm -f ref/* d/*
    expect 0 recast convert src ref/m.gguf --to "gguf:$r" --threads 1
    for how in "--threads 5" "--threads 3 --mem-limit 24M" "--cpu ref" "--cpu avx2" "--cpu avx512"; do
        rm -f d/*
        # shellcheck disable=SC2086
        recast convert src d/m.gguf --to "gguf:$r" $how >out 2>err || {
            [ "${how#--cpu}" != "$how" ] && says err 'this machine does not have it' && continue
            fail "$r $how: $(cat err)"
        }
        like ref d
    done
done

# killed before any system call: the same command completes
rm -f ref/* d/*
expect 0 recast convert src ref/m.gguf --to gguf:ds4-q2
shim=$ROOT/$O/tests/cli/fault.so
export RC_FAULT_PATH=/d
RC_FAULT_OP=any RC_FAULT_COUNT=count LD_PRELOAD=$shim recast convert src d/m.gguf --to gguf:ds4-q2 --threads 1 --quiet
n=$(cat count)
[ "$n" -gt 100 ] || fail "only $n calls"
for k in $(seq 3 23 "$n") "$n"; do
    rm -f d/* d/.[a-z]*
    { RC_FAULT_OP=any RC_FAULT_AT=$k RC_FAULT_DO=KILL LD_PRELOAD=$shim "$RECAST" convert src d/m.gguf \
        --to gguf:ds4-q2 --threads 1 --quiet; } >out 2>err
    "$RECAST" convert src d/m.gguf --to gguf:ds4-q2 --quiet >out 2>err ||
        { [ -e d/m.recast.json ] && grep -q 'finished' err; } || fail "killed before call $k of $n: does not complete"
    like ref d
    [ ! -e d/m.recast.journal ] || fail "call $k: the journal is left over"
done
echo "killed before $n calls, every 23rd"

# splits hold the same tensors; a stranger of an older split goes away
expect 0 recast convert src d/m.gguf --to gguf:ds4-q2 --split-size 1M --force
[ ! -e d/m.gguf ] || fail "the older single file is left"
[ -e d/m-00002-of-00003.gguf ] || [ -e d/m-00002-of-00004.gguf ] || [ -e d/m-00002-of-00005.gguf ] || fail "$(ls d)"
expect 0 recast verify src d/m-00001-of-*.gguf --min-sqnr 8
expect 0 recast inspect d/m-00001-of-*.gguf --strict
expect 0 recast convert src d/m.gguf --to gguf:ds4-q2 --force
like ref d
[ "$(find d -name '*-of-*' | wc -l)" -eq 0 ] || fail "older splits are left"

# embedded, the MTP block is part of the file, side by side projections included
expect 0 recast convert src e.gguf --to gguf:bf16 --draft embed
[ ! -e mtp-e.gguf ] || fail "a draft file, too"
says err 'hc_head_\* are left out'
expect 0 recast inspect e.gguf --strict
expect 0 recast verify src e.gguf --allow-missing-draft
expect 0 recast convert src n.gguf --to gguf:bf16 --draft drop
[ ! -e mtp-n.gguf ] || fail "a draft that was to be dropped"
