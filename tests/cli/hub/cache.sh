#!/bin/bash
# --cache keeps what was fetched, up to --cache-limit; runs may share it, and what lies in it is
# not believed when it is not what it was.
. "$ROOT/tests/cli/lib.sh"
. "$ROOT/tests/cli/hub/lib.sh"
mkdir -p root/local
tiny root/local/tiny
expect 0 recast convert root/local/tiny ref --to fp8
expect 0 recast convert root/local/tiny ref.gguf --to gguf:mxfp4
export HF_TOKEN=$SECRET
serve hub --token "$SECRET"
trap 'kill $(jobs -p) 2>/dev/null' EXIT
size=$(du -sb root/local/tiny | cut -f1)
try=(recast convert hf://local/tiny --endpoint "$ENDPOINT")

# 1. The second run fetches no large file again.
expect 0 "${try[@]}" d --to fp8 --cache cache
equal ref d
[ "$(du -s -B1 cache | cut -f1)" -gt $((size * 8 / 10)) ] || fail "the cache holds $(du -s -B1 cache) of $size"
discreet cache d out err
: >hub.log
expect 0 "${try[@]}" d.gguf --to gguf:mxfp4 --cache cache
equal ref.gguf d.gguf
got=$(sent hub.log '.origin == "cdn"')
[ "$got" -lt $((size / 20)) ] || fail "$got bytes were fetched again"

# 2. A limit holds, also while it runs.
away
rm -rf cache
limit=$((size / 3))
"${try[@]}" d --to fp8 --cache cache --cache-limit $limit >out 2>err &
client=$!
most=0
while kill -0 $client 2>/dev/null; do
    now=$(du -s -B1 cache 2>/dev/null | cut -f1)
    [ "${now:-0}" -le "$most" ] || most=$now
    sleep 0.02
done
wait $client || fail "with a limit"
equal ref d
now=$(du -s -B1 cache | cut -f1)
[ "$now" -le $((limit + 65536)) ] || fail "the cache holds $now bytes, the limit is $limit"
# du looks at one file after the other: it may see one that has gone and the one that came for it
[ "$most" -le $((limit + limit / 3)) ] || fail "the cache held $most bytes, the limit is $limit"

# 3. Two at a time.
away
rm -rf cache
"${try[@]}" d --to fp8 --cache cache >out1 2>err1 &
one=$!
"${try[@]}" d.gguf --to gguf:mxfp4 --cache cache >out2 2>err2 &
two=$!
wait $one || { cat err1; fail "the first of two"; }
wait $two || { cat err2; fail "the second of two"; }
equal ref d
equal ref.gguf d.gguf

# 4. What lies there has changed: cut, or one bit.
victim=$(find cache -type f -size +900k | LC_ALL=C sort | head -1)
[ -n "$victim" ] || fail "no large file in the cache"
for damage in cut flip; do
    rm -rf d
    case $damage in
    cut) truncate -s -100 "$victim" ;;
    flip) python3 -c "import sys
f = open(sys.argv[1], 'r+b'); f.seek(500000); b = f.read(1); f.seek(500000); f.write(bytes([b[0] ^ 1]))" "$victim" ;;
    esac
    "${try[@]}" d --to fp8 --cache cache >out 2>err
    case $? in
    0) ;;
    80) expect 0 "${try[@]}" d --to fp8 --cache cache ;; # said once, fetched again then
    *) fail "a damaged cache ($damage)" ;;
    esac
    equal ref d
    victim=$(find cache -type f -size +900k | LC_ALL=C sort | head -1)
done

# 5. A folder that is none, a limit that is none.
echo x >file
rm -rf d
expect '73' "${try[@]}" d --to fp8 --cache file
expect 64 "${try[@]}" d --to fp8 --cache cache --cache-limit much
