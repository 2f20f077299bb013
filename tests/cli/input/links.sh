#!/bin/bash
# B05 B06: what lies in the folder that is no plain file. Links may not leave it; the hub
# cache may link to its own blobs; a FIFO is never waited for.
. "$ROOT/tests/cli/input/lib.sh"
tiny src
f=model-00001-of-00008.safetensors
mkdir outside && cp src/$f src/config.json src/$index outside

for to in ../outside/$f "$PWD/outside/$f"; do
    fresh x && rm x/$f && ln -s "$to" x/$f
    refuses 83 x "$f: is a link that leaves the folder" '^recast: hint: '
done
for name in config.json $index; do
    fresh x && rm "x/$name" && ln -s "../outside/$name" "x/$name"
    refuses 83 x "$name: is a link that leaves the folder"
done
fresh x && rm x/$f && ln -s $f x/$f; refuses 66 x "$f: .*links go in a circle"
fresh x && rm x/$f && ln -s gone x/$f; refuses 66 x "$f: is a link to a file that is missing"
fresh x && rm x/$f && mkdir x/$f; refuses 66 x '1 of 8 shards missing'
fresh x && rm x/$f && mkfifo x/$f; refuses 66 x "$f: is a FIFO, not a file"
fresh x && rm x/config.json && mkfifo x/config.json; refuses 66 x "config.json: is a FIFO, not a file"
fresh x && rm x/$f && ln -s /dev/zero x/$f; refuses 83 x "$f: is a link that leaves"
if [ "$(id -u)" -ne 0 ]; then
    fresh x && cp x/$f x/n && mv x/n x/$f && chmod 0 x/$f
    refuses 77 x "$f: "
fi
# links that stay inside are files
fresh x && mkdir x/store && mv x/$f x/store/f && ln -s store/f x/$f
accepts x whole
# the folder itself may be a link
ln -s src link && accepts link whole

# side files are looked at before the work, not after it
fresh x && rm x/tokenizer.json && ln -s ../outside/config.json x/tokenizer.json
expect 83 bounded convert x refused --to fp8
one_line 83 'tokenizer.json: is a link that leaves the folder'
[ ! -e refused ] || fail 'found out too late'
fresh x && mkfifo x/notes.txt
expect 66 bounded convert x refused --to fp8
one_line 66 'notes.txt: is a FIFO'
[ ! -e refused ] || fail 'found out too late'

# the hub cache: snapshots/REVISION/name -> ../../blobs/HASH, and no further
hub=models--deepseek-ai--V4
mkdir -p $hub/blobs $hub/snapshots/abc $hub/refs
(cd src && find . -type f) | while read -r name; do
    blob=$({ printf 'blob %d\0' "$(stat -c %s "src/$name")" && cat "src/$name"; } | sha1sum | cut -c 1-40)
    mkdir -p "$hub/snapshots/abc/$(dirname "$name")"
    cp "src/$name" "$hub/blobs/$blob"
    up=../../blobs
    [ "$(dirname "$name")" = . ] || up=../../../blobs
    ln -s "$up/$blob" "$hub/snapshots/abc/$name"
done
accepts $hub/snapshots/abc whole
expect 0 recast convert $hub/snapshots/abc hub --to fp8
expect 0 recast convert src plain --to fp8
alike hub plain
[ -z "$(find hub -type l)" ] || fail 'links were copied as links'
ln -sfn ../../../outside/$f $hub/snapshots/abc/$f
refuses 83 $hub/snapshots/abc "$f: is a link that leaves the folder"
