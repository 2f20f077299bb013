#!/bin/bash
# Client and server are killed (-9) and started again in any order; the server is another one then:
# addresses that the first one signed are no good. At last the same bytes.
. "$ROOT/tests/cli/lib.sh"
. "$ROOT/tests/cli/hub/lib.sh"
mkdir -p root/local
tiny root/local/tiny
expect 0 recast synth root/local/tiny@next --like tiny --seed 1 --quiet
expect 0 recast convert root/local/tiny ref --to fp8
expect 0 recast convert root/local/tiny ref.gguf --to gguf:mxfp4
export HF_TOKEN=$SECRET
RANDOM=7 # the order is the same each time, the moments are not
echo '{"do":"slow","pace":6000000,"origin":"cdn"}' >slow
trap 'kill -9 $(jobs -p) 2>/dev/null' EXIT
secrets=0
# start: the server, always at the same ports, with another secret each time
start() {
    secrets=$((secrets + 1))
    serve hub --token "$SECRET" --faults slow --secret "s$secrets" ${PORTS:+--ports "$PORTS"}
    PORTS=$HUB,$CDN,$OTHER,$PROXY
}
die() { # server, hard
    kill -9 "$SERVER"
    wait "$SERVER" 2>/dev/null
}
# a moment: up to 0.3 s
moment() { sleep "0.$(printf '%03d' $((RANDOM % 300)))"; }

finished() { [ -e d/recast.json ] || [ -e d.recast.json ]; }
# strike: the client that runs; it may just have ended
strike() { kill -9 "$client" 2>/dev/null && clients=$((clients + 1)); }
# renew: another server, after a while without one
renew() {
    die
    moment
    start
    servers=$((servers + 1))
}

start
clients=0 servers=0
for round in $(seq 6); do
    d=d ref=ref to=fp8
    [ $((round % 2)) -eq 0 ] || { d=d.gguf ref=ref.gguf to=gguf:mxfp4; }
    away
    try=("$RECAST" convert hf://local/tiny "$d" --to "$to" --endpoint "$ENDPOINT" --timeout 2 --quiet)
    for _ in $(seq 8); do
        { "${try[@]}" >out 2>err & } 2>/dev/null
        client=$!
        moment
        case $((RANDOM % 4)) in
        0 | 1) strike ;;
        2) # the client goes on, with another server
            renew
            moment
            strike
            ;;
        3) # both
            die
            strike
            start
            servers=$((servers + 1))
            ;;
        esac
        wait "$client" 2>/dev/null
        ! finished || break
    done
    if ! finished; then # the server dies once more, and the client has to live through it
        "${try[@]}" >out 2>err &
        client=$!
        moment
        renew
        wait "$client" || fail "round $round: the client did not live through a new server"
    fi
    equal "$ref" "$d"
    discreet d d.* out err
done
[ "$clients" -ge 8 ] || fail "only $clients clients were killed"
echo "$clients clients and $servers servers killed"

# What a branch points to may change: what was begun is finished from the commit that it was begun
# with.
away
# The headers arrive, the data do not.
order faults '{"do":"status","code":500,"file":"model-00004","origin":"cdn","nth":['"$(seq -s, 2 60)"']}'
expect 75 recast convert hf://local/tiny d --to fp8 --endpoint "$ENDPOINT" --retries 1 --timeout 2
[ -e d/recast.journal ] || fail "there is nothing to go on with"
order faults ""
order "move?repo=local/tiny&branch=main&to=next"
expect 0 recast convert hf://local/tiny d --to fp8 --endpoint "$ENDPOINT"
equal ref d
