#!/bin/bash
# SHA256SUMS: what sha256sum reads and writes.
# shellcheck source=tests/cli/lib.sh disable=SC2154
. "$ROOT/tests/cli/lib.sh"
tiny src
expect 0 recast convert src d --to fp8 --quiet
expect 66 recast check d --sums check
expect 0 recast check d --sums write
says out 'wrote SHA256SUMS, of 19 files'
(cd d && sha256sum -c --strict --quiet SHA256SUMS) || fail "sha256sum does not agree"
(cd d && LC_ALL=C sort -c -k2 SHA256SUMS) || fail "not sorted"
expect 0 recast check d --strict
cp d/SHA256SUMS ours

# What sha256sum writes, in each of its ways
them() { (cd d && find . -type f ! -name SHA256SUMS ! -name '.*' -print0 | sort -rz | xargs -0 sha256sum "$@") >theirs; }
for way in --text --binary --tag; do
    them $way && cp theirs d/SHA256SUMS
    expect 0 recast check d --sums check --json
    jq -e '.sums == {file: "SHA256SUMS", wrote: false, files: 19}' out >jq.out || fail "$way"
done
{ echo '# a comment' && echo && sed 's/$/\r/' ours; } >d/SHA256SUMS
expect 0 recast check d --sums check --strict
{ printf '\xef\xbb\xbf' && awk '{ print toupper($1) "  " $2 }' ours; } >d/SHA256SUMS
expect 0 recast check d --sums check
{ cat ours && echo "$(printf '0%.0s' {1..64})  SHA256SUMS"; } >d/SHA256SUMS
expect 0 recast check d

# What is wrong
sed 's/^......../00000000/;2q' ours >d/SHA256SUMS
expect 80 recast check d
says out 'config.json|LICENSE: was changed: it is not the file that SHA256SUMS names'
expect 0 recast check d --sums off
{ cat ours && echo "$(printf '0%.0s' {1..64})  gone"; } >d/SHA256SUMS
expect 80 recast check d
says out 'gone: is missing: line 20 of SHA256SUMS names it'
bad() { # STATUS TEXT LINE
    { cat ours && printf '%b\n' "$3"; } >d/SHA256SUMS
    expect "$1" recast check d
    says err "SHA256SUMS: .*$2"
}
zeros=$(printf '0%.0s' {1..64})
bad 83 'outside its folder' "$zeros  ../x"
bad 83 'outside its folder' "$zeros  /etc/passwd"
bad 83 'outside its folder' "$zeros  a/../../x"
bad 83 'outside its folder' "SHA256 (../x) = $zeros"
bad 65 'lists a file twice' "$zeros  LICENSE"
bad 65 'is no line' 'hello'
bad 65 'hex digits' "${zeros:1}g  x"
bad 65 'escape' "\\\\$zeros  a\\\\q"
: >d/SHA256SUMS
expect 65 recast check d
says err 'lists nothing'

# Nothing wrong is certified, and any folder can be
rm d/SHA256SUMS && cp d/LICENSE kept && echo x >>d/LICENSE
expect 80 recast check d --sums write
[ ! -e d/SHA256SUMS ] || fail "a SHA256SUMS of what is wrong"
cp kept d/LICENSE
mkdir any any/sub && echo 1 >any/a && : >any/empty && echo 2 >any/sub/b && printf 3 >"any/odd \\ name" && printf 4 >$'any/new\nline'
expect 0 recast check any --sums write
(cd any && sha256sum -c --strict --quiet SHA256SUMS) || fail "sha256sum does not agree on odd names"
[ "$(wc -l <any/SHA256SUMS)" = 5 ] || fail "5 files"
expect 0 recast check any --strict
echo 5 >any/sub/b
expect 80 recast check any
says out 'sub/b: was changed'
expect 66 recast check src

# Beside a GGUF file: of its set only
expect 0 recast convert src m.gguf --to gguf:mxfp4 --quiet
expect 0 recast check m.gguf --sums write
sha256sum -c --strict --quiet m.SHA256SUMS || fail "sha256sum does not agree on a GGUF file"
[ "$(sed 's/.*  //' m.SHA256SUMS | tr '\n' ' ')" = 'm.gguf m.recast.json m.recast.jsonl mtp-m.gguf ' ] || fail "which files"
expect 0 recast check m.gguf --sums check --strict

# A converted result takes no sums of its source along
cp any/SHA256SUMS src/SHA256SUMS && touch src/old.rcz src/recast.anything
expect 0 recast convert src e --to fp8 --quiet
for f in SHA256SUMS old.rcz recast.anything; do [ ! -e e/$f ] || fail "$f was copied"; done
exit 0
