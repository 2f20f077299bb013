#!/bin/bash
# What lies beside a GGUF file, or in its place, and is not of this conversion: never lost unasked,
# never taken for a part of it.
. "$ROOT/tests/cli/lib.sh"
expect 0 recast synth src --like tiny --experts 2 --layers 3 --quiet
convert() { # CODE ARGUMENT...
    local code=$1
    shift
    expect "$code" recast convert src d/m.gguf --to gguf:q4_k "$@" --quiet
}
mkdir ref d
expect 0 recast convert src ref/m.gguf --to gguf:q4_k --quiet
expect 0 recast convert src ref/s.gguf --to gguf:q4_k --split-size 1M --quiet

# downloads that look like splits or drafts of the new file
for f in m-00001-of-00002.gguf mtp-m.gguf dspark-m.gguf dspark-m-00001-of-00009.gguf; do
    echo mine >"d/$f"
    convert 73 --draft drop
    says err "$f: is there already" 'force'
    [ "$(cat "d/$f")" = mine ] && [ "$(ls -A d)" = "$f" ] || fail "$f: $(ls -A d)"
    convert 0 --draft drop --force
    [ ! -e "d/$f" ] || fail "$f would be taken for a part of m.gguf"
    rm -f d/*
done

# one that comes while a conversion rests: it goes on, and leaves it alone
shim=$ROOT/$O/tests/cli/fault.so
(RC_FAULT_PATH=/d RC_FAULT_OP=any RC_FAULT_AT=60 RC_FAULT_DO=KILL LD_PRELOAD=$shim \
    "$RECAST" convert src d/m.gguf --to gguf:q4_k --threads 1 --quiet) >out 2>err
[ -e d/m.recast.journal ] || fail "nothing was begun: $(ls -A d)"
echo '{{ other }}' >src/chat_template.jinja
convert 86
says err 'm.recast.journal: .*the same options.*chat template'
rm src/chat_template.jinja
echo mine >d/m-00001-of-00002.gguf

# hollow files do not take the place of an unfinished conversion
convert 73 --hollow
says err 'm.recast.journal.*unfinished'
convert 0
[ "$(cat d/m-00001-of-00002.gguf)" = mine ] || fail "somebody's file is gone"
cmp d/m.gguf ref/m.gguf
rm d/m-00001-of-00002.gguf

# nor of a finished one, and nothing says of holes that they are its result
convert 73 --hollow
cmp d/m.gguf ref/m.gguf || fail "hollow"
convert 0 --hollow --force
[ "$(ls -A d)" = "$(printf 'm.gguf\nmtp-m.gguf')" ] || fail "$(ls -A d)"
convert 73
says err 'm.gguf: is there already'
convert 0 --force
cmp d/m.gguf ref/m.gguf
rm -f d/*

# unfinished files of another run, of just the right size: not a byte of them is kept
for f in m mtp-m; do
    head -c "$(stat -c %s "ref/$f.gguf")" /dev/zero | tr '\0' '\377' >"d/$f.gguf.partial"
done
convert 0
cmp d/m.gguf ref/m.gguf || fail "bytes of a stale file are left"
cmp d/mtp-m.gguf ref/mtp-m.gguf || fail "bytes of a stale file are left"
rm -f d/*

# a folder cannot be replaced, a link only when asked
mkdir d/m.gguf
for o in --restart --force --hollow; do
    convert 73 "$o"
    says err 'm.gguf: is a folder'
    [ "$(ls -A d)" = m.gguf ] || fail "$(ls -A d)"
done
rmdir d/m.gguf
echo mine >target
for to in ../target nowhere; do
    ln -s "$to" d/m.gguf
    convert 73
    says err 'm.gguf: is there already'
    [ "$(readlink d/m.gguf)" = "$to" ] || fail "the link is gone"
    rm d/m.gguf
done
[ "$(cat target)" = mine ] || fail "written through a link"

# the lock of a dead run gives no right to what lies beside it
echo 1 >d/.m.recast.lock
echo mine >d/m.gguf
convert 73
[ "$(cat d/m.gguf)" = mine ] || fail "somebody's file is gone"
rm d/m.gguf d/.m.recast.lock

# names and places
expect 64 recast convert src d/m-00001-of-00003.gguf --to gguf
says err 'one split of several'
expect 73 recast convert src nowhere/m.gguf --to gguf --hollow
says err 'folder does not exist'
expect 69 recast convert src d/m.gguf --to gguf --type 'blk.0.attn_norm.weight=q8_0'
says err 'blk.0.attn_norm.weight: cannot be Q8_0' 'want F32'
expect 0 recast convert src d/m.gguf --to gguf --type 'blk.0.attn_norm.weight=f32' --dry-run
[ -z "$(ls -A d)" ] || fail "$(ls -A d)"
