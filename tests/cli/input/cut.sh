#!/bin/bash
# A09 A29: a shard that ends too early is never taken for a whole one. A small file cut at
# every byte, a true shard at the edges of its tensors; and what other files may lie there.
. "$ROOT/tests/cli/input/lib.sh"
tiny src
by_turns=yes
h='{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"BF16","shape":[1],"data_offsets":[8,10]}}'
single b "$h" 10
mv b/model.safetensors whole
size=$(stat -c %s whole)
step=1
[ -z "$sanitized" ] || step=7
for ((n = 0; n < size; n += step)); do
    rm -f b/model.safetensors
    head -c $n whole >b/model.safetensors
    expect 65 bounded inspect b
    one_line 65 "model.safetensors: .*@[0-9]+: "
    # the header itself, cut: the length agrees, the JSON does not
    if [ $n -gt 0 ] && [ $n -lt ${#h} ]; then
        shard b/model.safetensors "${h:0:n}" 0
        expect 65 bounded inspect b
        at=$((n == 1 ? 8 : 8 + n))
        one_line 65 "model.safetensors: .*@$at: "
    fi
done
file=model-00003-of-00008.safetensors
for t in layers.1.hc_attn_fn layers.1.ffn.experts.7.w2.weight; do
    off=$(offset_of src/$file $t)
    for n in $((off - 1)) "$off" $((off + 1)); do
        fresh b
        head -c "$n" src/$file >b/x && mv b/x b/$file
        refuses 65 b "$file: [a-z0-9_.]+: @$n: the file ends inside this tensor" 'unfinished download'
    done
done

# A36: it is something else
other() {
    rm -rf b && mkdir b && cp src/config.json b
    { printf '%b' "$1"; zeros 1000; } >b/model.safetensors
    refuses 65 b "model.safetensors: @0: .*looks like $2" '^recast: hint: '
}
other 'GGUF\x03\0\0\0' 'a GGUF file'
other 'PK\x03\x04\x14\0\0\0' 'a zip archive or PyTorch'
other '\x80\x02}q\0(X\x01\0' 'a Python pickle'
other '<!DOCTYPE html><html>' 'an HTML page'
other '\n\n  <html lang="en">' 'an HTML page'
other 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n' 'a Git LFS pointer'
other '# xet version 0\nfilesize = 1\n' 'a Xet pointer'
other '\x1f\x8b\x08\x08\x12\x34\x56\x67\0\x03' 'a gzip file'
other '\0\0\0\0\0\0\0\0\0\0\0\0' 'an unfinished download'
other 'Access denied: gated model, log in' 'a text'
