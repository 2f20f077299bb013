#!/bin/bash
# The test hub itself: every fault that it can be told is what comes over the wire.
. "$ROOT/tests/cli/lib.sh"
. "$ROOT/tests/cli/hub/lib.sh"
python3 -B "$ROOT/tests/net/check_server.py" >out 2>err || { cat out; fail "the test hub does not do as it is told"; }
