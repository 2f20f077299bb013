#!/bin/bash
# A run that ends inside a large tensor is gone on with inside it: seen by what is read.
. "$ROOT/tests/cli/lib.sh"
case $O in *asan* | *tsan*) echo "needs the speed of a release build"; exit 77 ;; esac
[ "$(df -BG --output=avail . | tail -1 | tr -dc 0-9)" -ge 12 ] || { echo "needs 12 GB of disk"; exit 77; }
shim=$ROOT/$O/tests/cli/fault.so
fault() { # fault OP PATH AT DO OPTIONS...: a conversion into d that meets it
    local op=$1 path=$2 at=$3 do=$4
    shift 4
    { RC_FAULT_OP=$op RC_FAULT_PATH=$path RC_FAULT_AT=$at RC_FAULT_DO=$do LD_PRELOAD=$shim \
        "$RECAST" convert src --tensors embed.weight --quiet "$@"; } >out 2>err
} 2>killed # the shell's own remark
reads() { # reads OPTIONS...: how many times the source's shards are read to finish
    RC_FAULT_COUNT=calls RC_FAULT_OP=pread RC_FAULT_PATH=/src/model LD_PRELOAD=$shim expect 0 recast convert src --tensors embed.weight --quiet "$@"
    calls=$(cat calls)
}
equal() { # equal DIR: the bytes, and what is said of them
    cmp ref/model-00001-* "$1"/model-00001-* || fail "$1: other bytes"
    cmp ref/recast.jsonl "$1/recast.jsonl" || fail "$1: another ledger"
}
expect 0 recast synth src --like flash --layers 1 --experts 6 --quiet
reads ref --to bf16
whole=$calls
[ "$whole" -gt 500 ] || fail "the source is too small for this: $whole reads"

# killed near the end of the embedding (505 chunks of 2 MiB): at most 128 MiB of it are read again
fault pwrite d/model 460 KILL d --to bf16 --threads 1
[ -s d/recast.state ] || fail "no state was kept"
cp -r d killed.d
reads d --to bf16
[ "$calls" -lt $((whole - 380)) ] || fail "$calls of $whole reads after a kill"
[ ! -e d/recast.state ] || fail "the state's file is left over"
equal d

# stopped by a signal: hardly anything is
rm -rf d
{ RC_FAULT_OP=pwrite RC_FAULT_PATH=d/model RC_FAULT_AT=300 RC_FAULT_DO=SLEEP LD_PRELOAD=$shim \
    env --default-signal=INT "$RECAST" convert src d --to bf16 --tensors embed.weight --threads 1 --quiet >out 2>err & }
for _ in $(seq 200); do [ -s d/recast.state ] && break; sleep 0.02; done
kill -s INT $!
wait $!
[ -s d/recast.state ] || fail "no state was kept"
reads d --to bf16 --threads 3
[ "$calls" -lt $((whole - 50)) ] || fail "$calls of $whole reads after a signal"
equal d

# a disk that fills: the same
rm -rf d
fault pwrite d/model 400 ENOSPC d --to bf16 --threads 2
reads d --to bf16
[ "$calls" -lt $((whole - 300)) ] || fail "$calls of $whole reads after a full disk"
equal d

# bytes that are not what they were, a damaged state, another run's, another size of chunks: the
# tensor begins anew, the result is the same
for bad in bytes flip cut other memory; do
    rm -rf d && cp -r killed.d d
    how="--threads 2"
    case $bad in
    bytes) dd if=/dev/zero of="$(echo d/model-00001-*.partial)" bs=4096 count=1 seek=5000 conv=notrunc status=none ;;
    flip) printf '\377' | dd of=d/recast.state bs=1 seek=200 conv=notrunc status=none ;;
    cut) truncate -s -1 d/recast.state ;;
    other) head -c 20 /dev/urandom | dd of=d/recast.state bs=1 seek=8 conv=notrunc status=none ;;
    memory) how="--threads 8 --mem-limit 40M" ;;
    esac
    # shellcheck disable=SC2086
    reads d --to bf16 $how
    [ $bad = memory ] || [ "$calls" -ge "$whole" ] || fail "$bad: believed, $calls reads"
    equal d
done
# of a shard that is gone nothing is half done
rm -rf d && cp -r killed.d d && rm d/model-00001-*.partial
reads d --to bf16
[ "$calls" -ge "$whole" ] || fail "gone: $calls reads"
equal d
rm -rf d killed.d

# two targets, both inside the embedding
mkdir o
fault pwrite /o/ 700 KILL --to bf16=o/b --to fp8=o/f --threads 1
[ -s o/b/recast.state ] && [ -s o/f/recast.state ] || fail "no states: $(ls o/*)"
expect 0 recast convert src --tensors embed.weight --to bf16=o/b --to fp8=o/f --quiet
equal o/b
cmp ref/model-00001-* o/f/model-00001-* || fail "the other target"
