#!/bin/bash
# A06 A32 B15: inputs that are merely enormous. Answered at once, in bounded memory.
. "$ROOT/tests/cli/input/lib.sh"
tiny src

# within SECONDS KILOBYTES CODE ARGUMENTS...: of processor time and address space
within() {
    local s=$1 kb=$2 code=$3
    shift 3
    (
        ulimit -t "$((s * sanitized_factor))"
        [ "$sanitized" ] || ulimit -v "$kb"
        exec "$RECAST" "$@" >out 2>err
    )
    [ $? -eq "$code" ] || fail "$*: want $code"
}
sanitized_factor=1
[ -z "$sanitized" ] || sanitized_factor=20

# B15: an index of spaces, larger than the cap: not even read
fresh x && rm x/$index && truncate -s 300M x/$index
within 2 60000 84 inspect x
one_line 84 "$index: .*too large.* .want at most 268435456 bytes, got 314572800"
# a hole of zeros within the cap costs its own size and no more
fresh x && rm x/$index && truncate -s 200M x/$index
within 2 300000 65 inspect x
one_line 65 "$index: @0: "
# A03: a shard of 10 GB that states a header of 90 MB and has none
fresh x && rm x/model-00001-of-00008.safetensors
le64 90000000 >x/model-00001-of-00008.safetensors
truncate -s 10G x/model-00001-of-00008.safetensors
within 2 60000 65 inspect x
one_line 65 '@8: header is not a JSON object'
# A06: a sound header padded with spaces up to the limit
fresh x && f=model-00001-of-00008.safetensors
text=$(header "src/$f")
{ le64 100000000; printf %s "$text"; head -c $((100000000 - ${#text})) /dev/zero | tr '\0' ' '; data "src/$f"; } >x/t
mv x/t "x/$f"
within 10 300000 0 inspect x
# A32: a million tensors that claim the same bytes, and none of them valid together
rm -rf x && mkdir x && cp src/config.json x
perl -e 'my $h = "{" . join(",", map { "\"t$_\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}" } 1 .. 1000000) . "}";
    print pack("Q<", length $h), $h, "\0" x 8' >x/model.safetensors
within 5 700000 65 inspect x
one_line 65 'overlaps tensor t'
# the same under --mem-limit: refused, not killed
within 5 700000 71 convert x y --to fp8 --mem-limit 64M
one_line 71
# J: 70,000 files are no checkpoint folder
if [ ! "$sanitized" ]; then
    mkdir many && cp src/config.json many
    (cd many && seq -f 'f%g' 70000 | xargs touch)
    within 2 100000 84 inspect many
    one_line 84 'more than 65536 files'
fi
# converting takes the memory that it was given, and the answer is the same
expect 0 recast convert src d1 --to fp8
[ "$sanitized" ] || (ulimit -v 400000; exec "$RECAST" convert src d2 --to fp8 --threads 2 --mem-limit 64M >out 2>err) || { cat err; fail '400 MB of address space'; }
[ "$sanitized" ] || same d1 d2
