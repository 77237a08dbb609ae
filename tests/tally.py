"""How many faults the tests of tests/resilience have tried, for the report at the end."""

from __future__ import annotations

from collections import Counter

TRIED: Counter[str] = Counter()
"""By kind; those at points of the exchange by face and transport."""
