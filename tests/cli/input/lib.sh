#!/bin/bash
# tests/cli/input/lib.sh - how to break a checkpoint, and what must hold whatever is broken.
# Sourced by the scripts beside it. Folders made by fresh() share their files with `src`
# (hard links), so nothing here writes into a file: each change makes a new one.
. "$ROOT/tests/cli/lib.sh"
export LC_ALL=C # ${#text} counts bytes

case $O in
*asan* | *tsan*) sanitized=yes seconds=60 ;;
*) sanitized='' seconds=2 ;;
esac

# bounded ARGUMENTS: recast with 2 s of processor time (a busy machine is no failure) and
# 200 MB of address space, of which the program and its libraries are a part
bounded() {
    (
        ulimit -t "$seconds"
        [ "$sanitized" ] || ulimit -v 200000
        exec timeout 60 "$RECAST" "$@"
    )
}

# one_line CODE PATTERN...: ./err is one clean error line of this code that says all this
one_line() {
    local code=$1
    shift
    tail -n 2 err | grep -q "^recast: error: .*/$code\]\$" || fail "the last word is not an error line with /$code]"
    if LC_ALL=C grep -q '[^ -~]' err; then fail "raw bytes in a message"; fi
    says err "$@"
}

# refuses CODE DIR PATTERN...: inspect, convert and verify (on either side) all refuse DIR
# and write nothing. Where a script has by_turns set, inspect and one of the others.
turn=0
refuses() {
    local code=$1 dir=$2 run
    shift 2
    turn=$((turn + 1))
    for run in 0 1 2 3; do
        [ $run -eq 0 ] || [ -z "${by_turns:-}" ] || [ $((turn % 3 + 1)) -eq $run ] || continue
        case $run in
        0) expect "$code" bounded inspect "$dir" ;;
        1) expect "$code" bounded convert "$dir" refused --to fp8 ;;
        2) expect "$code" bounded verify "$dir" src ;;
        3) expect "$code" bounded verify src "$dir" ;;
        esac
        one_line "$code" "$@"
    done
    [ ! -e refused ] || fail "convert of $dir wrote something"
}

# accepts DIR PATTERN...: inspect is content with DIR and says this on either channel
accepts() {
    local dir=$1
    shift
    expect 0 bounded inspect "$dir"
    cat err >>out
    says out "$@"
}

# fresh DIR: a copy of src that may be broken
fresh() {
    rm -rf "$1"
    cp -al src "$1"
}

le64() {
    local n=$1 s=''
    for _ in 1 2 3 4 5 6 7 8; do
        s+=$(printf '\\x%02x' $((n & 255)))
        n=$((n >> 8))
    done
    printf '%b' "$s"
}

zeros() { head -c "$1" /dev/zero; }

# shard FILE HEADER NBYTES: a file of this header, as it stands, and so many bytes of data
shard() {
    {
        le64 "$(printf %s "$2" | wc -c)"
        printf %s "$2"
        zeros "$3"
    } >"$1.new" && mv "$1.new" "$1"
}

# single DIR HEADER NBYTES: a checkpoint of one such file, for faults met before the tensors
single() {
    rm -rf "$1" && mkdir "$1" && cp src/config.json "$1"
    shard "$1/model.safetensors" "$2" "$3"
}

header_len() { od -An -tu8 -N8 "$1" | tr -d ' '; }
header() { tail -c +9 "$1" | head -c "$(header_len "$1")"; }
data() { tail -c +$((9 + $(header_len "$1"))) "$1"; }

# rewrite_header FILE JQ_FILTER [JQ_ARGUMENTS]: another header before the same data
rewrite_header() {
    local file=$1 text
    text=$(header "$file" | jq -c "${@:3}" "$2") || fail "jq: $2"
    while [ $((${#text} % 8)) -ne 0 ]; do text+=' '; done
    {
        le64 ${#text}
        printf %s "$text"
        data "$file"
    } >"$file.new" && mv "$file.new" "$file"
}

# edit_json FILE JQ_FILTER [JQ_ARGUMENTS]
edit_json() {
    jq "${@:3}" "$2" "$1" >"$1.new" && mv "$1.new" "$1"
}

index=model.safetensors.index.json
# shard_of DIR TENSOR: path of the file that holds it
shard_of() { echo "$1/$(jq -r --arg t "$2" '.weight_map[$t]' "$1/$index")"; }
# offset_of FILE TENSOR: of its first byte in the file
offset_of() {
    echo $((8 + $(header_len "$1") + $(header "$1" | jq --arg t "$2" '.[$t].data_offsets[0]')))
}
# size_of FILE TENSOR: its bytes
size_of() { header "$1" | jq --arg t "$2" '.[$t].data_offsets | .[1] - .[0]'; }

# poke FILE OFFSET BYTES: BYTES as printf %b writes them
poke() {
    cp --remove-destination "$1" "$1.new"
    printf '%b' "$3" | dd of="$1.new" bs=1 seek="$2" conv=notrunc status=none
    mv "$1.new" "$1"
}

# poke_tensor DIR TENSOR BYTE_IN_TENSOR BYTES
poke_tensor() {
    local file
    file=$(shard_of "$1" "$2")
    poke "$file" $(($(offset_of "$file" "$2") + $3)) "$4"
}

# fill_tensor DIR TENSOR BYTE: every byte of it (as \ooo)
fill_tensor() {
    local file
    file=$(shard_of "$1" "$2")
    cp --remove-destination "$file" "$file.new"
    zeros "$(size_of "$file" "$2")" | tr '\000' "$3" |
        dd of="$file.new" bs=64K seek="$(offset_of "$file" "$2")" oflag=seek_bytes conv=notrunc status=none
    mv "$file.new" "$file"
}

# drop_tensor DIR TENSOR: out of the index, the header and the data
drop_tensor() {
    local file off size
    file=$(shard_of "$1" "$2")
    off=$(offset_of "$file" "$2")
    size=$(size_of "$file" "$2")
    { head -c "$off" "$file"; tail -c +$((off + size + 1)) "$file"; } >"$file.cut"
    mv "$file.cut" "$file"
    # shellcheck disable=SC2016
    rewrite_header "$file" '.[$t].data_offsets[1] as $stop | del(.[$t]) | map_values(
        if .data_offsets and .data_offsets[0] >= $stop then .data_offsets |= map(. - $n) else . end)' \
        --arg t "$2" --argjson n "$size"
    # shellcheck disable=SC2016
    edit_json "$1/$index" 'del(.weight_map[$t]) | .metadata.total_size -= $n' --arg t "$2" --argjson n "$size"
}

# add_tensor DIR FILE NAME DTYPE SHAPE NBYTES: zeros at the end of that shard
add_tensor() {
    local file=$1/$2
    # shellcheck disable=SC2016
    rewrite_header "$file" '([.[].data_offsets? // [0, 0] | .[1]] | max) as $stop
        | .[$t] = {dtype: $d, shape: $s, data_offsets: [$stop, $stop + $n]}' \
        --arg t "$3" --arg d "$4" --argjson s "$5" --argjson n "$6"
    { cat "$file"; zeros "$6"; } >"$file.new" && mv "$file.new" "$file"
    # shellcheck disable=SC2016
    edit_json "$1/$index" '.weight_map[$t] = $f | .metadata.total_size += $n' \
        --arg t "$3" --arg f "$2" --argjson n "$6"
}

# rename_tensor DIR FROM TO
rename_tensor() {
    # shellcheck disable=SC2016
    rewrite_header "$(shard_of "$1" "$2")" \
        'with_entries(if .key == $a then .key = $b else . end)' --arg a "$2" --arg b "$3"
    # shellcheck disable=SC2016
    edit_json "$1/$index" '.weight_map |= with_entries(if .key == $a then .key = $b else . end)' \
        --arg a "$2" --arg b "$3"
}
