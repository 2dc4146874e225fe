#!/bin/sh
# Runs a command as a stage with a name, and says how long it took, also when it failed.
#
#   stage.sh NAME COMMAND…
set -u

name=$1
shift
printf '\n==> %s\n' "$name"
began=$(date +%s)
"$@"
code=$?
took=$(($(date +%s) - began))
if [ "$code" -eq 0 ]; then
    printf '==> %s: done in %d s\n' "$name" "$took"
else
    printf '==> %s: failed (exit %d) after %d s\n' "$name" "$code" "$took" >&2
fi
exit "$code"
