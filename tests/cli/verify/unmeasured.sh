#!/bin/bash
# A gate that nothing measures is refused: it would pass whatever comes.
. "$ROOT/tests/cli/lib.sh"
sample=$ROOT/tests/data/sample
head -c 400 "$sample/heldout.txt" >text
expect 0 recast convert "$sample" q.gguf --to gguf:q4_k --draft drop --quiet
expect 0 recast verify "$sample" --record g.rgf --text text --quiet

# of behaviour, without a text
echo 'max-kl = 0.1' >gates
expect 64 recast verify "$sample" q.gguf --gate gates
says err 'gates: a gate of behaviour, which is not measured'
expect 64 recast verify "$sample" q.gguf --max-kl 0.1

# of values, when only behaviour is
echo 'min-sqnr expert = 5' >>gates
expect 64 recast verify --golden g.rgf q.gguf --gate gates
says err 'gates: a gate of values, which are not measured'
expect 64 recast verify "$sample" q.gguf --logits --text text --skip-tensors --gate gates
for o in '--min-sqnr 5' '--max-rel-err 0.5' '--thresholds gates' '--sample 3' "--tensors *"; do
    set -f
    # shellcheck disable=SC2086 # an option and its value
    expect 64 recast verify --golden g.rgf q.gguf --max-kl 1 $o
    says err "values are not compared with --golden"
    # shellcheck disable=SC2086
    expect 64 recast verify "$sample" q.gguf --logits --text text --skip-tensors --max-kl 1 $o
    set +f
done

# and a recording has no verdict to report
expect 64 recast verify "$sample" --record h.rgf --text text --json r.json
expect 64 recast verify "$sample" --record h.rgf --text text --gate gates
[ ! -e h.rgf ] || fail 'recorded all the same'
