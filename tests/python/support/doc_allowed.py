"""What the pages show and no test runs, each with the reason. An entry that no page has fails."""

from __future__ import annotations

# Commands that are passed over where they are shown.
COMMANDS: dict[str, str] = {
    "edulearn-migrate apply && exec gunicorn --workers 4 "
    "--worker-class uvicorn.workers.UvicornWorker app:app": "a server, which does not end; "
    "test_workers.py starts it",
    "make build": "it made the environment that the tests run in",
    ". .venv/bin/activate": "the tests run in that environment",
    "make wheel && pip install dist/edulearn_migrate-*.whl": "test_wheel.py does both",
    "make wheel": "it takes minutes; `make test-python` builds a wheel and test_wheel.py uses it",
    "pip install dist/edulearn_migrate-*.whl": "test_wheel.py installs the wheel",
    'pip install "fastapi>=0.110" "pymongo>=4.9" httpx pytest': "the tests' environment has them",
    "python -m edulearn_migrate.local -- bash": "it waits for a person; test_local.py runs it",
}

# Blocks that are shown only, by page and first line.
BLOCKS: dict[tuple[str, str], str] = {
    (
        "docs/how-to/large-collection.md",
        "0 23 * * 6  cd /srv/edulearn && timeout --signal=INT --preserve-status 5h "
        "edulearn-migrate apply --no-progress",
    ): "a line of a crontab; the page runs the command itself",
    ("docs/how-to/ci.md", "jobs:"): "a workflow of GitHub; the page runs its commands",
    ("docs/how-to/from-migrate-mongo.md", "module.exports = {"): "a migration of another tool",
}
