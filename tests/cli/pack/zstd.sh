#!/bin/bash
# The zstd program knows our archives, and we know its shards.
. "$ROOT/tests/cli/lib.sh"
command -v zstd >zstd.path || { echo "the zstd program is not here"; exit 77; }
tiny src
expect 0 recast pack src a.rcz --quiet
expect 0 zstd -q -t a.rcz
expect 0 zstd -l a.rcz
says out 'Frames +Skips' '3 +[0-9.]+ MiB'
# all planes and the table: as many bytes as the seek table says
zstd -q -dc a.rcz >plain || fail "zstd -d fails"
[ "$(wc -c <plain)" -gt "$(du -sb --apparent-size src | awk '{ print int($1 * 0.4) }')" ] || fail "zstd -d gives too little"
expect 0 recast unpack a.rcz --list --json
pieces=$(jq .pieces out)
grep -aq 'contents' plain || fail "the table of contents is not in what zstd -d gives"
[ "$pieces" -gt 100 ] || fail "$pieces pieces"

expect 0 recast convert src want --to fp8 --quiet
check() { # check NAME: the folder zs gives what src gives
    rm -rf got
    expect 0 recast convert zs got --to fp8 --quiet --threads 3
    for f in want/*.safetensors; do cmp "$f" "got/${f##*/}" || fail "$1: $f differs"; done
    expect 0 recast verify zs want --quiet
}
cp -r src zs
zstd -q --rm zs/*.safetensors || fail "zstd fails"
check "one frame a shard"
expect 0 recast inspect zs
expect 0 recast run zs --tokens 1,2 -n 2 --ids --quiet

# many frames, skippable ones between them, as pzstd makes them
rm -rf zs && cp -r src zs
for f in zs/*.safetensors; do
    split -b 200000 "$f" part. && for p in part.*; do
        printf '\x50\x2a\x4d\x18\x04\x00\x00\x00abcd'
        zstd -q -c "$p"
    done >"$f.zst"
    rm -f part.* "$f"
done
check "many frames"
# an archive of a folder with such shards has them as they are read
expect 0 recast pack zs zs.rcz --quiet
expect 0 recast unpack zs.rcz zs.out --quiet
for f in src/*.safetensors; do cmp "$f" "zs.out/${f##*/}" || fail "$f differs"; done

# from a pipe: the size is not known
rm -rf zs && cp -r src zs
f=$(find zs -name '*-00002-of-*.safetensors')
# shellcheck disable=SC2002 # a pipe it has to be
cat "$f" | zstd -q -c >"$f.zst"
expect 0 recast inspect zs
says err 'not used' 'is there, too'
rm "$f"
expect 69 recast inspect zs
says err 'does not state its size' 'not from a pipe'
# cut, damaged, no zstd at all
zstd -q -c "src/${f##*/}" >whole
head -c $(($(wc -c <whole) - 10)) whole >"$f.zst"
expect 65 recast inspect zs
says err 'cut short'
head -c 1000 /dev/zero >"$f.zst"
expect 65 recast inspect zs
cp whole "$f.zst"
printf 'XXXXXXXX' | dd of="$f.zst" bs=1 seek=$(($(wc -c <whole) / 2)) conv=notrunc status=none
recast verify zs want --quiet >out 2>err && fail "damage went unnoticed"
exit 0
