"""`make bench`: everything measured, as Markdown tables. ONLY=text keeps the session rows that hold the text."""

from __future__ import annotations

import os

from . import sessions

sessions.main(os.environ.get("ONLY", ""))
