#!/bin/bash
# 200 random bad days at a hub (tests/net/random_plan.py): each conversion ends with the bytes of
# an undisturbed one, or with a clear error; then the same command, on a good day, completes with
# the same bytes. SEEDS="1 17" tries these only.
. "$ROOT/tests/cli/lib.sh"
. "$ROOT/tests/cli/hub/lib.sh"
top=$PWD
mkdir -p root/local
expect 0 recast synth root/local/tiny --like tiny --experts 2 --layers 2 --quiet
expect 0 recast synth root/local/tiny@next --like tiny --experts 2 --layers 2 --seed 1 --quiet
expect 0 recast convert root/local/tiny ref --to fp8
expect 0 recast convert root/local/tiny ref.gguf --to gguf:mxfp4
export ROOT_DIR=$top/root HF_TOKEN=$SECRET
case $O in *asan* | *tsan*) days=40 ;; *) days=200 ;; esac
workers=4
trap 'kill $(jobs -p) 2>/dev/null' EXIT

# day SEED: in the current folder, with the server that runs for it
day() {
    local to=fp8 d=d ref=$top/ref status
    [ $(($1 % 3)) -ne 0 ] || { to=gguf:mxfp4 d=d.gguf ref=$top/ref.gguf; }
    local try=("$RECAST" convert hf://local/tiny "$d" --to "$to" --endpoint "$ENDPOINT" --retries 2 --timeout 2 --quiet)
    order faults ""
    order "move?repo=local/tiny&branch=main&to=$commit"
    : >hub.log
    order faults "$(python3 "$ROOT/tests/net/random_plan.py" "$1")"
    timeout 120 "${try[@]}" >out 2>err
    status=$?
    discreet out err d d.gguf
    case $status in
    0) echo same >>ends ;;
    64 | 65 | 66 | 75 | 76 | 77 | 80 | 82 | 83 | 84)
        [ "$(grep -c '^recast: error: ' err)" -eq 1 ] || fail "day $1: want exactly one error line"
        nothing $d
        echo "code $status" >>ends
        order faults ""
        order "move?repo=local/tiny&branch=main&to=$commit"
        "${try[@]}" >out 2>err || fail "day $1: ended with $status, and does not complete on a good one"
        ;;
    *) fail "day $1: status $status" ;;
    esac
    equal "$ref" $d
    [ ! -e d/recast.journal ] || fail "day $1: the journal is left over"
    away
}

# work I: days I, I + workers, ...
work() {
    mkdir "$top/w$1" && cd "$top/w$1" || exit 1
    serve hub --token "$SECRET"
    trap 'kill $SERVER 2>/dev/null' EXIT
    commit=$(python3 -c "import sys; sys.path.insert(0, '$ROOT/tests/net')
import hub_repo; print(hub_repo.Hub('$top/root').commit('local/tiny', 'main').sha)")
    for seed in ${SEEDS:-$(seq "$1" $workers $days)}; do day "$seed"; done
    stop
}

[ -z "${SEEDS:-}" ] || workers=1
for i in $(seq $workers); do
    (work "$i") >"w$i.result" 2>&1 || touch "w$i.failed" &
done
wait
for i in $(seq $workers); do
    [ ! -e "w$i.failed" ] || { tail -15 "w$i.result"; bad=1; }
done
cat w*/ends | sort | uniq -c
[ -z "${bad:-}" ] || fail "some days end badly"
[ "$(grep -c same <(cat w*/ends))" -gt $((days / 10)) ] || [ -n "${SEEDS:-}" ] || fail "hardly any day ends well"
[ "$(grep -c code <(cat w*/ends))" -gt $((days / 10)) ] || [ -n "${SEEDS:-}" ] || fail "hardly any day ends badly"
