#!/bin/bash
# A ledger that was made to deceive: its digest is right, what it says cannot be.
# shellcheck source=tests/cli/lib.sh disable=SC2154
. "$ROOT/tests/cli/lib.sh"
command -v xxhsum >/dev/null || { echo "no xxhsum" && exit 77; }
tiny src
expect 0 recast convert src ref --to fp8 --quiet

# says_that FILTER: a result whose ledger went through the filter, all digests put right
says_that() {
    local zeros
    zeros=$(printf '0%.0s' {1..32})
    rm -rf d && cp -r ref d
    jq -c "$1" ref/recast.jsonl >d/recast.jsonl
    jq --arg x "$(xxhsum -H2 d/recast.jsonl | cut -d' ' -f1)" --arg s "$(sha256sum <d/recast.jsonl | cut -d' ' -f1)" \
        --argjson n "$(stat -c %s d/recast.jsonl)" --arg zeros "$zeros" \
        '.ledger += {xxh3_128: $x, sha256: $s, bytes: $n} | .run.xxh3_128 = $zeros' ref/recast.json >d/recast.json
    sed -i "s/$zeros/$(xxhsum -H2 d/recast.json | cut -d' ' -f1)/" d/recast.json
}
w2='layers.1.ffn.experts.3.w2.weight'
begin=$(jq 'select(.tensor == "layers.1.ffn.experts.3.w1.weight").out.weight.begin' ref/recast.jsonl)
# change FILTER STATUS TEXT: of that tensor's place
change() {
    says_that "if .tensor == \"$w2\" then .out.weight |= ($1) else . end"
    expect "$2" recast check d
    says "$4" "$3"
}
says_that .
expect 0 recast check d --strict
change '.begin = 5' 65 'does not fit its file' err
change '.begin = 9e6' 65 'begin|whole number|fit' err
change '.begin = 18446744073709551615' 65 'begin|beyond|fit|whole' err
change ".begin = $begin" 65 'two tensors lie on one another' err
change '.row_bytes = 2 | .stride = 1' 65 'rows that cannot be' err
change '.row_bytes = 1 | .stride = 2' 65 'lie on one another|fit its file' err
change 'del(.xxh3_128)' 65 'xxh3_128.*missing' err
change '.xxh3_128 = "0123"' 65 '32 hex digits' err
change '.bytes = 1e300' 65 'whole number' err
change '.bytes -= 1' 80 "$w2" out
says_that '.shard = "../../etc/passwd"'
expect 83 recast check d
says_that '.shard = "config.json"'
expect 65 recast check d
says err 'recast.json does not list'
says_that '"x"'
expect 65 recast check d
says_that '.out[].bytes = 1e8'
expect 65 recast check d
# Lines that are left out are not trusted to be nothing
says_that empty
expect 80 recast check d
says out 'a byte between tensors was changed'
says_that "select(.tensor != \"$w2\")"
expect 80 recast check d
# A line without an end
says_that .
head -c 3000000 /dev/zero | tr '\0' ' ' >>d/recast.jsonl
expect 80 recast check d
exit 0
