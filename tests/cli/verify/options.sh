#!/bin/bash
# Command lines that cannot be meant, limits that cannot be met, reports that cannot be written.
. "$ROOT/tests/cli/lib.sh"
tiny src
expect 0 recast convert src fp8 --to fp8
expect 0 recast convert src bf16 --to bf16

# the wrong way round
expect 64 recast verify fp8 src
says err 'fp8: NATIVE stores its experts as FP8, CONVERTED as FP4: .*wrong way round'
expect 64 recast verify bf16 fp8
expect 64 recast verify src src
ln -s src link
expect 64 recast verify src link/
says err 'same folder'

expect 64 recast verify src
expect 64 recast verify src fp8 bf16
for t in 0 -1 1e3 8x 0x10 " 8" 999999999; do expect 64 recast verify src fp8 --threads "$t"; done
for m in 0 12Q 99999999999T; do expect 64 recast verify src fp8 --mem-limit $m; done
for x in x nan inf -1; do expect 64 recast verify src fp8 --max-rel-err $x; done
expect 64 recast verify src fp8 --min-sqnr
expect 64 recast verify src fp8 --tensors 'nothing.*'
says err 'matches no parameter'
expect 64 recast verify src fp8 --thread 2
says err "did you mean '--threads'"

expect 71 recast verify src fp8 --mem-limit 1M
says err 'mem-limit'
expect 73 recast verify src fp8 --json no/such/r.json
expect 73 recast verify src fp8 --junit no/such/r.xml
mkdir dir
expect 73 recast verify src fp8 --json dir/
echo old >dir/r.json
expect 0 recast verify src fp8 --json dir/r.json
jq -e .passes dir/r.json >jq.out || fail "report not replaced"
# a report takes the place of what is there: never of a device, nor of a link to one
ln -s /proc/self/fd/1 stdout # as /dev/stdout is
for x in - stdout; do
    expect 73 recast verify src fp8 --json "$x"
    says err "$x: .*give a name for a file"
done
[ -h stdout ] || fail "a report in the place of a link"

# what is not measured is not gated: it would hold whatever the model
echo 1 2 3 4 >ids
echo 'max-kl = 0.1' >kl
echo 'min-sqnr expert = 10' >sqnr
expect 64 recast verify src fp8 --gate kl
says err 'gates of behaviour need --logits or --golden'
expect 64 recast verify src --record g.rgf --tokens ids --gate kl
expect 64 recast verify src --record g.rgf --tokens ids --html x.html
says err 'nothing to report'
[ ! -e g.rgf ] || fail "recorded"
expect 0 recast verify src --record g.rgf --tokens ids --quiet
expect 0 recast verify --golden g.rgf fp8 --gate kl --junit g.xml
grep -q 'classname="checkpoint" name="tensors"' g.xml && fail "a case of tensors that nobody compared"
for x in '--gate sqnr' '--thresholds sqnr20' '--min-sqnr 20' '--max-rel-err 0.1' '--sample 3' '--tensors layers.*'; do
    echo 'expert = 20' >sqnr20
    # shellcheck disable=SC2086 # words
    expect 64 recast verify --golden g.rgf fp8 $x
    says err 'values'
    # shellcheck disable=SC2086 # words
    expect 64 recast verify src fp8 --logits --tokens ids --skip-tensors $x
    says err 'values'
done
expect 0 recast verify src fp8 --gate <(cat sqnr) # a pipe is as good as a file

# shellcheck disable=SC2016 # the inner shell expands it
expect 74 sh -c '"$RECAST" verify src fp8 >/dev/full'

expect 66 recast verify nothing fp8
expect 66 recast verify src fp8/config.json
