#!/bin/bash
# Statistics decide integers and scalings: which, how it is told, and what is refused.
. "$ROOT/tests/cli/lib.sh"
src=$ROOT/tests/data/sample
statistics() { "$ROOT/$O/tests/cli/statistics" "$@" 2>err || fail "statistics $*"; }
sum() { jq -e "$2" "$1/recast.json" >jq.out || fail "$1: not so: $2"; }
loss() { jq '.totals.int4 | .loss / .loss_nearest' "$1/recast.json"; }
below() { jq -ne "$1 < $2" >jq.out || fail "$3: $1 is not below $2"; }

statistics "$src" . s few=2
statistics "$src" . moments moments
statistics "$src" . other seed=7

expect 0 recast convert "$src" awq --to awq --stats s
says out 'int4 +96 tensors in groups of 128, with zero points; awq\+$' 'loss +weighted error 0\.' \
    'scaling +(none: no norm|channels of [1-4] norm).*\(pow2\)' 'experts +8 of 32 saw fewer than 64 tokens: topped up'
sum awq '.recipe | .method == "awq+" and .smooth == "pow2" and .stats.tokens == 4096 and .stats.dataset == "made up"'
sum awq '.totals.int4 | .experts == 32 and .experts_few_tokens == 8 and .unknown_statistics == 0'
jq -e -s '[.[] | select(.op == "int4")] | all(.importance == "statistics" and (.tokens | . == 10 or . == 200) and (.fallback == (.tokens == 10)))' \
    awq/recast.jsonl >jq.out || fail "tokens in the ledger"
jq -e -s '[.[] | select(.scaling)] | length == 4 and all(.scaling.loss_after <= .scaling.loss_before and .tiles_exact == .tiles)' \
    awq/recast.jsonl >jq.out || fail "scalings in the ledger"

# the same bytes for any number of threads and instruction set; others from other statistics
expect 0 recast convert "$src" one --to awq --stats s --threads 1 --mem-limit 64M --cpu ref --quiet
same awq one
expect 0 recast convert "$src" moved --to awq --stats other --quiet
cmp -s awq/recast.jsonl moved/recast.jsonl && fail "other statistics, the same integers"

# everything INT4: attention's norms are scaled, too, and norms and compressors stay exact
expect 0 recast convert "$src" all --to w4a16 --scope all --group 32 --stats s
says out 'exact +all'
sum all '.totals.int4.norms_scaled > 0 and .totals.tiles == .totals.tiles_exact'
jq -e -s '[.[] | select(.scaled)] | any(.tensor | test("attn_norm")) and any(.tensor | test("compressor.wkv")) and
    all(.tensor | test("wq_a|wq_b|wkv|wgate|weights_proj|norm|gate.weight|w1|w3"))' all/recast.jsonl >jq.out || fail "what was scaled"
expect 0 recast convert "$src" free --to w4a16 --scope all --group 32 --stats s --smooth free
says out 'norms \(free\)' 'rounded .*compressor'
expect 0 recast convert "$src" off --to w4a16 --scope all --group 32 --stats s --smooth off
jq -e -s 'any(.[]; has("scaled")) | not' off/recast.jsonl >jq.out || fail "--smooth off: scaled"

# shared experts can follow a scaling in BF16 only
expect 0 recast convert "$src" w4 --to w4a16 --stats s --quiet
grep -q 'shared_experts.w1.weight","op":"encode"' w4/recast.jsonl || fail "shared experts are not BF16"
expect 0 recast convert "$src" w4off --to w4a16 --stats s --smooth off --quiet
grep -q 'shared_experts.w1.weight","op":"fp8-rescale"' w4off/recast.jsonl || fail "shared experts are not FP8"

# methods: each is at least as good by its own measure
expect 0 recast convert "$src" plain --to w4a16 --stats s --method awq --smooth off --quiet
below "$(loss plain)" 1 awq
below "$(loss w4off)" "$(loss plain) + 1e-9" "awq+"
expect 0 recast convert "$src" fed --to w4a16 --stats moments --method awq+
says out '96 with error feedback' 'feedback lets single weights err more'
jq -e -s '[.[] | select(.op == "int4")] | all(.method == "awq+ with feedback")' fed/recast.jsonl >jq.out || fail "feedback"
expect 0 recast convert "$src" fed1 --to w4a16 --stats moments --method awq+ --threads 1 --cpu ref --quiet
same fed fed1

# tokens that chose an expert twice count once: what is not there is not read
statistics "$src" . twice twice
expect 0 recast convert "$src" tw1 --to awq --stats twice --threads 1 --quiet
expect 0 recast convert "$src" tw5 --to awq --stats twice --threads 5 --quiet
same tw1 tw5
jq -e -s '[.[] | select(.scaling)] | length == 4 and all(.scaling.loss_before | . > 0 and . < 1e9)' tw1/recast.jsonl >jq.out || fail "twice"

# statistics that do not fit, cannot be read, or are few
expect 0 recast synth tiny --like tiny --quiet
statistics tiny . alien
expect 82 recast convert "$src" x --to awq --stats alien
expect 66 recast convert "$src" x --to awq --stats nowhere
head -c 100000 /dev/urandom >noise
expect 65 recast convert "$src" x --to awq --stats noise
head -c 20000 s >short
expect 65 recast convert "$src" x --to awq --stats short
expect 64 recast convert "$src" x --to awq --stats s --method rtn
[ ! -e x ] || fail "something was written"
statistics "$src" . meagre tokens=12
expect 0 recast convert "$src" few --to awq --stats meagre
says err 'warning: .*12 tokens only'
expect 64 recast convert awq x --to w4a16 --stats s
says err '--stats decides nothing here'
