#!/bin/bash
# Where a token may come from, where it must not go, and the switch that keeps everything here.
. "$ROOT/tests/cli/lib.sh"
. "$ROOT/tests/cli/hub/lib.sh"
mkdir -p root/local
expect 0 recast synth root/local/tiny --like tiny --experts 2 --layers 2 --quiet
serve hub --token "$SECRET"
trap 'kill $SERVER 2>/dev/null' EXIT
ask() { recast inspect hf://local/tiny --endpoint "$ENDPOINT" "$@"; }

expect 77 ask
says err 'HF_TOKEN' # the hint
HF_TOKEN=$SECRET expect 0 ask
HF_TOKEN="$SECRET
" expect 0 ask # as `cat` leaves it
HF_TOKEN=hf_wrong expect 77 ask
! grep -q hf_wrong err || fail "a token is printed"
printf '%s\n' "$SECRET" >"$HF_HOME/token"
chmod 600 "$HF_HOME/token"
expect 0 ask
[ ! -s err ] || fail "a good token file is talked about"
chmod 644 "$HF_HOME/token"
expect 0 ask
says err '^recast: warning: .*token'
discreet err out
mv "$HF_HOME/token" elsewhere
chmod 600 elsewhere
expect 77 ask
HF_TOKEN_PATH=$PWD/elsewhere expect 0 ask
# What would end a header is no token; nothing is sent.
: >hub.log
for bad in $'hf_a\r\nX-Evil: 1' $'hf_a\001b' $'hf_a\nb' 'hf_a b'; do
    HF_TOKEN=$bad expect 78 ask
    says err 'HF_TOKEN'
    ! grep -q 'hf_a' err || fail "a token is printed"
done
printf 'hf_a\r\nX-Evil: 1\n' >elsewhere
HF_TOKEN_PATH=$PWD/elsewhere expect 78 ask
HF_ENDPOINT='   ' expect 78 recast inspect hf://local/tiny
says err HF_ENDPOINT
HF_ENDPOINT="$ENDPOINT" HF_TOKEN=$SECRET expect 0 recast inspect hf://local/tiny
[ "$(asked hub.log '.auth != "Bearer '"$SECRET"'" and .auth != null')" -eq 0 ] || fail "a bad token was sent"
# Never on the command line.
expect 64 ask --token "$SECRET"
discreet err
# Offline: no socket at all.
: >hub.log
for on in 1 true YES; do
    HF_HUB_OFFLINE=$on HF_TOKEN=$SECRET expect 66 ask
    says err 'HF_HUB_OFFLINE'
    HF_HUB_OFFLINE=$on expect 66 recast inspect "http://127.0.0.1:$HUB/web/local/tiny"
done
[ ! -s hub.log ] || fail "offline, and yet: $(cat hub.log)"
HF_HUB_OFFLINE=0 HF_TOKEN=$SECRET expect 0 ask
HF_HUB_OFFLINE=1 expect 0 recast inspect root/local/tiny
# A conversion leaves no trace of it.
HF_TOKEN=$SECRET expect 0 recast convert hf://local/tiny d --to fp8 --endpoint "$ENDPOINT"
discreet d out err
