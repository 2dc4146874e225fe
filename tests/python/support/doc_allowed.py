"""What the pages show and no test runs, each with the reason. An entry that no page has fails."""

from __future__ import annotations

# Commands that are passed over where they are shown.
COMMANDS: dict[str, str] = {
    "make build": "it made the environment that the tests run in",
    ". .venv/bin/activate": "the tests run in that environment",
    "make wheel": "it takes minutes; `make test-python` builds a wheel and test_wheel.py uses it",
    "pip install dist/edulearn_migrate-*.whl": "test_wheel.py installs the wheel",
    'pip install "fastapi>=0.110" "pymongo>=4.9" httpx pytest': "the tests' environment has them",
    "python -m edulearn_migrate.local -- bash": "it waits for a person; test_local.py runs it",
}

# Blocks that are shown only, by page and first line.
BLOCKS: dict[tuple[str, str], str] = {}
