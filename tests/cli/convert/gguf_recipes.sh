#!/bin/bash
# Every recipe of GGUF, and what verify makes of the file.
. "$ROOT/tests/cli/lib.sh"
tiny src
for r in mxfp4 mxfp4-bf16 q8_0 q6_k q5_k q4_k q3_k q2_k iq4_xs iq2_xxs bf16 f16 ds4-q2 ds4-q4; do
    expect 0 recast convert src "$r.gguf" --to "gguf:$r"
    for f in "$r.gguf" "mtp-$r.gguf" "$r.recast.jsonl" "$r.recast.json"; do [ -s "$f" ] || fail "no $f"; done
    [ "$(find . -name '*.partial' -o -name '*.journal' -o -name '*.lock' | wc -l)" -eq 0 ] || fail "$r: left-overs"
    expect 0 recast inspect "$r.gguf" --strict
    says out 'main model' 'whole: every tensor'
    expect 0 recast inspect "mtp-$r.gguf" --strict
    case $r in
    *bf16 | f16) bound=(--min-sqnr 60) ;;
    q2_k | iq2_xxs | ds4-q2) bound=(--min-sqnr 40 --min-sqnr expert=8) ;;
    q3_k) bound=(--min-sqnr 40 --min-sqnr expert=15) ;;
    q4_k | iq4_xs | ds4-q4) bound=(--min-sqnr 40 --min-sqnr expert=20) ;;
    *) bound=(--min-sqnr 25) ;;
    esac
    for f in "$r.gguf" "mtp-$r.gguf"; do
        expect 0 recast verify src "$f" "${bound[@]}"
        says out 'verdict: (WITHIN BOUNDS|EXACT)'
    done
done

# what a type needs and nobody gave, and what was given and is of no use, is said
expect 0 recast convert src iq2_xxs.gguf --to gguf:iq2_xxs --dry-run --force
says err 'weighted by their own energy'

# nothing lost where nothing is promised to be: every expert under mxfp4, everything under bf16
for r in mxfp4-bf16 bf16; do
    for f in "$r.gguf" "mtp-$r.gguf"; do
        expect 0 recast verify src "$f"
        says out 'verdict: EXACT'
    done
done
expect 1 recast verify src mxfp4.gguf
says out 'expert +120 .* 120 +exact'
expect 0 recast verify src mxfp4.gguf --min-sqnr expert=exact --min-sqnr 40
jq 'select(.op == "fp4-to-mxfp4") | .tiles == .tiles_exact and .tiles > 0' mxfp4.recast.jsonl >out
[ "$(grep -c true out)" -eq 144 ] || fail "experts in the ledger"
jq -e '.exact == false and .totals.rounded == 52 and .totals.sqnr_db.attention > 40' mxfp4.recast.json >out ||
    fail "the summary of mxfp4"
jq -e '.exact == true' bf16.recast.json >out || fail "the summary of bf16"

# a source that is FP8 already, and the layouts of the other releases
expect 0 recast convert src fp8 --to fp8
expect 0 recast convert fp8 fp8.gguf --to gguf:bf16
expect 0 recast verify src fp8.gguf
expect 0 recast convert fp8 fp8m.gguf --to gguf
says err '144 expert matrices are not FP4 in the source'
expect 0 recast verify src fp8m.gguf --min-sqnr 15
