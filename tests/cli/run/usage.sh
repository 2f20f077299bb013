#!/bin/bash
# What cannot be run is one clear line, and no file is left behind.
. "$ROOT/tests/cli/input/lib.sh"
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive
expect 0 recast synth src --like tiny --layers 3 --experts 2 --quiet
refused() {
    local code=$1 pattern=$2
    shift 2
    expect "$code" recast run "$@" --threads 1
    one_line "$code" "$pattern"
    [ ! -s out ] || fail "$*: wrote text"
    [ -z "$(find . -name '*.st*')" ] || fail "$*: left $(find . -name '*.st*')"
}
prompt='give one prompt: -p TEXT, -f FILE, --messages FILE or --tokens'
refused 64 "$prompt" src
refused 64 "$prompt" src -p a --tokens 1
refused 64 "$prompt" src -p a -f src/LICENSE
refused 64 "$prompt" src --messages a --tokens 1 -p b
refused 64 '--chat needs -p or -f' src --tokens 1 --chat
refused 64 '--chat needs -p or -f' src --messages x --chat
refused 64 '--system goes with --chat' src -p a --system b
refused 64 '--think goes with --chat or --messages' src -p a --think
refused 64 '--logits and --trace are the same file' src -p a --logits x.st --trace x.st
refused 64 '--logits and --trace are the same file' src -p a --logits x.st --trace ./x.st
refused 64 "--tokens: '384' is not an id of this vocabulary, 0 to 383" src --tokens 1,384
refused 64 "--tokens: '-1' is not an id" src --tokens=-1
refused 64 "--tokens: '1x' is not an id" src --tokens 1x
refused 64 "--tokens: '99999999999999999999' is not an id" src --tokens 99999999999999999999
refused 64 'the prompt is empty' src --tokens ' , '
refused 64 '--temp is at least 0, --top-p above 0' src -p a --temp=-1
refused 64 '--temp is at least 0, --top-p above 0' src -p a --top-p 0
refused 64 '--temp is at least 0, --top-p above 0' src -p a --top-p 1.5
refused 64 "--temp: value 'nan' does not fit" src -p a --temp nan
for l in 3 2..3 2..1 ..1 a 1..b 1...2 -1; do
    refused 64 'not layers of this model .want A..B with 0 <= A <= B <= 2' src -p a "--layers=$l" --logits x.st
done
refused 64 '--mem-limit' src -p a --mem-limit 1M
refused 66 'no_such: cannot be opened' src -f no_such
refused 66 'no_such' no_such -p a
mkdir folder
refused 74 'folder: cannot be read: Is a directory' src -f folder
# output that cannot be written
refused 73 'absent: cannot open' src -p a --logits absent/x.st
refused 73 'folder: is a folder, not a name for a file' src -p a --logits folder
refused 73 'folder/: is a folder, not a name for a file' src -p a --trace folder/
refused 73 'absent/: is not a name for a file' src -p a --trace absent/
refused 64 '4097 positions are more than the model has .want max_position_embeddings, 4096' \
    src --tokens "$(seq -s, 1 4097 | sed 's/[0-9]*/7/g')" --logits x.st

# without its tokenizer a model takes ids and gives ids; a text is refused
fresh bare
rm bare/tokenizer.json
expect 0 recast run bare --tokens 5,6 -n 4 --threads 1 --quiet
says out '^[0-9]+(,[0-9]+)*$'
refused 66 'tokenizer.json' bare -p a

expect 65 recast run src --messages - </dev/null
one_line 65 'standard input: @0: the JSON text is empty'

# a draft that is not there: said before anything is run
expect 0 recast convert src nodraft --to bf16 --draft drop --quiet
refused 69 'the model has no draft' nodraft -p a --draft --logits x.st
refused 69 'the model has no draft' nodraft -p a --draft --numerics f64
expect 0 recast convert src embedded.gguf --to gguf --draft embed --quiet
refused 82 'mtp.0.hc_head_fn: the forward pass needs this tensor' embedded.gguf --tokens 1,2 --draft --logits x.st

# sizes that the kernels do not take
with() {
    fresh x
    edit_json x/config.json "$2"
    refused "$1" "$3" x --tokens 1,2,3 --logits x.st
}
with 69 '.qk_rope_head_dim = 32' 'config.json: the runtime cannot run this head_dim - qk_rope_head_dim .want a multiple of 64, got 96'
with 69 '.scoring_func = "soft\u001bmax"' 'config.json: the runtime cannot run this scoring_func .want sqrtsoftplus, got soft.x1bmax'
with 65 '.num_experts_per_tok = 3' 'num_experts_per_tok is larger than n_routed_experts'
with 64 '.max_position_embeddings = 2' '3 positions are more than the model has'
fresh x # where it does not say how many there are, there is no limit
edit_json x/config.json 'del(.max_position_embeddings)'
expect 0 recast run x --tokens 1,2,3 -n 2 --threads 1
