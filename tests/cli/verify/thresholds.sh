#!/bin/bash
# Bounds by role: words, files, and what they leave exact.
. "$ROOT/tests/cli/lib.sh"
tiny src
expect 0 recast convert src fp8 --to fp8

printf '# a recipe\nexpert = 12.5\nattention=exact # said twice is fine\n\n' >bounds
expect 0 recast verify src fp8 --thresholds bounds --json r.json
[ "$(jq -c '.rules | [.exact, .min_sqnr_db, .min_sqnr_db_by_role.expert, .min_sqnr_db_by_role.norm]' r.json)" = '[false,null,12.5,null]' ] || fail 'the rules'
[ "$(jq -r '.roles[] | select(.role == "expert") | .native + " " + .converted' r.json)" = 'FP4+E8M0 FP8+F32' ] || fail 'how experts are stored'
expect 0 recast verify src fp8 --thresholds bounds --min-sqnr expert=20 --min-sqnr 30 --json r.json
[ "$(jq -c '.rules.min_sqnr_db_by_role | [.expert, .norm, .attention]' r.json)" = '[20,30,null]' ] || fail 'words over lines'

expect 64 recast verify src fp8 --min-sqnr experts=20
says err 'no such role' 'hyper-connection'
expect 64 recast verify src fp8 --min-sqnr expert=
printf 'expert = 1\nrole = 2\n' >bad
expect 64 recast verify src fp8 --thresholds bad
says err 'bad: no such role' 'line 2'
printf '12\n' >bad
expect 64 recast verify src fp8 --thresholds bad
expect 66 recast verify src fp8 --thresholds nothing
expect 66 recast verify src fp8 --thresholds no/such/file
