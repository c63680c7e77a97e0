#!/bin/sh
# Run a command together with one busy loop per core, to simulate a busy machine.
#     tools/beside_busy_loops.sh make test
loops=
trap 'kill $loops' EXIT
for _ in $(seq "$(nproc)"); do
    (while :; do :; done) &
    loops="$loops $!"
done
"$@"
