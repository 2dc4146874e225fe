"""The exit codes, and which failure ends with which. The only place that knows them.

0 done, 1 failed, 2 wrong usage, 3 `check` found something, 4 another run holds the lock, 5 refused
(a script that changed since it was applied, another database's backup, somebody else's collection
under the ledger's name), 130 interrupted, 143 terminated.
"""

from __future__ import annotations

DONE = 0
FAILED = 1
USAGE = 2
FOUND = 3
LOCKED = 4
REFUSED = 5
INTERRUPTED = 130
TERMINATED = 143

# By name, so that the codes are known without loading the native engine.
_BY_CLASS = {
    "ForeignLedgerError": REFUSED,
    "KeyboardInterrupt": INTERRUPTED,
    "LockHeldError": LOCKED,
    "OtherDatabaseError": REFUSED,
    "ScriptChangedError": REFUSED,
    "SettingsError": USAGE,
    "Terminated": TERMINATED,
    "UsageError": USAGE,
}


def code_for(error: BaseException) -> int:
    """The exit code of a command that ended with `error`."""
    for kind in type(error).__mro__:
        if kind.__name__ in _BY_CLASS:
            return _BY_CLASS[kind.__name__]
    return FAILED
