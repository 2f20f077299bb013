#!/bin/bash
# Files that are missing, added, renamed, cut; summaries that lie.
# shellcheck source=tests/cli/lib.sh disable=SC2154
. "$ROOT/tests/cli/lib.sh"
command -v xxhsum >/dev/null || { echo "no xxhsum" && exit 77; }
tiny src
expect 0 recast convert src ref --to fp8 --quiet
fresh() { rm -rf d && cp -r ref d; }
s3=model-00003-of-00008.safetensors

fresh && rm d/$s3
expect 80 recast check d
says out "^fault +$s3: is missing"
fresh && mv d/$s3 d/other.safetensors
expect 80 recast check d
says out "^fault +$s3: is missing" "^warning +other.safetensors: is not known" "the size of $s3, which is missing: was it renamed"
fresh && mv d/$s3 d/x && mv d/model-00005-of-00008.safetensors d/$s3 && mv d/x d/model-00005-of-00008.safetensors
expect 80 recast check d
says out "$s3: .*changed" "model-00005-of-00008.safetensors: .*changed"
fresh && truncate -s -1 d/$s3
expect 80 recast check d --quick
says out "$s3: has another size .want [0-9]+ bytes, got [0-9]+."
fresh && truncate -s +1 d/$s3
expect 80 recast check d
fresh && : >d/LICENSE
expect 80 recast check d
says out 'LICENSE: has another size'
fresh && rm d/recast.jsonl
expect 80 recast check d
says out 'recast.jsonl: is missing'
fresh && rm d/encoding/README.md
expect 80 recast check d
says out 'encoding/README.md: is missing'

# Added files are warnings
fresh && echo hello >d/NOTES.md && mkdir d/more && echo x >d/more/x
expect 0 recast check d
says out '^warning +NOTES.md: is not known' '^warning +more/x: is not known'
expect 80 recast check d --strict
expect 0 recast check d --json
jq -e '.equal and .warnings == 2 and .faults == 0 and .format == 2 and .manifests == 1 and .sums == null
    and (.findings | length) == 2' out >jq.out || fail "--json"

# sign: put the summary's own digest right, as one would who wants to be believed
sign() {
    local old new
    old=$(jq -r .run.xxh3_128 d/recast.json)
    sed -i "s/$old/$(printf '0%.0s' {1..32})/" d/recast.json
    new=$(xxhsum -H2 d/recast.json | cut -d' ' -f1)
    sed -i "s/$(printf '0%.0s' {1..32})/$new/" d/recast.json
}
# lie FROM TO STATUS TEXT: a summary that says something else
lie() {
    fresh
    sed -i "0,/$1/s||$2|" d/recast.json
    cmp -s d/recast.json ref/recast.json && fail "nothing to replace: $1"
    [ "$3" = 80 ] || sign
    expect "$3" recast check d
    says err "$4"
}
lie '"file": "LICENSE",$' '"file": "LICENSE" ,' 80 'recast.json: was changed'
lie '"format": 2' '"format": 3' 69 'newer format'
fresh && sign
cmp -s d/recast.json ref/recast.json || fail "the digest of the summary is not what xxhsum says"
edit() { # EXPRESSION STATUS TEXT
    fresh
    jq "$1" ref/recast.json >d/recast.json
    sign
    expect "$2" recast check d
    says err "$3"
}
edit '.shards[1].file = "../'$s3'"' 83 'outside its folder'
edit '.shards[1].file = "/etc/passwd"' 83 'outside its folder'
edit '.files[0].file = "a/../../x"' 83 'outside its folder'
edit '.shards[1].file = .shards[0].file' 65 'lists a file twice'
edit '.files[1].file = "recast.jsonl"' 65 'lists a file twice'
edit '.files[1] |= (.file = "recast.json")' 65 'two summaries, or is one itself'
edit '.ledger.file = "../recast.jsonl"' 83 'outside its folder'
edit 'del(.files)' 65 'files'
edit 'del(.shards[0].head_xxh3_128)' 65 'head_xxh3_128'
edit '.shards[0].head_bytes = 1e9' 65 'head'
edit '.shards[2].bytes += 5' 80 'another size'
edit 'del(.run.xxh3_128)' 65 'xxh3_128'

# What is not finished says so
fresh && mv d/recast.json kept && touch d/recast.journal
expect 66 recast check d
says err 'unfinished conversion' 'repeat the command'
rm d/recast.journal
expect 66 recast check d
says err 'nothing says'
expect 66 recast check nowhere
expect 64 recast check
expect 64 recast check ref --quick --sums write

# Format 1 is read, as far as it goes
fresh
jq -c 'del(.out[].begin)' ref/recast.jsonl >d/recast.jsonl
jq --arg x "$(xxhsum -H2 d/recast.jsonl | cut -d' ' -f1)" '.format = 1 | .ledger = {file: "recast.jsonl", xxh3_128: $x}
    | .shards |= map({file, bytes}) | del(.files) | del(.run.xxh3_128)' ref/recast.json >d/recast.json
expect 0 recast check d --strict
says out '508 tensors'
printf 'x' | dd of=d/$s3 bs=1 seek=1000000 conv=notrunc status=none
expect 80 recast check d
says out "$s3: layers.* was changed"
exit 0
