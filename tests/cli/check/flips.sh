#!/bin/bash
# One changed byte, anywhere in any file of a result, is found, and said to be where it is.
# shellcheck source=tests/cli/lib.sh disable=SC2154
. "$ROOT/tests/cli/lib.sh"
tiny src
expect 0 recast convert src fp8 --to fp8 --quiet
expect 0 recast convert src m.gguf --to gguf:mxfp4 --quiet
expect 0 recast check fp8
says out 'every byte is as it was'
expect 0 recast check m.gguf

# flip FILE OFFSET: another bit in this byte
flip() {
    local byte
    byte=$(od -An -tu1 -j "$2" -N1 "$1")
    printf "%b" "$(printf '\\x%02x' $((byte ^ (1 << ($2 % 8)))))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# sweep RESULT FILE STEP: flip, check, look at what is named, flip back
sweep() {
    local size at
    size=$(stat -c %s "$2")
    for ((at = $3 / 3; at < size; at += $3)); do
        flip "$2" "$at"
        "$RECAST" check "$1" --json >out 2>err
        case $?,$2 in
        80,*) jq -e --arg f "${2##*/}" 'any(.findings[]; .level == "fault" and (.file | endswith($f)))' out >jq.out ||
            grep -q "${2##*/}" err || { cat out; fail "$2 at $at: another file is named"; } ;;
        65,*recast.json | 66,*recast.json | 69,*recast.json | 83,*recast.json) grep -q 'recast.json' err || fail "$2 at $at" ;;
        *) cat out; fail "$2: a changed byte at $at is not found" ;;
        esac
        flip "$2" "$at"
        n=$((n + 1))
    done
}
n=0
for f in fp8/model-0000[1247]-*; do sweep fp8 "$f" $(($(stat -c %s "$f") / 12)); done
for f in fp8/config.json fp8/*index.json fp8/tokenizer* fp8/LICENSE fp8/encoding/*; do
    sweep fp8 "$f" $(($(stat -c %s "$f") / 6))
done
sweep fp8 fp8/recast.jsonl 9001
sweep fp8 fp8/recast.json 97
sweep m.gguf m.gguf 300007
sweep m.gguf mtp-m.gguf 150001
sweep m.gguf m.recast.jsonl 30011
sweep m.gguf m.recast.json 211
[ "$n" -ge 200 ] || fail "only $n bytes were tried"
expect 0 recast check fp8
expect 0 recast check m.gguf

# A byte of a tensor: the tensor, and where it lies
line=$(jq -c 'select(.tensor == "layers.1.ffn.experts.3.w2.weight")' fp8/recast.jsonl)
shard=$(jq -r .shard <<<"$line") begin=$(jq -r .out.weight.begin <<<"$line")
flip "fp8/$shard" $((begin + 5))
expect 80 recast check fp8
says out "^fault +$shard: layers.1.ffn.experts.3.w2.weight: @$begin: was changed, between bytes $begin and"
says err "layers.1.ffn.experts.3.w2.weight: @$begin: .*integrity/80"
expect 0 recast check fp8 --quick
flip "fp8/$shard" $((begin + 5))

# The head of a shard: found by --quick, too
flip "fp8/$shard" 100
expect 80 recast check fp8 --quick
says out "$shard: @0: its head .* was changed"
flip "fp8/$shard" 100

# A byte between tensors of a GGUF file
gap=$(jq -s '[.[].out[] | [.begin, .begin + .bytes]] | sort as $p | [range(1; $p | length) | select($p[.][0] > $p[. - 1][1])
    | $p[. - 1][1]] | first // empty' <(jq -c 'select(.shard == "mtp-m.gguf")' m.recast.jsonl))
if [ -n "$gap" ]; then
    flip mtp-m.gguf "$gap"
    expect 80 recast check m.gguf
    says out "mtp-m.gguf: @$gap: a byte between tensors was changed"
    flip mtp-m.gguf "$gap"
fi

# The ledger: named, and tensors are not judged by it
flip fp8/recast.jsonl 5000
expect 80 recast check fp8
says out 'fault +recast.jsonl: was changed'
grep -q 'safetensors' out && fail "tensors are judged by a changed ledger"
flip fp8/recast.jsonl 5000
expect 0 recast check fp8 --threads 1
