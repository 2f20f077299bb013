#!/bin/bash
# A signal ends the work soon, wherever it is; what was measured before an ablation is told all the same.
. "$ROOT/tests/cli/lib.sh"
export OMP_WAIT_POLICY=passive
sample=$ROOT/tests/data/sample
expect 0 recast convert "$sample" q.gguf --to gguf:q2_k --draft drop --quiet

# until WHAT FILE: it says so, or the program has ended
until_says() {
    until grep -q "$1" "$2"; do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
}

# minutes of work, stopped in the middle of it
for _ in 1 2 3 4 5 6 7 8; do cat "$sample/heldout.txt"; done >long
"$RECAST" verify "$sample" q.gguf --logits --text long --skip-tensors --json r.json >out 2>err &
pid=$!
until_says 'positions to score' err
kill -TERM "$pid"
status=0
wait "$pid" || status=$?
[ "$status" -eq 143 ] || fail "stopped with status $status"
[ ! -e r.json ] || fail 'a report of half a comparison'

# during the ablation
head -c 12000 "$sample/heldout.txt" >text
"$RECAST" verify "$sample" q.gguf --logits --text text --ablate --json r.json >out 2>err &
pid=$!
until_says 'ran both' err
kill -TERM "$pid"
status=0
wait "$pid" || status=$?
[ "$status" -eq 143 ] || fail "stopped with status $status, not in the ablation"
says out 'KL divergence'
jq -e '.behaviour.positions > 0' r.json >/dev/null || fail 'the comparison is lost'

# no text
expect 64 recast verify "$sample" q.gguf --logits --text q.gguf
says err 'q.gguf: .*NUL byte'
printf 'max-kl = 1\nmax-kl = 9\n' >gates
expect 64 recast verify "$sample" q.gguf --logits --text text --gate gates
says err 'line 2' 'already'
