#!/bin/bash
# B18-B22, B28-B30: config.json.
. "$ROOT/tests/cli/input/lib.sh"
tiny src
by_turns=yes
c=config.json
# with JQ_FILTER: a copy of src with another config
with() {
    fresh x
    edit_json x/$c "$1"
}
# text BYTES
text() {
    fresh x
    rm x/$c
    printf '%b' "$1" >x/$c
}

# B18
fresh x && rm x/$c; refuses 66 x "no $c: not a checkpoint folder"
for v in '[]' 1 null '"x"'; do text "$v"; refuses 65 x "$c: @0: "; done
text ''; refuses 65 x "$c: @0: "
with '.model_type = "deepseek_v3"'; refuses 69 x "$c: model_type is not supported .want deepseek_v4, got deepseek_v3"
with '.model_type = "llama\u001b[31m"'; refuses 69 x 'got llama.x1b\[31m'
with 'del(.model_type)'; refuses 65 x "$c: model_type is missing"
with '.model_type = 4'; refuses 65 x "$c: @[0-9]+: model_type is not a string"
# V4.1 has a sentence of its own, flat or nested
with '.model_type = "deepseek_v41"'; refuses 69 x "$c: a DeepSeek-V4.1 checkpoint .*recognised, but not handled"
with '{model_type: "deepseek_v41", text_config: ., vision_config: {}}'; refuses 69 x 'a DeepSeek-V4.1 checkpoint'
with '{text_config: .}'; refuses 69 x 'a DeepSeek-V4.1 checkpoint'
# B19: sizes that cannot be
for k in num_hidden_layers n_routed_experts hidden_size vocab_size; do
    for v in -1 0 1000000000 1e308 '"43"' null 1.5 '[43]'; do
        with ".$k = $v"
        refuses 65 x "$c: @[0-9]+: $k is (not a whole number|out of range)"
    done
done
text "$(sed 's/"hidden_size": 256/"hidden_size": 1e400/' src/$c)"; refuses 65 x "$c: @[0-9]+: .*hidden_size"
text "$(sed 's/"rms_norm_eps": 1e-06/"rms_norm_eps": 1e400/' src/$c)"; refuses 65 x "$c: @[0-9]+: .*rms_norm_eps"
text "$(sed 's/"rms_norm_eps": 1e-06/"rms_norm_eps": 0.1e-400/' src/$c)"; accepts x whole
# large, and within the bounds: no memory for what is not there
with '.num_hidden_layers = 512 | .compress_ratios = [range(513) | 0] | .n_routed_experts = 65536'
refuses 84 x "$c: "
with '.num_hidden_layers = 6 | .compress_ratios += [0]'; refuses 82 x 'layers.5.[a-z_.]+: missing'
# B20 B21
with '.expert_dtype = "fp8"'; refuses 82 x 'expert_dtype contradicts the tensors \(layers.0.ffn.experts.0.w1.weight\) \(want fp4, got fp8\)'
with '.expert_dtype = "fp8\u001b[31m"'; refuses 82 x 'got fp8.x1b'
with 'del(.quantization_config)'; refuses 82 x "$c: .*FP8 but the config does not say so"
with '.quantization_config.quant_method = "awq\u001b[31m"'; refuses 69 x 'quant_method' 'got awq.x1b'
for v in '[128,0]' '[0,128]' '[-1,128]' '[128]' '[128,128,128]' '"128"'; do
    with ".quantization_config.weight_block_size = $v"; refuses 65 x "$c: @[0-9]+: quantization_config.weight_block_size"
done
with '.quantization_config.weight_block_size = [64,128]'; refuses 82 x 'weight_block_size' 'want \[128, 128\], got \[64, 128\]'
# B22: code that a config names is data
with '.auto_map = {"AutoModel": "evil--repo.Model"}'
accepts x 'warning: config.json: @[0-9]+: auto_map names code; recast ignores it and runs nothing'
# B14 B16 B17 B29
text '{"model_type":"deepseek_v4","model_type":"deepseek_v4"}'; refuses 65 x "$c: @28: duplicate key \"?model_type.*\b1\b"
text '\xef\xbb\xbf{}'; refuses 65 x "$c: @0: "
text '\xff\xfe{\0}\0'; refuses 65 x "$c: @0: "
fresh x && rm x/$c && { cat src/$c; printf '\0'; } >x/$c; refuses 65 x "$c: @[0-9]+: "
fresh x && rm x/$c && sed 's/$/\r/' src/$c >x/$c; accepts x whole
size=$(stat -c %s src/$c)
for ((n = 0; n < size - 1; n += 53)); do
    fresh x && rm x/$c && head -c "$n" src/$c >x/$c
    refuses 65 x "$c: @$n: "
done
deep=$(zeros 100000 | tr '\0' '[')
text "{\"x\":$deep"; refuses 65 x "$c: @[0-9]+: "
with '.x = ([range(200) | "["] + [range(200) | "]"] | add | fromjson)'; accepts x whole
# B15: too large to be one
fresh x && rm x/$c && truncate -s 17M x/$c; refuses 84 x "$c: file is too large" 'got 17825792'
