"""The one error of this package."""

from __future__ import annotations


class LocalServerError(Exception):
    """No local server could be started, or it ended by itself; the text is for the user."""
