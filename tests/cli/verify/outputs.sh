#!/bin/bash
# Outputs never take the place of what is read, of each other, or of what is no file.
. "$ROOT/tests/cli/lib.sh"
sample=$ROOT/tests/data/sample
tiny src
expect 0 recast convert src fp8 --to fp8
expect 0 recast convert "$sample" m.gguf --to gguf:q8_0 --draft drop --quiet
head -c 400 "$sample/heldout.txt" >text
expect 0 recast verify "$sample" --record g.rgf --text text --quiet
ln -s src alias
mkfifo pipe
echo 'max-kl = 1' >gates
sha256sum m.gguf text g.rgf gates src/*.json src/*.safetensors fp8/*.json >before

for o in --json --junit --html --md; do
    expect 64 recast verify src fp8 $o fp8/config.json
    says err 'fp8/config.json: is read, and would be written over'
    expect 64 recast verify src fp8 $o alias/model.safetensors.index.json
    expect 64 recast verify --golden g.rgf m.gguf $o ./m.gguf
    expect 64 recast verify --golden g.rgf m.gguf --max-kl 1 $o "$PWD/g.rgf"
    expect 64 recast verify --golden g.rgf m.gguf --gate gates $o src/../gates
    expect 73 recast verify src fp8 $o pipe
done
expect 64 recast verify m.gguf --record m.gguf --text text
expect 64 recast verify m.gguf --record text --text text
expect 73 recast verify m.gguf --record pipe --text text
expect 64 recast verify src fp8 --json r --html ./r
expect 64 recast verify src fp8 --json src/r --md alias/r
says err 'alias/r: two reports go to the same file'
sha256sum -c --quiet before || fail 'an input was written over'
[ -p pipe ] || fail "what is no file was replaced"

# a report beside a model is welcome, twice
expect 0 recast verify src fp8 --json fp8/verify.json --md fp8/verify.md
expect 0 recast verify src fp8 --json fp8/verify.json --md fp8/verify.md
