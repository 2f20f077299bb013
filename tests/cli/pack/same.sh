#!/bin/bash
# Pack, then unpack: every file of every kind of checkpoint comes back bit for bit, and the archive
# is the same for any number of threads.
. "$ROOT/tests/cli/lib.sh"
sums() { (cd "$1" && find . -type f | LC_ALL=C sort | tr '\n' '\0' | xargs -0 sha256sum); }

tiny native
for to in fp8 bf16 w4a16 awq; do expect 0 recast convert native $to --to $to --quiet; done
mkdir gguf
expect 0 recast convert native gguf/x.gguf --to gguf:q4_k --draft drop --split-size 4M --quiet
# what is no checkpoint at all: a file of no bytes, one that is no shard, names with spaces
mkdir -p odd/sub
: >odd/empty
: >odd/empty.safetensors
head -c 3000000 /dev/urandom >'odd/a name.safetensors'
echo text >'odd/sub/ü.txt'
head -c 100 native/model-00001-of-*.safetensors >odd/cut.safetensors
echo GGUF >odd/no.gguf

for from in native fp8 bf16 w4a16 awq gguf odd; do
    expect 0 recast pack $from $from.rcz
    says out 'packed .*files'
    [ ! -e $from.rcz.partial ] && [ ! -e $from.rcz.journal ] && [ ! -e $from.rcz.lock ] || fail "$from: left over"
    expect 0 recast unpack $from.rcz out.$from
    sums $from >want
    sums out.$from >got
    cmp want got || { diff want got; fail "$from came back as something else"; }
    [ -z "$(find out.$from -name '*.partial' -o -name '.recast*')" ] || fail "$from: left over in the folder"
done
expect 0 recast pack native one.rcz --threads 1
expect 0 recast pack native five.rcz --threads 5
cmp native.rcz one.rcz || fail "one thread makes another archive"
cmp native.rcz five.rcz || fail "five threads make another archive"
expect 0 recast pack native small.rcz --mem-limit 24M
cmp native.rcz small.rcz || fail "less memory makes another archive"
expect 0 recast unpack native.rcz out.one --mem-limit 24M --threads 1
diff -r native out.one || fail "one thread unpacks something else"

# a single GGUF file, and a set of them named by its first
first=$(basename gguf/*-00001-of-*.gguf)
expect 0 recast pack "gguf/$first" set.rcz
expect 0 recast inspect set.rcz
expect 0 recast unpack set.rcz out.set
for f in out.set/*; do cmp "$f" "gguf/${f##*/}" || fail "$f differs"; done
[ "$(find out.set -type f | wc -l)" -eq "$(find gguf -name '*.gguf' | wc -l)" ] || fail "the set is not whole"

# FP8 that holds FP4, and BF16 that does, are stored as FP4
expect 0 recast unpack fp8.rcz --list --json
jq -e '[.files[].modes["fp8-fp4"] // 0] | add > 4000000' out >jq.out || fail "no FP8 became FP4"
expect 0 recast unpack bf16.rcz --list
says out 'bf16-fp4' 'files, .* pieces'
