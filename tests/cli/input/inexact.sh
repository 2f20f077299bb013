#!/bin/bash
# G: 128x128 tiles whose FP4 groups lie too far apart for one E4M3 scale. Never rounded in
# silence: refused by name and number, or delivered and counted.
. "$ROOT/tests/cli/input/lib.sh"
tiny src
w1=layers.1.ffn.experts.3.w1

# tile EXPONENT LOW_CODES: the first tile of w1 has scales 2^0 and code 6 everywhere, but the
# group at row 3, columns 32..63 has scale 2^EXPONENT and these 16 bytes
tile() {
    local file off
    fresh x
    file=$(shard_of x $w1.weight)
    cp --remove-destination "$file" t
    off=$(offset_of t $w1.weight)
    zeros 16384 | tr '\000' '\167' | dd of=t bs=1 seek="$off" conv=notrunc status=none
    printf '%b' "$2" | dd of=t bs=1 seek=$((off + 3 * 128 + 16)) conv=notrunc status=none
    off=$(offset_of t $w1.scale)
    zeros 2048 | tr '\000' '\177' | dd of=t bs=1 seek="$off" conv=notrunc status=none
    printf '%b' "\\x$(printf %x $((127 + $1)))" | dd of=t bs=1 seek=$((off + 3 * 8 + 1)) conv=notrunc status=none
    mv t "$file"
}
codes() { for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do printf %s "$1"; done; }
# kept: x converts exactly, whatever the scales are stored as
kept() {
    rm -rf y z
    expect 0 recast convert x y --to fp8
    expect 0 recast verify x y
    expect 0 recast convert x z --to fp8 --scale-dtype e8m0
    expect 0 recast verify x z
}

# Everything that E4M3 can hold beside 6 * 2^0: down to 0.5 * 2^-14 and beyond, where the
# scale that is chosen puts 6 near the top of the range and the small ones are subnormal.
for e in -1 -6 -12; do tile $e "$(codes '\x77')" && kept; done
# 0.5, 1 and 1.5 need one more bit at each step: 1.5 is lost before 1 is
tile -14 "$(codes '\x22')" && kept # ones
tile -60 "$(codes '\x00')" && kept # zeros have no exponent

tile -20 "$(codes '\x13')" # 1.5 and 0.5 at 2^-20
expect 81 recast convert x y1 --to fp8
one_line 81 "model-00003-of-00008.safetensors: $w1.weight: 1 of [0-9]+ tiles .* cannot be kept exactly; the first at row 3, column 32 .want 1.43051147e-06, got [0-9.e-]+" \
    '^recast: hint: --exact report'
unfinished y1
expect 0 recast convert x y1 --to fp8 --exact report
says out "INEXACT +1 of [0-9]+ tiles in 1 tensors; the first: $w1.weight, row 3, column 32: 1.43051147e-06 became"
jq -e '.exact == false and .totals.tiles - .totals.tiles_exact == 1' y1/recast.json >jq.out || fail 'recast.json'
jq -se --arg t $w1.weight 'any(.tensor == $t and .first_inexact.row == 3 and .first_inexact.column == 32)' y1/recast.jsonl >jq.out || fail 'ledger'
[ "$(jq -s 'map(select(.first_inexact)) | length' y1/recast.jsonl)" = 1 ] || fail 'one tensor is inexact'
expect 1 recast verify x y1
says out "$w1.weight" DIFFERS
expect 0 recast verify x y1 --min-sqnr 60
# the same on any number of threads and any kernel
expect 0 recast convert x y2 --to fp8 --exact report --threads 1 --cpu ref
same y1 y2
# BF16 holds it all
expect 0 recast convert x y3 --to bf16
expect 0 recast verify x y3
