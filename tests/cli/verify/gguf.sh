#!/bin/bash
# GGUF files held against the checkpoint that they came from, whole and damaged.
. "$ROOT/tests/cli/lib.sh"
recast convert --help | grep -q 'gguf' || { echo 'convert writes no GGUF'; exit 77; }
tiny src

# at TENSOR FILE: the byte where it begins
at() { recast inspect "$2" --tensors "$1" --json | jq '.[0].offset'; }
# put FILE OFFSET BYTE: overwrite one byte (octal)
put() { printf '%b' "\\0$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }

# nothing lost, in one file and in several
expect 0 recast convert src exact.gguf --to gguf:bf16 --quiet
expect 0 recast verify src exact.gguf --json r.json
says out 'EXACT' 'the draft \(MTP, .* has a file of its own'
[ "$(jq -r '.roles[] | select(.role == "norm") | .native + " " + .converted' r.json)" = 'BF16 F32' ] || fail 'how norms are stored'
expect 0 recast inspect exact.gguf --json
[ "$(jq -c '[.whole, .gguf.architecture, .gguf.alignment, .draft.kind]' out)" = '[true,"deepseek4",32,"none"]' ] || fail 'inspect'
expect 0 recast verify src mtp-exact.gguf
says out 'EXACT' 'no place in this kind of file'
expect 0 recast convert src set.gguf --to gguf:bf16 --draft embed --split-size 8M --quiet
first=$(echo set-00001-of-*.gguf)
last=$(echo set-*-of-*.gguf | tr ' ' '\n' | tail -1)
expect 0 recast verify src "$first"
says out 'EXACT' 'main model with draft'
expect 66 recast verify src "$last"
says err "name the first: $first"
mv "$last" away
expect 82 recast verify src "$first"
says err "$last" 'missing: 1 of'
cp "$first" "$last"
expect 82 recast inspect "$first"
says err 'split.no'
mv away "$last"

# a measured loss
expect 0 recast convert src q.gguf --to gguf --quiet
expect 1 recast verify src q.gguf
expect 0 recast verify src q.gguf --min-sqnr 40
says out 'WITHIN BOUNDS' 'FP4\+E8M0 -> MXFP4'
expect 0 recast verify src q.gguf --min-sqnr attention=40 --min-sqnr shared=40 --min-sqnr indexer=40
expect 1 recast verify src q.gguf --min-sqnr attention=40 --min-sqnr shared=40
expect 1 recast verify src q.gguf --min-sqnr 90

# one byte: a scale that is no number is named with its block, whatever the bound
cp q.gguf bad.gguf
off=$(at blk.1.ffn_up_exps.weight bad.gguf)
put bad.gguf $((off + 17 * 100)) 377
expect 1 recast verify src bad.gguf --min-sqnr -1000
says err "blk.1.ffn_up_exps.weight: @$((off + 1700)): 32 of .* became nan"
says out 'layers.1.ffn.experts.0.w3.weight'

# cut, stretched, not GGUF at all
head -c 100000 q.gguf >cut.gguf
expect 65 recast verify src cut.gguf
cp q.gguf long.gguf
echo >>long.gguf
expect 65 recast inspect long.gguf
says err 'after the last tensor'
echo '<html>' >page.gguf
expect 65 recast inspect page.gguf
expect 66 recast inspect none.gguf
