#!/bin/bash
# Whatever a hub can do wrong, one thing at a time (tests/net/hub_faults.py): the conversion ends
# with the bytes of an undisturbed one, or with the right code and one line that says what
# happened. Then nothing has a final name, nothing tells a secret, and the same command against a
# hub that is well completes with the same bytes.
. "$ROOT/tests/cli/lib.sh"
. "$ROOT/tests/cli/hub/lib.sh"
top=$PWD
mkdir -p root/local
expect 0 recast synth root/local/tiny --like tiny --experts 2 --layers 2 --quiet
expect 0 recast synth root/local/tiny@next --like tiny --experts 2 --layers 2 --seed 1 --quiet
expect 0 recast convert root/local/tiny ref --to fp8
# A web folder has no list: what no name leads to is not found.
cp -r root/local/tiny root/local/plain
rm root/local/plain/SYNTHETIC root/local/plain/encoding/test_*
expect 0 recast convert root/local/plain refweb --to fp8
export ROOT_DIR=$top/root HF_TOKEN=$SECRET
trap 'kill $(jobs -p) 2>/dev/null' EXIT
rows=0 ran=0

# try NAME WANT PATTERN PLAN [OPTION...]: one row, in a folder and with a server of its own. WANT
# has "same" (bytes) and codes with | between them; PLAN has one fault a line. Options come after the
# command's; `--serve OPTIONS` (one word) are the server's. `--web`: from a plain folder of it.
try() {
    local name=$1 want=$2 pattern=$3 plan=$4 status options="" from=hf://local/tiny ref=$top/ref web=""
    shift 4
    [ "${1:-}" != --web ] || { web=yes; shift; }
    [ "${1:-}" != --serve ] || { options=$2; shift 2; }
    mkdir "$top/$name" && cd "$top/$name" || exit 1
    printf '%s\n' "$plan" >plan
    # shellcheck disable=SC2086 # words
    serve hub --faults plan --token "$SECRET" $options
    trap 'kill $SERVER 2>/dev/null' EXIT
    [ -z "$web" ] || from=http://127.0.0.1:$HUB/web/local/plain ref=$top/refweb
    timeout 100 "$RECAST" convert "$from" d --to fp8 --endpoint "$ENDPOINT" --retries 3 --timeout 2 \
        --quiet "$@" >out 2>err
    status=$?
    discreet err out d
    # A fault that never struck proves nothing.
    [ -z "$plan" ] || [ "$(asked hub.log '.fault != null')" -gt 0 ] || fail "$name: nothing went wrong"
    [ "$(asked hub.log '.auth != null and .origin != "hub" and .origin != "hubs"')" -eq 0 ] || fail "$name: the token went to another origin"
    [ "$(asked hub.log '.origin == "other" and .auth != null')" -eq 0 ] || fail "$name: the token went astray"
    if [ "$status" -ne 0 ] || [[ "|$want|" != *"|same|"* ]]; then
        [[ "|$want|" == *"|$status|"* ]] || fail "$name: status $status, want $want"
        [ "$(grep -c '^recast: error: ' err)" -eq 1 ] || fail "$name: want exactly one error line"
        [ "$(grep -c '^recast: hint: ' err)" -le 1 ] || fail "$name: more than one hint"
        grep -qiE -- "$pattern" err || fail "$name: '$pattern' is not in the message"
        nothing d
        order faults ""
        "$RECAST" convert "$from" d --to fp8 --endpoint "$ENDPOINT" --quiet >out 2>err
        status=$?
        discreet err out
    fi
    [ "$status" -eq 0 ] || fail "$name: status $status, want a conversion that completes"
    discreet d
    equal "$ref" d
    stop
    rm -rf d
}

# row: the same beside others, at most eight at a time
row() {
    rows=$((rows + 1))
    # shellcheck disable=SC2053 # ROW is a pattern: rows that are wanted
    [[ "$1" == ${ROW:-*} ]] || return
    ran=$((ran + 1))
    while [ "$(jobs -rp | wc -l)" -ge 8 ]; do wait -n; done
    (try "$@") >"$1.result" 2>&1 || touch "$1.failed" &
}

cdn='"origin":"cdn"'
api='"path":"^/api/models/"'
tree='"path":"/tree/"'
shard='"file":"model-00003","range":true'

row healthy same '' ''
# --- ranges and lengths: struck once they are retried, struck always they are an error
row ignore_range_once same '' '{"do":"ignore_range",'"$shard"',"first":1}'
row ignore_range 76 'range' '{"do":"ignore_range",'"$cdn"',"range":true}'
row range_start_once same '' '{"do":"range_wrong","start":1,'"$shard"',"first":1}'
row range_start 76 'range' '{"do":"range_wrong","start":1,'"$cdn"'}'
row range_end 76 'range' '{"do":"range_wrong","end":-1,'"$cdn"'}'
row range_total 80 'bytes|size' '{"do":"range_wrong","total":5,'"$cdn"'}'
row range_none 76 'range' '{"do":"range_wrong","none":1,'"$cdn"'}'
row range_text 76 'range' '{"do":"range_text","text":"bytes 18446744073709551616-1/x",'"$cdn"'}'
row range_negative 76 'range' '{"do":"range_text","text":"bytes -1--5/100",'"$cdn"'}'
row short_body_once same '' '{"do":"short_body",'"$shard"',"first":1}'
row short_body_thrice same '' '{"do":"short_body","by":100,'"$cdn"',"nth":[2,5,7]}'
row short_body 75 '' '{"do":"cut","body":0,'"$cdn"'}'
row short_answer 'same' '' '{"do":"short_answer",'"$shard"',"first":2}'
row long_body_once same '' '{"do":"long_body",'"$shard"',"first":1}'
row long_body_said_once same '' '{"do":"long_body","said":1,'"$shard"',"first":1}'
row long_body_said 76 '' '{"do":"long_body","said":1,'"$cdn"'}'
row not_satisfiable_once same '' '{"do":"not_satisfiable",'"$shard"',"first":1}'
row not_satisfiable 76 '416|range' '{"do":"not_satisfiable",'"$cdn"'}'
row shrunk 80 'bytes|size' '{"do":"not_satisfiable","shrunk":1,'"$cdn"'}'
row empty '65|80' 'bytes|size' '{"do":"empty","file":"model-00003","origin":"cdn"}'
row other_length 80 'bytes|size' '{"do":"other_length","file":"model-00003"}'
row other_length_json 80 'bytes|size' '{"do":"other_length","file":"config.json"}'
row flip 80 'sha' '{"do":"flip","at":900000,"file":"model-00003"}'
row flip_header 'same|65|80|82' '' '{"do":"flip","at":60,"origin":"cdn",'"$shard"',"first":1}'
# A header that is fine in itself, and of another file than the bytes that are digested.
row other_header '80' 'when the checkpoint was opened' '{"do":"swap","a":".w1.","b":".w3.","origin":"cdn",'"$shard"',"first":1}'
row flip_json 80 'stated' '{"do":"flip","file":"generation_config.json"}'
row flip_middle 'same|80' 'stated|opened' '{"do":"flip",'"$cdn"',"nth":[4]}'
# --- codings and headers
row gzipped 76 'encod|gzip|compress' '{"do":"gzipped",'"$cdn"'}'
row gzipped_json 'same|76' 'encod|gzip' '{"do":"gzipped",'"$api"',"first":1}'
row gzip_bomb '76|84' '' '{"do":"gzipped","bomb":200000000,'"$tree"'}'
row chunked same '' '{"do":"chunked",'"$cdn"',"first":3}'
row chunk_digits 76 '' '{"do":"chunked","how":"digits",'"$cdn"'}'
row chunk_unfinished '75|76' '' '{"do":"chunked","how":"unfinished",'"$tree"'}'
row chunk_extension 'same|76' '' '{"do":"chunked","how":"extension",'"$cdn"'}'
row chunk_negative 76 '' '{"do":"chunked","how":"negative",'"$cdn"'}'
row chunk_garbage 76 '' '{"do":"chunked","how":"garbage",'"$cdn"'}'
row header_line 76 'header' '{"do":"header_line",'"$cdn"'}'
row many_headers 76 'header' '{"do":"many_headers",'"$cdn"'}'
row header_nul '76' '' '{"do":"header_text","text":"X-A: b\u0000c",'"$cdn"'}'
row header_folded same '' '{"do":"header_text","text":"X-A: b\r\n c",'"$cdn"',"first":2}'
row header_no_colon 'same|76' '' '{"do":"header_text","text":"nonsense: ",'"$cdn"',"first":1}'
row status_garbage 76 '' '{"do":"status_line","text":"HELLO WORLD",'"$cdn"'}'
row status_number 76 '' '{"do":"status_line","text":"HTTP/1.1 999999 Hm",'"$cdn"'}'
row http_0_9 76 '' '{"do":"status_line","bare":1,'"$cdn"'}'
row interim same '' '{"do":"interim"}'
row interim_endless 76 '' '{"do":"interim","n":200000,'"$cdn"'}'
row etag_changed 80 'etag|another|changed|identity' '{"do":"etag","text":"\"0123456789abcdef0123456789abcdef\"","file":"model-00003","origin":"cdn","nth":[2,3,4,5,6,7,8,9]}'
row etag_weak same '' '{"do":"etag","text":"W/\"abc\"",'"$cdn"'}'
row etag_empty same '' '{"do":"etag","text":"",'"$cdn"'}'
row etag_git same '' '{"do":"etag","text":"e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",'"$cdn"'}'
row linked_etag 80 '' '{"do":"etag","text":"\"'"$(printf '%064d' 5)"'\"","file":"model-00003","origin":"hub"}'
row commit 80 'commit' '{"do":"commit","path":"/resolve/"}'
row moved same '' '{"do":"moved","repo":"local/tiny","to":"next","path":"/resolve/","nth":[1]}'
row moved_early same '' '{"do":"moved","repo":"local/tiny","to":"next",'"$api"',"nth":[1]}'
# --- whole answers
row unauthorized 77 '401|token' '{"do":"status","code":401}'
row forbidden 77 '403' '{"do":"status","code":403,"origin":"hub"}'
row missing 66 '404|no such|not found' '{"do":"status","code":404,'"$api"'}'
row missing_file 66 '404|no such|not found' '{"do":"status","code":404,"file":"model-00003"}'
row gone_451 77 '451' '{"do":"status","code":451,"origin":"hub"}'
row teapot 76 '418' '{"do":"status","code":418,'"$cdn"'}'
row too_many_once same '' '{"do":"status","code":429,"after":1,"first":1}'
row too_many_date same '' '{"do":"status","code":429,"after":"date+1",'"$cdn"',"first":1}'
row too_many 75 '429' '{"do":"status","code":429,'"$cdn"'}'
row too_many_for_days 75 '429' '{"do":"status","code":429,"after":864000,'"$cdn"'}'
for code in 500 502 503 504 408; do
    row code_${code}_twice same '' '{"do":"status","code":'$code','"$shard"',"first":2}'
    row code_$code 75 "$code" '{"do":"status","code":'$code','"$cdn"'}'
done
row code_500_api 75 '500' '{"do":"status","code":500,'"$api"'}'
row login 65 'html' '{"do":"login",'"$api"'}'
row login_file '65|76' 'html' '{"do":"login",'"$cdn"'}'
row expired same '' '{"do":"expired",'"$cdn"',"nth":[3,4,5,6,7,8,9],"last":1}'
row expired_often same '' '{"do":"expired",'"$cdn"',"p":0.2}'
row expired_always '75|77' '403|expired|signed' '{"do":"expired","fresh":1,'"$cdn"'}'
# --- redirects
resolve='"path":"/resolve/","file":"model-00003"'
row redirect_other_port '66|76|77|75' '' '{"do":"redirect","to":"http://{other}{path}","path":"/api/models/"}'
row redirect_relative same '' '{"do":"redirect","to":"{path}","path":"/resolve/","first":1}'
row redirect_308 same '' '{"do":"redirect","code":308,"to":"{path}",'"$api"',"first":1}'
row relative_hub same '' '' --serve --relative
row redirect_file '76|83' 'redirect' '{"do":"redirect","to":"file:///etc/passwd",'"$resolve"'}'
row redirect_ftp '76|83' 'redirect' '{"do":"redirect","to":"ftp://{other}/x",'"$resolve"'}'
row redirect_data '76|83' 'redirect' '{"do":"redirect","to":"data:text/plain,abc",'"$resolve"'}'
row redirect_gopher '76|83' 'redirect' '{"do":"redirect","to":"gopher://{other}/x",'"$resolve"'}'
row redirect_loop 76 'redirect' '{"do":"redirect","to":"{path}",'"$resolve"'}'
row redirect_20 76 'redirect' '{"do":"hops","n":20,'"$resolve"'}'
row redirect_3 same '' '{"do":"hops","n":3,'"$resolve"'}'
row redirect_nowhere 76 'redirect|location' '{"do":"redirect",'"$resolve"'}'
row redirect_link_local '76|83' 'redirect|169.254' '{"do":"redirect","to":"http://169.254.169.254/latest/meta-data",'"$resolve"'}'
row redirect_password '76|83' '' '{"do":"redirect","to":"http://user:'"$SECRET"'@{other}{path}",'"$resolve"'}'
row redirect_garbage 76 '' '{"do":"redirect","to":"http://[::1{path}",'"$resolve"'}'
# --- connections
for at in 0 1 9 20 60 150; do
    row reset_head_$at same '' '{"do":"cut","head":'$at',"how":"reset",'"$shard"',"first":1}'
done
for at in 0 1 100 5000; do
    row reset_body_$at same '' '{"do":"cut","body":'$at',"how":"reset",'"$shard"',"first":1}'
done
row reset_api same '' '{"do":"cut","share":0.5,"how":"reset",'"$api"',"nth":[1,3]}'
row reset_always 75 '' '{"do":"cut","share":0.5,"body":0,"how":"reset",'"$api"'}'
row closed_head same '' '{"do":"cut","head":30,'"$cdn"',"first":2}'
row stall_once same '' '{"do":"cut","how":"stall","share":0.3,'"$shard"',"first":1}'
row stall 75 'second|time' '{"do":"cut","how":"stall","share":0.3,'"$cdn"'}'
row stall_head 75 'second|time' '{"do":"cut","how":"stall","head":0,'"$api"'}'
row late same '' '{"do":"wait","seconds":4,'"$shard"',"first":1}'
row drip_once same '' '{"do":"slow","pace":1,'"$shard"',"first":1}'
row drip 75 '' '{"do":"slow","pace":1,'"$cdn"'}'
row hang_up same '' '{"do":"hang_up"}'
row hang_up_often same '' '{"do":"hang_up","p":0.3}'
# --- lists
row pages same '' '' --serve '--page-size 3'
row link_loop '76|84' 'page|loop|link' '{"do":"link_loop",'"$tree"'}'
row link_elsewhere '76|83' '' '{"do":"link","to":"http://{other}/x",'"$tree"'}'
row link_file '76|83' '' '{"do":"link","to":"file:///etc/passwd",'"$tree"'}'
row list_missing '82|66' 'model-00003' '{"do":"list_drop","name":"model-00003",'"$api"'}'
row list_double '65|76' 'twice|two|double|duplicate' '{"do":"list_double",'"$tree"'}'
row list_dots 83 '' '{"do":"list_add","names":["../x"],'"$api"'}'
row list_dots_inside 83 '' '{"do":"list_add","names":["encoding/../../x"],'"$api"'}'
row list_absolute 83 '' '{"do":"list_add","names":["/etc/passwd"],'"$api"'}'
row list_newline '65|83' '' '{"do":"list_add","names":["a\r\nHost: x"],'"$api"'}'
row list_escape '65|83|same' '' '{"do":"list_add","names":["a\u001b[31m"],'"$api"'}'
row list_100000 84 '65536|files' '{"do":"list_add","n":100000,'"$api"'}'
row list_size '65|76|80' '' '{"do":"list_set","name":"model-00003","values":{"size":-5},'"$tree"'}'
row list_size_text '65|76|80' '' '{"do":"list_set","name":"model-00003","values":{"size":"many"},'"$tree"'}'
row list_size_huge '65|76|80|84' '' '{"do":"list_set","name":"model-00003","values":{"size":9223372036854775807},'"$tree"'}'
row list_lfs_size '65|76|80' '' '{"do":"list_set","name":"model-00003","values":{"lfs":{"oid":"zz","size":3}},'"$tree"'}'
row list_other_digest 80 'sha' '{"do":"list_set","name":"model-00003","values":{"lfs":{"oid":"'"$(printf '%064d' 7)"'","size":1069084,"pointerSize":1}},'"$tree"'}'
row json_cut '65|76|75' '' '{"do":"json_text","text":"[{\"type\":\"file\",",'"$tree"'}'
row json_deep '65|76|84' '' '{"do":"json_text","text":"[","times":100000,'"$tree"'}'
row json_huge '65|76|84' '' '{"do":"json_huge",'"$tree"'}'
row json_number '65|76' '' '{"do":"json_text","text":"17",'"$api"'}'
row json_no_sha '65|76' '' '{"do":"json_set","values":{"sha":null},"path":"^/api/models/[^/]*/[^/]*(/revision/.*)?$"}'
row json_bad_sha '65|76' '' '{"do":"json_set","values":{"sha":"../../../x"},"path":"^/api/models/[^/]*/[^/]*(/revision/.*)?$"}'
# --- a plain folder of a web server: nothing is known of a file but what its server says
row web same '' '' --web
row web_no_range 76 'range' '{"do":"ignore_range"}' --web
row web_no_range_once same '' '{"do":"ignore_range",'"$shard"',"first":1}' --web
row web_missing 66 '404|no such|not found' '{"do":"status","code":404}' --web
row web_missing_shard '66|82' 'model-00003' '{"do":"status","code":404,"file":"model-00003"}' --web
row web_forbidden 77 '403' '{"do":"status","code":403}' --web
row web_login 65 'html' '{"do":"login"}' --web
row web_replaced 80 'etag|another|changed|identity' '{"do":"etag","text":"\"other\"","file":"model-00003","nth":[3,4,5,6,7,8,9,10]}' --web
row web_longer '65|80' '' '{"do":"range_wrong","total":5,"file":"model-00003","method":"GET"}' --web
row web_503_twice same '' '{"do":"status","code":503,"nth":[2,3,7]}' --web
row web_reset same '' '{"do":"cut","share":0.4,"how":"reset",'"$shard"',"first":1}' --web
row web_drip 75 '' '{"do":"slow","pace":1}' --web

wait
bad=0
for f in *.failed; do
    [ -e "$f" ] || continue
    bad=$((bad + 1))
    echo "--- ${f%.failed}"
    tail -12 "${f%.failed}.result"
done
echo "$ran of $rows rows, $bad failed"
[ $bad -eq 0 ] || fail "$bad rows"
