#!/bin/bash
# Several results of one pass over a hub: the bytes of separate runs, every byte fetched once, and
# hardly anything of the source ever on the disk.
. "$ROOT/tests/cli/lib.sh"
. "$ROOT/tests/cli/hub/lib.sh"
mkdir -p root/local
tiny root/local/tiny
expect 0 recast convert root/local/tiny ref --to fp8
expect 0 recast convert root/local/tiny ref.gguf --to gguf:mxfp4
export HF_TOKEN=$SECRET
echo '{"do":"slow","pace":4000000,"origin":"cdn"}' >slow # time to look
serve hub --token "$SECRET" --faults slow
trap 'kill $(jobs -p) 2>/dev/null' EXIT
size=$(du -sb root/local/tiny | cut -f1)
results() { du -sbc ref ref.gguf mtp-ref.gguf ref.recast.* | tail -1 | cut -f1; }
room=$(($(results) + size / 10))
mkdir work temp
cd work || exit 1
TMPDIR=$PWD/../temp "$RECAST" convert hf://local/tiny --to fp8=d --to gguf:mxfp4=d.gguf --endpoint "$ENDPOINT" >../out 2>../err &
client=$!
most=0 looks=0
while kill -0 $client 2>/dev/null; do
    now=$(du -sbc . ../temp "$HOME" 2>/dev/null | tail -1 | cut -f1)
    looks=$((looks + 1))
    [ "${now:-0}" -le "$most" ] || most=$now
    # Open files without a name, too.
    ! readlink /proc/$client/fd/* 2>/dev/null | grep -F '(deleted)' | grep -vE 'recast\.[a-z]+ \(deleted' >../deleted || fail "a file without a name: $(cat ../deleted)"
    sleep 0.02
done
wait $client
status=$?
cd ..
[ $status -eq 0 ] || { cat err; fail "status $status"; }
equal ref work/d
equal ref.gguf work/d.gguf
discreet out err work
[ $looks -ge 10 ] || fail "only $looks looks at the disk"
[ "$most" -le "$room" ] || fail "$most bytes on the disk, results and a tenth of the source are $room"
[ -z "$(ls temp)" ] || fail "left in TMPDIR: $(ls temp)"
fetched=$(sent hub.log '.status == 200 or .status == 206')
[ "$fetched" -le $((size * 12 / 10)) ] || fail "$fetched bytes fetched, there are $size"
