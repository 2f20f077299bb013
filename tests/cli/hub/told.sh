#!/bin/bash
# What is said of a source on a server: how much will be fetched, and was; what is waited for; what is
# wrong with an address.
. "$ROOT/tests/cli/lib.sh"
. "$ROOT/tests/cli/hub/lib.sh"
mkdir -p root/local
tiny root/local/tiny
serve hub
trap 'kill $SERVER 2>/dev/null' EXIT
export HF_ENDPOINT=$ENDPOINT

# 1. Before: each tensor counts once, however many targets read it.
expect 0 recast inspect hf://local/tiny --json
bytes=$(jq .bytes out)
[[ $(jq -r .commit out) =~ ^[0-9a-f]{40}$ ]] || fail "inspect names no commit"
expect 0 recast inspect root/local/tiny --json
jq -e 'has("commit") | not' out >/dev/null || fail "a folder has no commit"
expect 0 recast convert hf://local/tiny d --to fp8 --dry-run
says out '^fetch +11\.5 MB: about' '^memory +stays under 1\.61 GB'
expect 0 recast convert hf://local/tiny --to fp8=d --to gguf:mxfp4=d.gguf --dry-run
says out '^fetch +11\.5 MB, once for all of them'
expect 0 recast convert hf://local/tiny d.gguf --to gguf:mxfp4 --dry-run --json
[ "$(jq .fetch_bytes out)" -eq "$bytes" ] || fail "$(jq .fetch_bytes out) of $bytes bytes to fetch"
expect 0 recast convert root/local/tiny d --to fp8 --dry-run --json
[ "$(jq .fetch_bytes out)" -eq 0 ] || fail "nothing is fetched of a folder"
expect 0 recast convert hf://local/tiny d --to fp8
says out '[0-9] MB fetched$'

# 2. What is waited for is said, and not under --quiet; it is no warning.
order faults '{"do":"status","code":429,"after":5,"first":1,"file":"config"}'
expect 0 recast inspect hf://local/tiny --strict
says err '^recast: note: HTTP 429.*: tries again in [56] s$'
order faults '{"do":"status","code":429,"after":5,"first":1,"file":"config"}'
expect 0 recast inspect hf://local/tiny --quiet
[ ! -s err ] || fail "--quiet says $(cat err)"

# 3. A file that is another as a whole is not blamed on the tensor that was read then.
order faults '{"do":"flip","file":"00003-of"}'
expect 80 recast convert hf://local/tiny d2 --to fp8
says err 'error: model-00003-of-[0-9]+\.safetensors: (@[0-9]+: when the checkpoint was opened, other bytes came|the bytes that came)'
order faults ''

# 4. Addresses.
expect 66 recast inspect local/tiny
says err 'hint: if it is a repository of a hub: hf://local/tiny$'
expect 66 recast inspect hf:/local/tiny
says err 'hint: addresses look like this'
expect 75 recast inspect hf://local/tiny --endpoint http://127.0.0.1:1 --retries 0
says err 'hint: is there a network'
expect 64 recast convert root/local/tiny hf://local/new --to fp8
says err 'not to an address'
expect 64 recast pack root/local/tiny hf://local/new.rcz
expect 64 recast unpack a.rcz https://127.0.0.1/new
[ ! -e hf: ] && [ ! -e https: ] || fail "a folder was made of an address"
