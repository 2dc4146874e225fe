"""Prints what the named extras of pyproject.toml require, for `pip install -r`.

    python scripts/requirements.py cli local test dev

pip itself installs extras only together with the project, which would compile it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:  # Python 3.10 reads TOML only by the copy that pip brings
    from pip._vendor import tomli as tomllib


def main() -> None:
    """Prints one requirement a line; an unknown extra is an error."""
    pyproject = Path(__file__).resolve().parents[1] / "pyproject.toml"
    project: dict[str, Any] = tomllib.loads(pyproject.read_text())["project"]
    extras: dict[str, list[str]] = project["optional-dependencies"]
    for extra in sys.argv[1:]:
        if extra not in extras:
            sys.exit(f"pyproject.toml has no extra {extra}: it has {', '.join(extras)}.")
        print("\n".join(extras[extra]))


if __name__ == "__main__":
    main()
