#!/bin/bash
# Parts and join are killed anywhere, and go on: the same bytes.
. "$ROOT/tests/cli/lib.sh"
tiny src
fault() { # OP PATH AT DO COMMAND..
    RC_FAULT_OP=$1 RC_FAULT_PATH=$2 RC_FAULT_AT=$3 RC_FAULT_DO=$4 RC_FAULT_COUNT=calls \
        LD_PRELOAD="$ROOT/$O/tests/cli/fault.so" "$RECAST" "${@:5}" >out 2>err
} 2>killed
how="--to fp8 --shard-size 2M --threads 2 --quiet"
part() { # I: as often as it takes
    # shellcheck disable=SC2086
    expect 0 recast convert src d $how --part "$1/2"
}
# shellcheck disable=SC2086
expect 0 recast convert src ref $how

# a part, before every n-th call on the folder; the other has been there, or has not
# shellcheck disable=SC2086
fault any /d 1000000 KILL convert src d $how --part 1/2
calls=$(cat calls)
for at in $(seq 1 37 "$calls"); do
    rm -rf d
    [ $((at % 2)) -eq 0 ] || part 2
    # shellcheck disable=SC2086
    fault any /d "$at" KILL convert src d $how --part 1/2
    unfinished d
    # shellcheck disable=SC2086
    fault any /d 40 KILL convert src d $how --part 1/2
    part 1
    part 2
    expect 0 recast join d --quiet
    same ref d
done

# join, before every n-th call: what it has looked at is not read again, final names come last
rm -rf d
part 1 && part 2
cp -rp d whole
fault any /d 1000000 KILL join d --quiet
calls=$(cat calls)
same ref d
for at in $(seq 1 11 "$calls"); do
    rm -rf d && cp -rp whole d
    fault any /d "$at" KILL join d --quiet
    [ ! -e d/recast.json ] || jq -e . d/recast.json >jq.out || fail "half a summary"
    if [ -e d/recast.parts.json ] && [ -e d/model-00008-of-00008.safetensors.partial ] && [ "$at" -lt 20 ]; then
        part 1 # complete already
    fi
    fault any /d 30 KILL join d --quiet
    expect 0 recast join d --quiet
    same ref d
    [ -z "$(find d -name 'recast.part*' -o -name '*.partial')" ] || fail "$at: left over: $(ls -A d)"
done

# once names are given no part begins again, and no whole run
rm -rf d && cp -rp whole d
fault rename d/model-00002 1 KILL join d --quiet
# shellcheck disable=SC2086
expect 86 recast convert src d $how --part 1/2
says err 'being joined' 'recast join'
# shellcheck disable=SC2086
expect 86 recast convert src d $how
expect 0 recast join d
same ref d

# a full or failing disk while joining
for at in "write d/recast.join 3 ENOSPC 79" "write d/recast.join 0 EIO 74" "fsync d/recast 2 EIO 74" "rename d/model-00001 1 EIO 74"; do
    rm -rf d && cp -rp whole d
    # shellcheck disable=SC2086
    set -- $at
    fault "$1" "$2" "$3" "$4" join d --quiet
    [ $? -eq "$5" ] || fail "$at: status"
    unfinished d
    expect 0 recast join d --quiet
    same ref d
done

# kill -9 from outside, all parts at once, again and again until they are done
rm -rf d
for round in 1 2 3 4 5 6; do
    for i in 1 2; do
        # shellcheck disable=SC2086
        "$RECAST" convert src d $how --part $i/2 2>"err.$i" &
        pids[i]=$!
    done
    sleep "0.$((round * 2))"
    kill -9 "${pids[@]}" 2>killed
    wait "${pids[@]}" 2>killed
done
part 1
part 2
expect 0 recast join d
same ref d
