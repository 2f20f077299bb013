#!/bin/bash
# docs/jobs/parallel.sh - one conversion by several processes, here or on machines that ssh reaches.
#
#   docs/jobs/parallel.sh 4 SRC DST --to fp8            4 parts at a time, on this machine
#   HOSTS=node1,node2 docs/jobs/parallel.sh 8 SRC DST --to fp8   with GNU parallel, by ssh
#
# Every machine must see SRC and DST under the same names. A part that fails is run again, up to
# three times; what it had finished is kept.
set -eu
[ $# -ge 3 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 64; }
N=$1 SRC=$2 DST=$3
shift 3
RECAST=${RECAST:-recast}
HOSTS=${HOSTS:-}

part() { "$RECAST" convert "$SRC" "$DST" "$@" --quiet; }

if [ -n "$HOSTS" ]; then
    # one part a machine at a time
    seq "$N" | parallel --sshlogin "$HOSTS" --jobs 1 --retries 3 --workdir "$PWD" --joblog parts.log --quote \
        "$RECAST" convert "$SRC" "$DST" "$@" --quiet --part "{}/$N"
else
    pids=()
    for i in $(seq "$N"); do
        for _ in 1 2 3; do part "$@" --part "$i/$N" && exit 0; done &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid"; done
fi
exec "$RECAST" join "$DST"
