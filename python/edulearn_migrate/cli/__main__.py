"""`python -m edulearn_migrate.cli`."""

from __future__ import annotations

import sys

from edulearn_migrate.cli import main

sys.exit(main())
