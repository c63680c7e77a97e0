#!/bin/sh
# Run a command beside as many busy loops as there are cores, as on a machine with other work.
#     tools/beside_busy_loops.sh make test
loops=
trap 'kill $loops' EXIT
for _ in $(seq "$(nproc)"); do
    (while :; do :; done) &
    loops="$loops $!"
done
"$@"
