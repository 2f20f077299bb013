#!/bin/bash
# tests/cli/calibrate/lib.sh - a small model and a text for it.
. "$ROOT/tests/cli/lib.sh"
export OMP_WAIT_POLICY=passive

# ids N: a text of N token ids of the tiny vocabulary
ids() { seq 1 "$1" | awk '{ printf "%d,", ($1 * $1 * 7 + 13 * $1 + 5) % 384 }'; }

# small DIR: three layers of every kind of attention, four experts, an MTP block
small() { expect 0 recast synth "$1" --like tiny --layers 3 --experts 4 --quiet; }

# clean: nothing of a run is left but results
clean() {
    local left
    left=$(find . -maxdepth 1 -name '*.partial*')
    [ -z "$left" ] || fail "left over: $left"
}
