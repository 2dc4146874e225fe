"""Runs a command and writes its wall and CPU time, peak memory and exit code to a file, as JSON.

    python -I -S measure.py FILE COMMAND…

A process of its own and as small as can be: the peak memory that Linux keeps for a child begins at
what its parent had when it forked.
"""

import json
import os
import subprocess
import sys
import time


def main() -> None:
    """Runs the command given on the command line."""
    began = time.perf_counter()
    process = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    peak = used.ru_maxrss  # kilobytes, on macOS bytes
    megabytes = peak / (1024 * 1024 if sys.platform == "darwin" else 1024)
    result = {
        "seconds": seconds,
        "cpu": used.ru_utime + used.ru_stime,
        "megabytes": megabytes,
        "code": os.waitstatus_to_exitcode(status),
    }
    with open(sys.argv[1], "w", encoding="utf-8") as file:  # noqa: PTH123 - pathlib is large
        json.dump(result, file)


if __name__ == "__main__":
    main()
