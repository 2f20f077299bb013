#!/bin/bash
# recast.json: of the source, what was read and how it is known what it is; of the output, all.
# shellcheck source=tests/cli/lib.sh disable=SC2154
. "$ROOT/tests/cli/lib.sh"
tiny src
expect 0 recast convert src d --to fp8 --quiet
sum() { jq -e "$2" "$1/recast.json" >jq.out || fail "$1: not so: $2"; }
sum d '.format == 2 and .source.origin == {kind: "folder"}'
sum d '.source.files | map(select(.known == "computed")) | length == 9'
sum d '.source.files | map(select(.file | endswith(".safetensors"))) | length == 8 and all(has("sha256") | not)'
grep -q "$PWD" d/recast.json && fail "a path of this machine"
# every file but the summary is listed, with its digest
jq -r '.files[] | "\(.sha256)  \(.file)"' d/recast.json >small
(cd d && sha256sum -c --strict --quiet ../small) || fail "digests of small files"
jq -r '(.files, .shards)[].file, .ledger.file, "recast.json"' d/recast.json | LC_ALL=C sort >listed
(cd d && find . -type f -printf '%P\n' | grep -v '^\.' | LC_ALL=C sort) >there
diff listed there || fail "not the files that are there"
jq -r '.source.files[] | select(.sha256) | "\(.sha256)  \(.file)"' d/recast.json >small
(cd src && sha256sum -c --strict --quiet ../small) || fail "digests of the source"

# The same from a hub's cache, whose names say what is in the files
commit=0123456789abcdef0123456789abcdef01234567
mkdir -p hub/models--a--b/blobs hub/models--a--b/snapshots/$commit/encoding
snap=hub/models--a--b/snapshots/$commit
(cd src && find . -type f -printf '%P\n') | while read -r f; do
    case $f in
    *.safetensors) id=$(sha256sum <"src/$f") ;; # as large files are called, and small ones
    *) id=$({ printf 'blob %d\0' "$(stat -c %s "src/$f")" && cat "src/$f"; } | sha1sum) ;;
    esac
    cp "src/$f" "hub/models--a--b/blobs/${id%% *}"
    case $f in */*) up=../../../blobs ;; *) up=../../blobs ;; esac
    ln -s "$up/${id%% *}" "$snap/$f"
done
expect 0 recast convert $snap h --to fp8 --quiet
sum h ".source.origin == {kind: \"folder\", commit: \"$commit\"}"
sum h '.source.files | all(has("sha256") or has("git_blob"))'
sum h '.source.files | map(select(.known == "stated")) | length == 8'
sum h '.source.files | map(select(.known == "equal" and has("git_blob"))) | length == 9'
alike d h

# The cache itself is checked by its names
expect 0 recast check $snap --json
jq -e '.equal and .stated == 17 and .manifests == 0 and .files == 17' out >jq.out || fail "check of a cache"
blob=$(readlink -f $snap/model-00002-of-00008.safetensors)
printf 'x' | dd of="$blob" bs=1 seek=700000 conv=notrunc status=none
expect 80 recast check $snap
says out "model-00002-of-00008.safetensors: was changed: it is not the file that the hub's cache names"
# and small files while they are used
tokenizer=$(readlink -f $snap/LICENSE)
printf 'x' | dd of="$tokenizer" bs=1 seek=3 conv=notrunc status=none
expect 80 recast convert $snap g --to fp8 --quiet
says err 'LICENSE: these are not the bytes that were stated'
unfinished g
exit 0
