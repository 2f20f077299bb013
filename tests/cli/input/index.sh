#!/bin/bash
# B01-B17: the index. What it says is checked against the files before anything is done.
. "$ROOT/tests/cli/input/lib.sh"
tiny src
by_turns=yes
a=model-00001-of-00008.safetensors b=model-00002-of-00008.safetensors
# map JQ_FILTER: a copy of src with another index
map() {
    fresh x
    edit_json x/$index "$1"
}
# text BYTES: a copy whose index is these bytes
text() {
    fresh x
    rm x/$index
    printf '%b' "$1" >x/$index
}

# B01
fresh x && rm x/$index
refuses 66 x "no $index beside 8 shards" '^recast: hint: '
# B02
map 'del(.weight_map)'; refuses 65 x "$index: .*weight_map"
for v in '{}' '[]' null 1 '"x"'; do map ".weight_map = $v"; refuses 65 x "$index: .*weight_map"; done
for v in 1 null '[]' '{}' true; do map ".weight_map[\"embed.weight\"] = $v"; refuses 65 x "$index: embed.weight: @[0-9]+: "; done
for v in '""' '"."'; do map ".weight_map[\"embed.weight\"] = $v"; refuses 65 x "$index: embed.weight: @[0-9]+: weight_map: no shard name"; done
text '{"weight_map":{"embed.weight":"a\\u0000b"}}'; refuses 65 x "$index: @[0-9]+: "
# B03 B04: names that lead elsewhere; nothing is opened
for v in ../x.safetensors a/../../x /etc/passwd '..\\x' 'C:\\x' file:///x https://other/x 'a?b' 'a#b' 'a\r\nHost: x' .. a/b; do
    map ".weight_map[\"embed.weight\"] = \"$v\""
    refuses 83 x "$index: embed.weight: @[0-9]+: .*not a plain file name"
done
if command -v strace >/dev/null && [ ! "$sanitized" ]; then
    map '.weight_map["embed.weight"] = "../secret.safetensors"' && echo secret >secret.safetensors
    strace -f -e trace=open,openat -o trace "$RECAST" inspect x >out 2>err
    if grep -q secret trace; then fail "a forbidden name was opened"; fi
fi
# B07
fresh x && rm x/$b; refuses 66 x "$index: 1 of 8 shards missing: $b" '^recast: hint: '
fresh x && rm x/*.safetensors; refuses 66 x "8 of 8 shards missing: $a, $b"
# B08: a shard that is not listed is not used
fresh x && cp x/$a x/stray.safetensors
accepts x 'warning: .*1 shard not listed, not used: stray.safetensors'
expect 65 bounded convert x refused --to fp8 --strict
[ ! -e refused ] || fail '--strict wrote something'
# B09 B10
map '.weight_map["no.such"] = "model-00001-of-00008.safetensors"'
refuses 82 x "$index: no.such: .*in no shard" "$a"
map '.weight_map["layers.0.attn_norm.weight"] = "model-00001-of-00008.safetensors"'
refuses 82 x "$index: layers.0.attn_norm.weight: .*another shard" "want $a, got $b"
map 'del(.weight_map["layers.0.attn_norm.weight"])'
refuses 82 x 'layers.0.attn_norm.weight: '
fresh x && add_tensor x $b embed.weight BF16 '[384,256]' 196608
cp --remove-destination src/$index x
refuses 82 x "embed.weight: tensor is in two shards; also in $a"
# B11: a wrong total_size is told, and an error under --strict
for v in 5 -1 1.5 1e30 '"x"' 100000000000000000000000000000000; do
    fresh x && rm x/$index
    sed "s/\"total_size\": [0-9]*/\"total_size\": $v/" src/$index >x/$index
    expect 0 bounded convert x refused --to fp8 --dry-run
    says err 'warning: .*total_size'
    expect 65 bounded convert x refused --to fp8 --dry-run --strict
    expect 82 bounded inspect x --strict
done
# B12
map '.weight_map |= with_entries(select(.value != "model-00008-of-00008.safetensors"))'
refuses 82 x "$index: "
# B13: another letter case is another name
map '.weight_map["embed.weight"] = "MODEL-00001-OF-00008.safetensors"'
refuses 82 x "$index: weight_map does not list the whole set"
# B14
text '{"weight_map":{"embed.weight":"a","embed.weight":"a"}}'
refuses 65 x "$index: @34: duplicate key \"?embed.weight.*15"
# B16: BOM, UTF-16, NUL, CRLF
text '\xef\xbb\xbf{"weight_map":{}}'; refuses 65 x "$index: @0: "
text '\xff\xfe{\0"\0'; refuses 65 x "$index: @0: "
fresh x && rm x/$index && { cat src/$index; printf '\0'; } >x/$index; refuses 65 x "$index: @[0-9]+: "
fresh x && rm x/$index && sed 's/$/\r/' src/$index >x/$index; accepts x 'whole'
# B17: cut
small='{"metadata":{"total_size":5},"weight_map":{"embed.weight":"model.safetensors"}}'
for ((n = 0; n < ${#small}; n += 3)); do
    text "${small:0:n}"
    refuses 65 x "$index: @$n: "
done
# B29
deep=$(zeros 100000 | tr '\0' '[')
text "{\"metadata\":$deep"; refuses 65 x "$index: @[0-9]+: "
