#!/bin/bash
# The same bytes whatever the threads, the memory, the instruction set, and where the tokens' state is kept.
. "$ROOT/tests/cli/calibrate/lib.sh"
small m
ids 700 >ids
expect 0 recast calibrate m --tokens ids --ctx 150 --moments -o ref.gguf --dat ref.dat --threads 1
says out '700 tokens of "ids" in 5 windows of 150' "3 layers and the draft's block" 'numerics native'
clean
for with in '--threads 2' '--threads 3 --mem-limit 64M' '--cpu ref' '--cpu avx2' '--scratch .'; do
    # shellcheck disable=SC2086
    "$RECAST" calibrate m --tokens ids --ctx 150 --moments -o x.gguf --dat x.dat --force --quiet $with 2>err
    case $? in
    0) ;;
    64) grep -q 'no such instructions' err && continue ;&
    *) fail "with $with" ;;
    esac
    cmp -s ref.gguf x.gguf || fail "$with: other statistics"
    cmp -s ref.dat x.dat || fail "$with: another .dat"
done
# another run of numbers, another text, another window, another sample: each tells
for with in '--ctx 150 --numerics f32' '--ctx 149' '--ctx 150 --sample-rows 100' '--ctx 150 --samples 4'; do
    # shellcheck disable=SC2086
    expect 0 recast calibrate m --tokens ids --moments -o x.gguf --force --quiet $with
    cmp -s ref.gguf x.gguf && fail "$with: the same statistics"
done
# the same model in another container has the same statistics, but for the file's own keys
expect 0 recast convert m fp8 --to fp8 --quiet
expect 0 recast calibrate fp8 --tokens ids --ctx 150 --moments -o x.gguf --force --quiet
cmp -s ref.gguf x.gguf || fail 'FP8 holds the same values, but its statistics are others'
# a window that is cut short, and a text shorter than a window
ids 151 >ids
expect 0 recast calibrate m --tokens ids --ctx 150 -o y.gguf --json
jq -e '.tokens == 150 and .windows == 1 and .draft and .few > 0 and .few == ([.few_by_block[].experts[]] | length)
    and ([.few_by_block[].experts[].tokens] | max) < 64' out >/dev/null ||
    fail "a last window of one token: $(cat out)"
ids 20 >ids
expect 0 recast calibrate m --tokens ids -o y.gguf --force --json
jq -e '.tokens == 20 and .ctx == 20 and ([.few_by_block[].experts[].tokens] | max) <= 20' out >/dev/null || fail 'a short text'
