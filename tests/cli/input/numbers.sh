#!/bin/bash
# G: numbers that are no weights. The place is named to the row and column; nothing is
# delivered unless it was asked for, and then bit for bit.
. "$ROOT/tests/cli/input/lib.sh"
tiny src
w1=layers.1.ffn.experts.3.w1
dense=layers.0.attn.wq_b # [512, 128] in E4M3

# stops TARGET PATTERN...: converting x ends with 81, one line, and no result
stops() {
    rm -rf y
    # shellcheck disable=SC2086
    expect 81 recast convert x y --to $1
    one_line 81 "${@:2}"
    unfinished y
}
# goes TARGET [OPTION]...
goes() {
    rm -rf y
    # shellcheck disable=SC2086
    expect 0 recast convert x y --to $1 "${@:2}"
}
# at TENSOR BYTE: the offset in its file that a message should name
at() { echo $(($(offset_of "$(shard_of x "$1")" "$1") + $2)); }

# G01: E8M0 scales of 255, of packed FP4 and of FP8
fresh x && poke_tensor x $w1.scale $((17 * 8 + 5)) '\xff'
for to in fp8 bf16; do
    stops $to "model-00003-of-00008.safetensors: $w1.scale: @$(at $w1.scale 141): E8M0 scale is 255 .NaN. at row 17, column 5; 1 "
done
expect 0 recast inspect x # headers only: the numbers are not read
fresh x && poke_tensor x $dense.scale 2 '\xff\xff'
for to in 'fp8' 'fp8 --scale-dtype e8m0' bf16; do
    stops "$to" "$dense.scale: @$(at $dense.scale 2): .*(255|NaN).* at row 2, column 0; 2 "
done
# G03: E4M3 codes 0x7f and 0xff
fresh x && poke_tensor x $dense.weight $((300 * 128 + 7)) '\x7f\xff'
for to in 'fp8' 'fp8 --scale-dtype e8m0' bf16; do
    stops "$to" "$dense.weight: @$(at $dense.weight 38407): .*NaN.* at row 300, column 7; 2 "
done
# verify does not pass over what convert refuses
expect 0 recast convert src good --to fp8
expect 1 recast verify x good
poke_tensor good $w1.weight 5 '\x7f'
expect 1 recast verify src good
says out "$w1.weight: .*" DIFFERS

# G07: NaN and Inf outside the quantized weights
fresh x && poke_tensor x layers.1.attn_norm.weight $((2 * 100)) '\xc0\x7f\x80\xff'
stops fp8 "layers.1.attn_norm.weight: @$(at layers.1.attn_norm.weight 200): NaN or infinity at row 0, column 100; 2 " '^recast: hint: --allow-nonfinite'
goes fp8 --allow-nonfinite
says out 'note +2 NaN or Inf were copied'
jq -se 'any(.tensor == "layers.1.attn_norm.weight" and .nonfinite == 2)' y/recast.jsonl >jq.out || fail 'ledger: nonfinite'
off=$(offset_of y/model-00003-of-00008.safetensors layers.1.attn_norm.weight)
[ "$(tail -c +$((off + 201)) y/model-00003-of-00008.safetensors | od -An -tx1 -N4)" = ' c0 7f 80 ff' ] || fail 'bits of NaN'
expect 0 recast verify x y
says err 'warning: .*layers.1.attn_norm.weight: NaN or infinity in NATIVE'
fresh x && poke_tensor x layers.0.hc_attn_base 4 '\x00\x00\x80\x7f'
stops bf16 "layers.0.hc_attn_base: @$(at layers.0.hc_attn_base 4): NaN or infinity at row 0, column 1; 1 "
goes bf16 --allow-nonfinite

# C24 G08: weights that are all zero are a hole in the file, unless it is meant
fresh x && fill_tensor x $w1.weight '\000'
for to in fp8 bf16; do stops $to "$w1.weight: @$(at $w1.weight 0): all zero: the file looks unfinished" '^recast: hint: .*--allow-zero'; done
goes fp8 --allow-zero
expect 0 recast verify x y
fresh x && fill_tensor x $w1.weight '\210' # minus zero, every one
stops fp8 "$w1.weight: @$(at $w1.weight 0): all zero"
fresh x && fill_tensor x embed.weight '\000'
stops fp8 'embed.weight: @[0-9]+: all zero'
# a row, a group, a tile of zeros is a trained weight
fresh x && file=$(shard_of x $w1.weight)
off=$(at $w1.weight 0)
cp --remove-destination "$file" t && dd if=/dev/zero of=t bs=1 count=16384 seek="$off" conv=notrunc status=none && mv t "$file"
goes fp8 && expect 0 recast verify x y

# G02: the smallest and the largest scale; what no F32 can hold is not made into Inf
fresh x && poke_tensor x $w1.scale 0 '\x00'
stops fp8 'cannot be kept exactly' # beside scales around 2^-7
fresh x && fill_tensor x $w1.scale '\000'
goes fp8 && expect 0 recast verify x y
goes 'fp8 --scale-dtype e8m0' && expect 0 recast verify x y
fresh x && fill_tensor x $w1.scale '\376'
stops bf16 "$w1.weight: "
rm -rf y && recast convert x y --to fp8 >out 2>err
case $? in
0) expect 0 recast verify x y ;;
81) one_line 81 "$w1" ;;
*) fail 'scales of 254' ;;
esac
rm -rf y && recast convert x y --to bf16 --exact report >out 2>err
[ $? -eq 81 ] || fail 'Inf was delivered for a finite weight'

# G06 G11: F32 scales, of a model with the layout of Base
rm -rf base && expect 0 recast convert src base --to fp8
rm -rf src && mv base src
for case in '\0\0\xc0\x7f:NaN' '\0\0\x80\x7f:infinite' '\0\0\x80\xff:infinite' '\0\0\x80\xbf:negative'; do
    fresh x && poke_tensor x $w1.scale 4 "${case%:*}"
    for to in 'fp8' 'fp8 --scale-dtype e8m0' bf16; do
        stops "$to" "$w1.scale: @$(at $w1.scale 4): .*${case#*:}.* at row 0, column 1; "
    done
done
fresh x && poke_tensor x $w1.scale 4 '\0\0\0\0' # zero: a tile of zeros
goes bf16 && expect 0 recast verify x y
fresh x && poke_tensor x $w1.scale 4 '\x01\0\0\0' # the smallest subnormal
goes fp8 && expect 0 recast verify x y
stops bf16 'cannot be kept exactly'
# 1.5 * 2^-7 is no power of two: the codes take the 1.5 where they have the bits for it, as
# those that were FP4 do; elsewhere the tile is inexact, and that is said
fresh x && poke_tensor x $w1.scale 4 '\0\0\x40\x3c'
goes fp8 && expect 0 recast verify x y
goes 'fp8 --scale-dtype e8m0' && expect 0 recast verify x y
fresh x && poke_tensor x $dense.scale 4 '\0\0\x40\x3c'
goes fp8 && expect 0 recast verify x y
stops 'fp8 --scale-dtype e8m0' "$dense.weight: 1 of [0-9]+ tiles.* cannot be kept exactly; the first at row (12[89]|1[3-9][0-9]|2[0-9][0-9]), column [0-9]+ .want [-0-9.e]+, got [-0-9.e]+"
goes 'fp8 --scale-dtype e8m0' --exact report
says out 'INEXACT +1 of '
expect 1 recast verify x y
says out "$dense.weight" DIFFERS
expect 0 recast verify x y --min-sqnr 20
