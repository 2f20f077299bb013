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
