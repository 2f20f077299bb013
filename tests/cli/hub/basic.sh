#!/bin/bash
# A checkpoint at a hub, or in a folder of a web server, is as good as one in a folder here.
. "$ROOT/tests/cli/lib.sh"
. "$ROOT/tests/cli/hub/lib.sh"
export HF_TOKEN=$SECRET
mkdir -p root/local
tiny root/local/tiny
mkdir -p root/local/nest
cp -r root/local/tiny root/local/nest/inner
expect 0 recast synth root/local/tiny@next --like tiny --seed 1 --quiet
serve hub --token "$SECRET"
trap 'kill $SERVER 2>/dev/null' EXIT
hub=(--endpoint "$ENDPOINT")
# A web folder has no list: what no name leads to is not found.
cp -r root/local/tiny root/local/plain
rm root/local/plain/SYNTHETIC root/local/plain/encoding/test_*
web=http://127.0.0.1:$HUB/web/local/plain
expect 0 recast convert root/local/plain refweb --to fp8

# 1. Headers are enough for these.
size=$(du -sb root/local/tiny | cut -f1)
for command in inspect lint; do
    expect 0 recast $command root/local/tiny --json
    cp out want
    : >hub.log
    expect 0 recast $command hf://local/tiny --json "${hub[@]}"
    [ -s out ] || fail "$command says nothing"
    discreet out err
    got=$(sent hub.log true)
    [ "$got" -lt $((size / 4)) ] || fail "$command fetched $got of $size bytes"
done
expect 0 recast inspect root/local/tiny --tensors '*' --json
jq -S '[.. | objects | select(has("shape")) | {name, dtype, shape}]' out >want
[ "$(jq length want)" -gt 100 ] || fail "no tensors in $(head -c 300 out)"
expect 0 recast inspect hf://local/tiny --tensors '*' --json "${hub[@]}"
jq -S '[.. | objects | select(has("shape")) | {name, dtype, shape}]' out >got
cmp -s want got || fail "inspect sees other tensors at the hub"

# 2. The same bytes from wherever they come.
expect 0 recast convert root/local/tiny ref --to fp8
expect 0 recast convert root/local/tiny ref.gguf --to gguf:mxfp4
: >hub.log
expect 0 recast convert hf://local/tiny d1 --to fp8 "${hub[@]}"
discreet out err d1
equal ref d1
# The token is the first origin's; every request there has it.
[ "$(asked hub.log '.origin == "hub" and .auth == "Bearer '"$SECRET"'"')" -gt 0 ] || fail "the hub saw no token"
[ "$(asked hub.log '.origin == "hub" and .auth == null')" -eq 0 ] || fail "a request to the hub without token"
[ "$(asked hub.log '.origin == "cdn"')" -gt 0 ] || fail "nothing came from the second origin"
[ "$(asked hub.log '.origin != "hub" and .auth != null')" -eq 0 ] || fail "the token went to another origin"
# Once the commit is known nothing else is asked for.
commit=$(jq -r 'select(.path | test("/resolve/")) | .path' hub.log | sed -E 's|.*/resolve/([^/]+)/.*|\1|' | sort -u)
[[ $commit =~ ^[0-9a-f]{40}$ ]] || fail "files were asked for by $commit"
jq -e --arg c "$commit" '[.. | strings | select(. == $c)] | length > 0' d1/recast.json >out || fail "recast.json does not name commit $commit"
# Nothing is fetched much more than once.
got=$(sent hub.log true)
[ "$got" -lt $((size * 13 / 10)) ] || fail "convert fetched $got of $size bytes"
expect 0 recast convert hf://local/tiny d1.gguf --to gguf:mxfp4 "${hub[@]}"
equal ref.gguf d1.gguf
expect 0 recast convert "$web" d2 --to fp8
equal refweb d2
[ "$(asked hub.log '.path | test("^/web/")')" -gt 0 ] || fail "nothing came from the web folder"
[ "$(asked hub.log '(.path | test("^/web/")) and .auth != null')" -eq 0 ] || fail "the token went to a web folder"
expect 0 recast convert "$web/" d2.gguf --to gguf:mxfp4 --connections 1
equal ref.gguf d2.gguf

# 3. Revisions and folders.
expect 0 recast convert root/local/tiny@next refnext --to fp8
expect 0 recast convert hf://local/tiny@next d3 --to fp8 "${hub[@]}"
equal refnext d3
expect 0 recast convert "hf://local/tiny@$commit" d4 --to fp8 "${hub[@]}"
equal ref d4
expect 0 recast convert hf://local/nest/inner d5 --to fp8 "${hub[@]}"
equal ref d5
expect 0 recast convert hf://local/nest@main/inner d6 --to fp8 --endpoint "$ENDPOINT/" --connections 7
equal ref d6
HF_ENDPOINT=$ENDPOINT expect 0 recast convert hf://local/tiny d7 --to fp8
equal ref d7
for bad in hf://local/none hf://local/tiny@none hf://local/nest/none "$web-none"; do
    expect 66 recast inspect "$bad" "${hub[@]}"
done
for bad in hf://local hf:// hf://local/tiny@ hf://../tiny 'hf://local/tiny/../x' http://user:$SECRET@127.0.0.1/x 'hf://a b/c' http://example.org/x; do
    expect 64 recast inspect "$bad" "${hub[@]}"
    discreet out err
done

: >hub.log
expect 66 recast inspect 'hf://local/tiny@refs%2Fheads%2Fa%3Fb%25' "${hub[@]}"
[ "$(asked hub.log '.path == "/api/models/local/tiny/revision/refs%2Fheads%2Fa%3Fb%25"')" -eq 1 ] || fail "a revision is not asked for as it is: $(jq -c .path hub.log)"

# 4. Judged and run from there.
expect 0 recast verify hf://local/tiny ref "${hub[@]}"
expect 1 recast verify hf://local/tiny refnext "${hub[@]}"
expect 0 recast verify root/local/tiny "$web"
expect 0 recast run root/local/tiny --tokens 1,2,3,4 -n 3
cp out want
expect 0 recast run hf://local/tiny --tokens 1,2,3,4 -n 3 "${hub[@]}"
cmp -s out want || fail "run says something else from the hub"
