"""Why a mongod ended before it was ready, read from what it printed."""

from __future__ import annotations

import json
import re


def explanation(mongod: str, code: int, log: str) -> str:
    """A sentence for the user, from the exit code and the text of the log."""
    missing = re.search(r"shared libraries: (\S+): cannot open", log)
    if missing:
        install = "`apt-get install libcurl4`" if missing[1].startswith("libcurl") else "install it"
        return f"{mongod} needs the library {missing[1]}: {install}."
    reason = _last_error(log)
    return f"{mongod} ended with code {code} before it was ready{f': {reason}' if reason else ''}."


def _last_error(log: str) -> str:
    """The last error in mongod's JSON log, else its last line of plain text."""
    reason = ""
    for line in log.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            reason = line.strip() or reason
            continue
        if isinstance(entry, dict) and entry.get("s") in ("E", "F"):
            attributes = entry.get("attr")
            error = attributes.get("error") if isinstance(attributes, dict) else None
            reason = f"{entry.get('msg')}: {error}" if error else str(entry.get("msg"))
    return reason.rstrip(".")
