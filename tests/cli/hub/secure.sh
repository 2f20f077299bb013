#!/bin/bash
# TLS, proxies, names that nobody knows.
. "$ROOT/tests/cli/lib.sh"
. "$ROOT/tests/cli/hub/lib.sh"
mkdir -p root/local
expect 0 recast synth root/local/tiny --like tiny --experts 2 --layers 2 --quiet
expect 0 recast convert root/local/tiny ref --to fp8
export HF_TOKEN=$SECRET
# Few retries where all of them fail.
few=(--retries 1)
try=(recast convert hf://local/tiny d --to fp8 --timeout 2)
again() { nothing d; rm -rf d; }
trap 'kill $(jobs -p) 2>/dev/null' EXIT

# --- no TLS needed
expect 75 "${try[@]}" "${few[@]}" --endpoint https://no.such.host.invalid
says err 'no\.such\.host\.invalid'
again
serve hub
stop # nobody listens there now
expect 75 "${try[@]}" "${few[@]}" --endpoint "$ENDPOINT"
again
closed=$HUB

# --- a proxy: that works, that wants a name, that is not there
serve hub --token "$SECRET"
http_proxy=http://127.0.0.1:$PROXY expect 0 "${try[@]}" --endpoint "$ENDPOINT"
equal ref d
rm -rf d
if [ "$(asked hub.log '.origin == "proxy"')" -gt 0 ]; then
    [ "$(asked hub.log '(.origin | test("cdn|other")) and .auth != null')" -eq 0 ] || fail "the token went through the proxy to another origin"
    http_proxy=http://127.0.0.1:$closed expect 75 "${try[@]}" "${few[@]}" --endpoint "$ENDPOINT"
    again
    stop
    serve wants --token "$SECRET" --proxy-auth
    http_proxy=http://127.0.0.1:$PROXY expect 77 "${try[@]}" "${few[@]}" --endpoint "$ENDPOINT"
    says err '407|proxy'
    again
fi
stop

# --- certificates
command -v openssl >/dev/null || { echo "no openssl: TLS is not tried"; exit 0; }
# certificate NAME SUBJECT-ALT-NAME [OPTION...]: signed by itself, NAME.crt and NAME.key
certificate() {
    local name=$1 alt=$2
    shift 2
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$name" \
        -addext "subjectAltName=$alt" -keyout "$name.key" -out "$name.crt" "$@" 2>openssl.err ||
        { cat openssl.err; fail "openssl makes no certificate"; }
}
certificate good DNS:localhost,IP:127.0.0.1 -days 2
certificate other DNS:hub.example -days 2

serve tls --tls good.crt good.key --token "$SECRET"
expect 76 "${try[@]}" "${few[@]}" --endpoint "https://localhost:$HUBS"
says err 'certificate'
again
[ ! -s tls.log ] || fail "a request reached a server that is not believed"
expect 0 "${try[@]}" --endpoint "https://localhost:$HUBS" --ca-file good.crt
equal ref d
rm -rf d
[ "$(asked tls.log '.origin == "cdns" and .auth == null')" -gt 0 ] || fail "nothing came from the second origin"
[ "$(asked tls.log '.origin == "cdns" and .auth != null')" -eq 0 ] || fail "the token went to another origin"
expect 76 "${try[@]}" "${few[@]}" --endpoint "https://localhost:$HUBS" --ca-file other.crt
again
# From https to http: never, not even on this machine.
order faults '{"do":"redirect","to":"http://{cdn}{path}","path":"/resolve/"}'
expect 76 "${try[@]}" "${few[@]}" --endpoint "https://localhost:$HUBS" --ca-file good.crt
says err 'redirect|https'
again
[ "$(asked tls.log '.origin == "cdn"')" -eq 0 ] || fail "https led to http"
# The connection ends without TLS saying so.
order faults '{"do":"cut","share":0.5,"file":"model-00003","range":true,"first":2}'
expect 0 "${try[@]}" --endpoint "https://localhost:$HUBS" --ca-file good.crt
equal ref d
rm -rf d
order faults ""
# Through a proxy that only sees CONNECT, and does not see the token.
https_proxy=http://127.0.0.1:$PROXY expect 0 "${try[@]}" --endpoint "https://localhost:$HUBS" --ca-file good.crt
equal ref d
rm -rf d
[ "$(asked tls.log '.origin == "proxy" and .auth != null')" -eq 0 ] || fail "the proxy saw the token"
if [ "$(asked tls.log '.origin == "proxy" and .method == "CONNECT"')" -gt 0 ]; then
    order faults '{"do":"refuse_connect","origin":"proxy"}'
    https_proxy=http://127.0.0.1:$PROXY expect 75 "${try[@]}" "${few[@]}" --endpoint "https://localhost:$HUBS" --ca-file good.crt
    again
fi
stop
# A hub elsewhere must not lead to this machine: it is reached through the proxy only, by a name
# that nobody knows, and the second origin is at localhost.
certificate far DNS:hub.example,DNS:localhost -days 2
serve far --tls far.crt far.key
export https_proxy=http://127.0.0.1:$PROXY
expect 83 "${try[@]}" "${few[@]}" --endpoint "https://hub.example:$HUBS" --ca-file far.crt
says err 'redirect'
again
[ "$(asked far.log '.origin == "hubs"')" -gt 0 ] || fail "the hub was not even asked"
[ "$(asked far.log '.origin == "cdns"')" -eq 0 ] || fail "a hub elsewhere led to this machine"
unset https_proxy
stop
serve wrong --tls other.crt other.key
expect 76 "${try[@]}" "${few[@]}" --endpoint "https://localhost:$HUBS" --ca-file other.crt
says err 'certificate|name|host'
again
stop
# Out of date: openssl ca can sign for yesterday.
mkdir ca
: >ca/index
echo 01 >ca/serial
cat >ca.cnf <<'CNF'
[ca]
default_ca = d
[d]
dir = ca
database = ca/index
serial = ca/serial
new_certs_dir = ca
default_md = sha256
policy = p
x509_extensions = x
[p]
commonName = supplied
[x]
subjectAltName = DNS:localhost
CNF
openssl req -new -key good.key -subj /CN=localhost -out late.csr 2>openssl.err &&
    openssl ca -batch -config ca.cnf -selfsign -keyfile good.key -in late.csr -out late.crt \
        -startdate 20200101000000Z -enddate 20200201000000Z 2>>openssl.err ||
    { cat openssl.err; fail "openssl makes no certificate of old"; }
serve late --tls late.crt good.key
expect 76 "${try[@]}" "${few[@]}" --endpoint "https://localhost:$HUBS" --ca-file late.crt
says err 'certificate|expired'
again
stop
