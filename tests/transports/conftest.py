"""Settings for the tests of the transports."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="package")
def _quick_collections() -> Iterator[None]:
    # Each scenario ends with a collection, which need not look at all that was imported before.
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
