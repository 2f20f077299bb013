#!/bin/bash
# A hub's repository is packed as it is fetched, and an archive at a hub or in a web folder is a source.
. "$ROOT/tests/cli/lib.sh"
. "$ROOT/tests/cli/hub/lib.sh"
mkdir -p root/local/packed
tiny root/local/tiny
expect 0 recast pack root/local/tiny root/local/packed/a.rcz --quiet
serve hub
trap 'kill $SERVER 2>/dev/null' EXIT
hub=(--endpoint "$ENDPOINT")
expect 0 recast pack hf://local/tiny b.rcz "${hub[@]}" --quiet
# the hub lists hidden files of its own, too: what is in both has to be the same
expect 0 recast unpack b.rcz files --quiet
for f in root/local/tiny/*; do [ -d "$f" ] || cmp "$f" "files/${f##*/}" || fail "$f differs"; done

expect 0 recast convert root/local/tiny want --to fp8 --quiet
for where in hf://local/packed/a.rcz "http://127.0.0.1:$HUB/web/local/packed/a.rcz"; do
    expect 0 recast inspect "$where" "${hub[@]}"
    expect 0 recast unpack "$where" --list "${hub[@]}"
    says out 'files, .* pieces'
    rm -rf got back
    expect 0 recast unpack "$where" back "${hub[@]}" --quiet
    diff -r root/local/tiny back || fail "$where: other files"
    expect 0 recast convert "$where" got --to fp8 "${hub[@]}" --quiet
    for f in want/*.safetensors; do cmp "$f" "got/${f##*/}" || fail "$where: $f differs"; done
    expect 0 recast verify "$where" want "${hub[@]}" --quiet
done
stop
# a server that ends in the middle, and comes again
echo '{"do":"slow","pace":6000000,"origin":"cdn"}' >slow
serve hub --faults slow
rm -f c.rcz*
"$RECAST" pack hf://local/tiny c.rcz --endpoint "$ENDPOINT" --retries 0 --quiet >out 2>err &
run=$!
for _ in $(seq 200); do [ -s c.rcz.journal ] && [ "$(stat -c %s c.rcz.journal)" -gt 2000 ] && break; sleep 0.05; done
kill -9 $run
wait $run 2>/dev/null
stop
serve hub
# the branch has moved on: the archive is of the commit that was begun
expect 0 recast synth root/local/tiny@next --like tiny --seed 7 --quiet
order "move?repo=local/tiny&branch=main&to=next"
expect 0 recast pack hf://local/tiny c.rcz --endpoint "$ENDPOINT" --quiet
cmp b.rcz c.rcz || fail "another archive after a kill"
[ -z "$(find . -name 'c.rcz.*')" ] || fail "left over: $(ls c.rcz.*)"
