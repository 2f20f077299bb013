#!/bin/bash
# tests/cli/hub/lib.sh - what the tests against tests/net/hub_server.py share; sourced after
# tests/cli/lib.sh. A server belongs to the shell that started it and ends with it.
command -v python3 >/dev/null || { echo "no python3"; exit 77; }
python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))' || { echo "python3 is too old"; exit 77; }

# Nothing of whoever runs the tests.
unset HF_TOKEN HF_ENDPOINT HF_HUB_OFFLINE HF_TOKEN_PATH http_proxy https_proxy all_proxy no_proxy \
    HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY HF_HUB_CACHE
export HOME=$PWD/home HF_HOME=$PWD/home/hf
mkdir -p "$HF_HOME"
SECRET=hf_NobodyMaySeeThis

# serve NAME [OPTION...]: a server of ./root, or of $ROOT_DIR; its files begin with NAME. Sets HUB,
# CDN, OTHER, PROXY (HUBS, CDNS with --tls), ENDPOINT and SERVER, its process.
serve() {
    local name=$1
    shift
    rm -f "$name.ports"
    python3 "$ROOT/tests/net/hub_server.py" --root "${ROOT_DIR:-root}" --port-file "$name.ports" \
        --log "$name.log" "$@" 2>"$name.err" &
    SERVER=$!
    for _ in $(seq 500); do
        [ -e "$name.ports" ] && break
        kill -0 $SERVER 2>/dev/null || { cat "$name.err"; fail "the server does not start"; }
        sleep 0.02
    done
    [ -e "$name.ports" ] || fail "the server does not start"
    # shellcheck disable=SC1090 # NAME=PORT lines
    . "./$name.ports"
    # shellcheck disable=SC2034 # for whoever sources this
    ENDPOINT=http://127.0.0.1:$HUB
}

# stop: it has to be gone before its ports can be another's
stop() {
    kill "$SERVER" 2>/dev/null
    wait "$SERVER" 2>/dev/null
}

# order ORDER [BODY]: to the running server
order() {
    python3 - "http://127.0.0.1:$HUB/_admin/$1" "${2:-}" <<'PYTHON' || fail "the server refuses $1"
import sys, urllib.request
urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
    urllib.request.Request(sys.argv[1], data=sys.argv[2].encode(), method="POST")).read()
PYTHON
}

# discreet FILE...: nothing in these files and folders tells a secret
discreet() {
    local f
    for f in "$@"; do
        [ -e "$f" ] || continue
        ! grep -raqE "$SECRET|Signature=|Expires=" "$f" ||
            { grep -raoE ".{0,40}($SECRET|Signature=|Expires=).{0,20}" "$f" | head -3; fail "$f tells a secret"; }
    done
}

# nothing DST: nothing under a final name, be it a folder or a GGUF file
nothing() {
    case $1 in
    *.gguf) [ ! -e "$1" ] && [ ! -e "${1%.gguf}.recast.json" ] || fail "$1 is there" ;;
    *)
        unfinished "$1"
        [ -z "$(find "$1" -name '*.safetensors' 2>/dev/null)" ] || fail "$1: a shard has its final name"
        ;;
    esac
}

# away: all that `convert SRC d` and `convert SRC d.gguf` leave, finished or not
away() { rm -rf d d.* mtp-d.* .d.* .mtp-d.*; }

# equal A B: two results are the same, less where their source was
equal() {
    case $1 in
    *.gguf)
        cmp -s "$1" "$2" || fail "$1 and $2 differ"
        cmp -s "$(dirname "$1")/mtp-$(basename "$1")" "$(dirname "$2")/mtp-$(basename "$2")" || fail "the drafts of $1 and $2 differ"
        ;;
    *)
        (cd "$1" && find . -type f ! -name recast.json ! -name '.recast*' | LC_ALL=C sort | xargs sha256sum) >a.digest
        (cd "$2" && find . -type f ! -name recast.json ! -name '.recast*' | LC_ALL=C sort | xargs sha256sum) >b.digest
        cmp -s a.digest b.digest || { diff a.digest b.digest; fail "$1 and $2 differ"; }
        ;;
    esac
}

# asked LOG FILTER: how many requests of a log a jq expression is true of
asked() {
    jq -s "[.[] | select($2)] | length" "$1"
}
# sent LOG FILTER: how many bytes they were answered with
sent() {
    jq -s "[.[] | select($2) | .sent] | add // 0" "$1"
}
