#!/bin/bash
# Text, ids and JSON tell the same; the same seed draws the same tokens.
. "$ROOT/tests/cli/lib.sh"
export OMP_WAIT_POLICY=passive
tiny src
run() { expect 0 recast run src --threads 1 "$@"; }
run -p 'hello there' -n 12 --quiet
[ -s out ] || fail "no text"
[ ! -s err ] || fail "--quiet is not quiet"
cp out text
run -p 'hello there' -n 12
cmp out text || fail "not the same text twice"
says err '^prompt: [0-9]+ tokens? in .*; generated 12 in .*; read .* MB.*; memory .* MB'
run -p 'hello there' -n 12 --ids --quiet
cp out ids
says ids '^[0-9]+(,[0-9]+){11}$'
run -p 'hello there' -n 12 --json --quiet
jq -e '.generated | length == 12' out >j || fail "not 12 ids"
[ "$(jq -r '.generated | map(tostring) | join(",")' out)" = "$(cat ids)" ] || fail "--json has other ids"
[ "$(jq .prompt_tokens out)" -gt 0 ] && [ "$(jq .bytes_read out)" -gt 100000 ] && [ "$(jq .memory_peak_bytes out)" -gt 100000 ] ||
    fail "figures are missing"
jq -e '.text | type == "string"' out >j || fail "no text in JSON"
[ "$(jq .spilled_bytes out)" = 0 ] || fail "spilled"

# the prompt from a file, from standard input, and as ids
printf 'hello there' >p
run -f p -n 12 --quiet && cmp out text || fail "-f"
recast run src -f - -n 12 --threads 1 --quiet <p >out 2>err
cmp out text || fail "standard input"
expect 0 recast tokenize src -p 'hello there'
tokens=$(tr -s ' \n' ',' <out)
run --tokens "$tokens" -n 12 --quiet && cmp out text || fail "--tokens"
# a run goes on where a longer prompt would
run --tokens "$tokens,$(cut -d, -f1-6 ids)" -n 6 --ids --quiet
[ "$(cat out)" = "$(cut -d, -f7- ids)" ] || fail "another continuation: $(cat out)"
run -p 'hello there' -n 0 --quiet
[ ! -s out ] || fail "-n 0 gave text"

# no more than the model has positions; what comes last is not fed
mkdir short
cp -r src/. short
chmod -R u+w short
jq '.max_position_embeddings = 8' src/config.json >short/config.json
for numerics in f32 f64; do
    expect 0 recast run short --tokens 9,9,9 -n 20 --ids --quiet --threads 1 --numerics $numerics
    says out '^([0-9]+,){5}[0-9]+$'
done

# draws
run -p a -n 12 --ids --temp 1.5 --seed 7 --quiet && cp out seven
run -p a -n 12 --ids --temp 1.5 --seed 7 --quiet && cmp out seven || fail "seed 7 twice"
run -p a -n 12 --ids --temp 1.5 --seed 8 --quiet
if cmp -s out seven; then fail "seed 8 draws as 7"; fi
run -p a -n 12 --ids --quiet && cp out greedy
run -p a -n 12 --ids --temp 3 --top-p 0.000001 --seed 9 --quiet && cmp out greedy || fail "a nucleus of one token"

# a conversation is the text that tokenize shows
run -p hi --chat -n 3 --ids --quiet && cp out chat
expect 0 recast tokenize src -p hi --chat
run --tokens "$(tr -s ' \n' ',' <out)" -n 3 --ids --quiet && cmp out chat || fail "--chat"
# a reader that has seen enough
timeout 20 "$RECAST" run "$ROOT/tests/data/sample" -p Once -n 4000 --threads 1 2>err | head -c 1 >out
[ "${PIPESTATUS[0]}" -eq 0 ] || fail "a reader that left gave status ${PIPESTATUS[0]}"
if grep error err; then fail "a reader that left is an error"; fi
# a full disk under the text
recast run src -p a -n 3 --threads 1 --quiet >/dev/full 2>err
[ $? -eq 74 ] || fail "a full standard output gave another status"
says err 'recast: error: cannot write'
