#!/bin/bash
# A: the header of a shard. Each is refused with 65 (69 where it is well formed but not
# for us), at the byte that is wrong, by every command, at once.
. "$ROOT/tests/cli/input/lib.sh"
tiny src
by_turns=yes
f=model.safetensors

# bad CODE HEADER NBYTES PATTERN...
bad() {
    single b "$2" "$3"
    refuses "$1" b "$f: " "${@:4}"
}
# raw BYTES NBYTES PATTERN...: the whole file is BYTES (printf %b) and so many zeros
raw() {
    rm -rf b && mkdir b && cp src/config.json b
    { printf '%b' "$1"; zeros "$2"; } >b/$f
    refuses 65 b "$f: " "${@:3}"
}
one='"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'

# A01 A02: too short to be anything
raw '' 0 '@0: file is 0 bytes, need at least 8'
for n in 1 7; do raw '' $n "@0: file is $n bytes, need at least 8"; done
raw '\0\0\0\0\0\0\0\0' 0 '@8: header is not a JSON object'
raw '\x01\0\0\0\0\0\0\0{' 0 '@8: header is not a JSON object'
# A03 A04 A05: lengths that are not there, or cannot be
raw '\xe8\x03\0\0\0\0\0\0{' 91 '@100: .*1000 bytes stated, 92 there are'
raw '\0\0\0\0\0\x20\0\0{' 91 '@0: .*35184372088832 bytes' 'limit 100000000'
raw '\xff\xff\xff\xff\xff\xff\xff\xff{' 91 '@0: .*18446744073709551615'
raw '\xf8\xff\xff\xff\xff\xff\xff\xff{' 91 '@0: .*18446744073709551608'
raw '\0\0\0\0\0\0\0\x80{' 91 '@0: .*9223372036854775808'
raw '\x01\xe1\xf5\x05\0\0\0\0{' 91 '@0: header 100000001 bytes, limit 100000000'
# A35
raw '\0\0\0\0\0\0\0\x40{' 91 '@0: header length has its bytes swapped' 'hint: byte order\?'
# A07 A08: what stands before and after the object
bad 65 $'\xef\xbb\xbf{'"$one}" 8 '@8: '
bad 65 "[$one]" 8 '@8: header is not a JSON object'
raw '\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0' 8 '@(0|8): '
bad 65 "{$one}x" 8 '@62: '
raw '\x10\0\0\0\0\0\0\0{}\0\0\0\0\0\0\0\0\0\0\0\0\0\0' 0 '@10: '
# A10 A11 A33: names
bad 65 $'{"a\xffb":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}' 8 '@1[0-9]: '
bad 65 $'{"a\xc0\xafb":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}' 8 '@1[0-9]: '
bad 65 '{"a\ud800b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}' 8 '@[19][0-9]?: '
bad 65 '{"a\u0000b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}' 8 '@[19][0-9]?: '
bad 65 '{"":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}' 8 '@9: tensor name is empty'
long=$(zeros 1048576 | tr '\0' n)
bad 65 "{\"$long\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}" 8 '@9: tensor name is too long' 'got 1048576'
# A12: the same key twice, the entries equal or not
bad 65 "{$one,$one}" 8 '@62: duplicate key "?w' '\b9\b'
bad 65 "{$one,\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}" 12 '@62: duplicate key "?w'
bad 65 '{"w":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}' 8 '@28: duplicate key "?dtype'
# A13 A14: __metadata__
for v in 1 '["a"]' null true '"text"'; do bad 65 "{\"__metadata__\":$v,$one}" 8 '@24: __metadata__ is not an object'; done
for v in 1 '[]' '{}' null; do bad 65 "{\"__metadata__\":{\"k\":$v},$one}" 8 '@29: __metadata__ holds something besides strings'; done
bad 65 "{\"__metadata__\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}" 8 '__metadata__ holds something'
bad 65 "{\"__metadata__\":{},\"__metadata__\":{},$one}" 8 'duplicate key "?__metadata__'
# A16 A17 A18: fields that are missing, unknown, not for us
bad 65 '{"w":{"shape":[2],"data_offsets":[0,8]}}' 8 'w: @[0-9]+: dtype is missing'
bad 65 '{"w":{"dtype":"F32","data_offsets":[0,8]}}' 8 'w: @[0-9]+: shape is missing'
bad 65 '{"w":{"dtype":"F32","shape":[2]}}' 8 'w: @[0-9]+: data_offsets is missing'
bad 65 '{"w":{}}' 8 'w: @[0-9]+: dtype is missing'
for v in '"F8_E4M3X"' '"f32"' '""'; do bad 65 "{\"w\":{\"dtype\":$v,\"shape\":[2],\"data_offsets\":[0,8]}}" 8 "w: @22: unknown dtype $v"; done
for v in 32 null '["F32"]' '{"F32":1}'; do bad 65 "{\"w\":{\"dtype\":$v,\"shape\":[2],\"data_offsets\":[0,8]}}" 8 'w: @22: dtype is not a string'; done
bad 69 '{"w":{"dtype":"C64","shape":[1],"data_offsets":[0,8]}}' 8 'w: @[0-9]+: dtype C64'
bad 69 '{"w":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3]}}' 3 'w: @[0-9]+: dtype F6_E2M3'
bad 69 '{"w":{"dtype":"F8_E4M3FNUZ","shape":[8],"data_offsets":[0,8]}}' 8 'w: @[0-9]+: dtype F8_E4M3FNUZ'
for v in 1 null '"x"' '[]'; do bad 65 "{\"w\":$v}" 0 'w: @[0-9]+: entry is not an object'; done
# A19 A20 A21 A22 A23: shapes
digits=$(zeros 400 | tr '\0' 9)
for v in -1 2.0 1e2 '"2"' null '[2]' '{"a":1}' 9223372036854775808000 18446744073709551616 "$digits"; do
    bad 65 "{\"w\":{\"dtype\":\"F32\",\"shape\":[1,$v],\"data_offsets\":[0,8]}}" 8 'w: @39: shape\[1\] is not a whole number'
done
bad 65 '{"w":{"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,8]}}' 8 'w: @[0-9]+: size overflow'
bad 65 '{"w":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}' 8 'w: @[0-9]+: size overflow'
bad 65 '{"w":{"dtype":"F64","shape":[288230376151711744],"data_offsets":[0,8]}}' 8 'w: @[0-9]+: size overflow'
bad 65 '{"w":{"dtype":"F32","shape":[0,4],"data_offsets":[0,8]}}' 8 'w: @[0-9]+: data_offsets do not span' 'want 0 bytes, got 8'
bad 65 '{"w":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,2],"data_offsets":[0,8]}}' 8 'w: @[0-9]+: shape has more than 8'
ones=$(zeros 100000 | sed 's/\x00/1,/g')
bad 65 "{\"w\":{\"dtype\":\"F32\",\"shape\":[${ones}2],\"data_offsets\":[0,8]}}" 8 'w: @[0-9]+: shape has more than 8'
for v in 2 null '{"0":2}' '"2"'; do bad 65 "{\"w\":{\"dtype\":\"F32\",\"shape\":$v,\"data_offsets\":[0,8]}}" 8 'w: @[0-9]+: shape is not a list'; done
# A24 A25 A30: ranges
for v in '[8,0]' '[-8,0]' '[0]' '[]' '[0,4,8]' '[0.0,8.0]' '["0","8"]' '[0,[8]]' null 8; do
    bad 65 "{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":$v}}" 8 'w: @[0-9]+: data_offsets'
done
bad 65 '{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,9]}}' 8 'w: @[0-9]+: data_offsets end past the data section' 'want <= 8, got 9'
bad 65 '{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,1099511627784]}}' 8 'want <= 8, got 1099511627784'
bad 65 '{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,7]}}' 8 'w: @[0-9]+: ' 'want 8 bytes, got 7'
bad 65 '{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,9]}}' 16 'w: @[0-9]+: ' 'want 8 bytes, got 9'
# A26 A27 A28: tensors must tile the data
bad 65 "{$one,\"v\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}" 8 'v: @62: overlaps tensor w'
bad 65 "{$one,\"v\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[7,15]}}" 15 'v: @62: overlaps tensor w' 'want begin 8, got 7'
bad 65 "{$one,\"v\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[12,20]}}" 20 'v: @[0-9]+: hole before this tensor: bytes 8 to 12'
bad 65 '{"w":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}' 12 'w: @[0-9]+: hole before this tensor: bytes 0 to 4'
bad 65 "{$one}" 11 '@[0-9]+: 3 bytes after the last tensor'
bad 65 '{}' 5 '@10: 5 bytes after the last tensor'
# A31
bad 65 '{"w":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}}' 1 'w: @[0-9]+: not a whole number of bytes'
# A34 A37
deep=$(zeros 200000 | tr '\0' '[')
bad 65 "{\"w\":$deep" 0 '@[0-9]+: '
bad 65 "$deep" 0 '@8: header is not a JSON object'
for v in +1 01 1_0 0x10 NaN Infinity '1,' '/*x*/1' '#1' "'1'" 1.; do
    bad 65 "{\"w\":{\"dtype\":\"F32\",\"shape\":[$v],\"data_offsets\":[0,4]}}" 4 '@[34][0-9]: '
done
bad 65 "{$one,}" 8 '@[56][0-9]: '
bad 65 "{'w':{}}" 0 '@9: '

# A07 A15: odd, but it says the same: a warning, an error under --strict
first=src/model-00001-of-00008.safetensors
expect 0 recast convert src plain --to fp8 --tensors embed.weight
fresh odd
text=$(header $first)
shard odd/x "   $text" 0
{ cat odd/x; data $first; } >odd/y && rm odd/x && mv odd/y odd/${first#src/}
accepts odd 'warning: model-00001-of-00008.safetensors: @8: 3 spaces before the header'
expect 65 bounded convert odd refused --to fp8 --strict
one_line 65 --strict
expect 0 recast convert odd o1 --to fp8 --tensors embed.weight
cmp plain/model-00001-of-00001.safetensors o1/model-00001-of-00001.safetensors || fail "spaces changed the result"
fresh odd
rewrite_header odd/${first#src/} '.["embed.weight"].strides = [{"a": [1]}, 1]'
accepts odd 'warning: model-00001-of-00008.safetensors: embed.weight: @[0-9]+: unknown field "strides" is ignored'
expect 65 bounded convert odd refused --to fp8 --strict
[ ! -e refused ] || fail "--strict wrote something"
expect 0 recast convert odd o2 --to fp8 --tensors embed.weight
cmp plain/model-00001-of-00001.safetensors o2/model-00001-of-00001.safetensors || fail "a field changed the result"
# A13 A22 A23: what is fine
fresh odd
rewrite_header odd/${first#src/} '.__metadata__ = {}'
expect 0 bounded inspect odd
single b '{"s":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"e":{"dtype":"F32","shape":[0,4],"data_offsets":[4,4]}}' 4
refuses 82 b 'missing' # parsed; only the model is not there
