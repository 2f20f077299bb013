#!/bin/bash
# A damaged model: one line with file, tensor and offset; no result is left behind.
. "$ROOT/tests/cli/input/lib.sh"
export OMP_WAIT_POLICY=passive
expect 0 recast synth src --like tiny --layers 3 --experts 2 --quiet
ids=$(seq -s, 1 2 60)
refused() {
    local code=$1
    shift
    expect "$code" recast run x --tokens "$ids" --logits x.st --trace t.st --threads 1
    one_line "$code" "$@"
    [ ! -s out ] || fail "wrote text"
    [ -z "$(find . -name '*.st*')" ] || fail "left $(find . -name '*.st*')"
}
# NaN: in an expert's scale, in a dense tensor, its scale, a norm, the embedding
fresh x && poke_tensor x layers.1.ffn.experts.1.w2.scale 19 '\xff'
refused 81 'model-0000[0-9]-of-[0-9]+.safetensors: layers.1.ffn.experts.1.w2.weight: @[0-9]+: element .2, 96. is NaN'
fresh x && poke_tensor x layers.2.attn.wq_b.weight 1300 '\x7f'
refused 81 'layers.2.attn.wq_b.weight: @[0-9]+: element .10, 20. is NaN'
fresh x && poke_tensor x layers.2.attn.wq_b.scale 1 '\xff'
refused 81 'layers.2.attn.wq_b.weight: @[0-9]+: element .128, 0. is NaN'
fresh x && poke_tensor x layers.0.ffn_norm.weight 6 '\xc0\x7f'
refused 81 'layers.0.ffn_norm.weight: @[0-9]+: element .0, 3. is NaN'
fresh x && poke_tensor x embed.weight $((512 * 5)) '\x80\x7f'
refused 81 'embed.weight: @[0-9]+: element .5, 0. is infinite'
fresh x && poke_tensor x head.weight $((512 * 300 + 2)) '\xc0\xff'
refused 81 'head.weight: @[0-9]+: element .300, 1. is NaN'
# native numerics find it, too
fresh x && poke_tensor x layers.2.attn.wq_b.weight 1300 '\xff'
expect 81 recast run x --tokens "$ids" -n 1 --threads 1 --numerics native
one_line 81 'layers.2.attn.wq_b.weight: @[0-9]+: element .10, 20. is NaN'
# a row of the embedding that nobody asked for is not read
fresh x && poke_tensor x embed.weight $((512 * 6)) '\x80\x7f'
expect 0 recast run x --tokens "$ids" -n 1 --threads 1
# the table of experts by token
for v in '\x02\0\0\0\0\0\0\0' '\xff\xff\xff\xff\xff\xff\xff\xff' '\0\0\0\0\x01\0\0\0'; do
    fresh x && poke_tensor x layers.0.ffn.gate.tid2eid $((16 * 7 + 8)) "$v"
    refused 65 'layers.0.ffn.gate.tid2eid: @[0-9]+: entry .7, 1. points at expert (2|-1|4294967296) .want below 2'
done
fresh x && poke_tensor x layers.0.ffn.gate.tid2eid $((16 * 7)) '\x01\0\0\0\0\0\0\0\x01'
refused 65 'layers.0.ffn.gate.tid2eid: @[0-9]+: entry .7, 1. points at expert 1 for the second time'
# what is not there
fresh x && f=$(shard_of x layers.1.attn.wkv.weight) && cp --remove-destination "$f" n && head -c -100 n >"$f.new" && mv "$f.new" "$f" && rm n
refused 65 "$(basename "$f"): "
fresh x && drop_tensor x layers.1.attn.wkv.weight
refused 82 'layers.1.attn.wkv.weight: .*missing'
fresh x && rm x/config.json
refused 66 'no config.json'
rm -rf x
refused 66 'x: '
