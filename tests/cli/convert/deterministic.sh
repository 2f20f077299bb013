#!/bin/bash
# The same bytes for any number of threads, any memory limit, any instruction set.
. "$ROOT/tests/cli/lib.sh"
tiny src
expect 0 recast convert src ref --to fp8 --threads 1 --cpu ref
for o in "--threads 2" "--threads 3" "--threads 64" "--mem-limit 24M" "--mem-limit 64M --threads 8"; do
    rm -rf d
    # shellcheck disable=SC2086
    expect 0 recast convert src d --to fp8 $o
    same ref d
done
expect 0 recast convert src bref --to bf16 --threads 1 --cpu ref
expect 0 recast convert src bd --to bf16 --threads 5 --mem-limit 32M
same bref bd
for cpu in avx2 avx512; do
    recast convert src "$cpu" --to fp8 --cpu $cpu --quiet 2>err || { says err 'does not have it'; continue; }
    same ref "$cpu"
done
# the limit is the process's, not only our own book-keeping
if command -v env >/dev/null && env time -f %M true 2>/dev/null && [[ $O != *san* ]]; then
    rm -rf d
    env time -o rss -f %M "$RECAST" convert src d --to fp8 --threads 8 --mem-limit 24M --quiet || fail "--mem-limit 24M"
    [ "$(tail -1 rss)" -lt 32000 ] || fail "--mem-limit 24M took $(tail -1 rss) kB"
fi
