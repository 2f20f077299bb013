#!/bin/bash
# GGUF files in the conventions of ds4 and of mainline: main model, draft, and both in one.
. "$ROOT/tests/cli/lib.sh"
tiny src
layout() { jq -r "[.roles[] | select(.role == \"$1\") | .converted] | .[0]" r.json; }

expect 0 recast convert src ds4.gguf --to gguf:ds4-q4 --quiet
expect 0 recast verify src ds4.gguf --min-sqnr 40 --min-sqnr expert=20 --json r.json
says out 'WITHIN BOUNDS' 'the draft \(MTP, .* has a file of its own'
[ "$(layout expert) $(layout embedding) $(layout compressor) $(layout indexer)" = 'Q4_K F16 F16 F16' ] || fail "$(layout indexer)"
expect 0 recast verify src mtp-ds4.gguf --min-sqnr 40 --min-sqnr expert=20 --json r.json
[ "$(jq '[.tensors[] | select(.draft)] | length' r.json)" -gt 40 ] || fail 'the draft'

expect 0 recast convert src main.gguf --to gguf:mxfp4 --draft embed --quiet
expect 0 recast verify src main.gguf --min-sqnr 40 --min-sqnr expert=exact --json r.json
says out 'main model with draft'
[ "$(layout expert) $(layout norm)" = 'MXFP4 F32' ] || fail "$(layout expert)"
# a sample of either reads its share of a stack of experts
expect 0 recast verify src main.gguf --min-sqnr 40 --sample 30
says out 'a sample, 30 of 309 parameters, 6 of 6 layers: .*of the others .*are out of bounds'
