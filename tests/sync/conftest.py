"""What Bokeh's servers complain of when they are made to fail."""

from __future__ import annotations

from pathlib import Path

import pytest

TOLERATED = [
    "reference already known",  # in earnest, nothing becomes an error that the server only warns of
    # Bokeh 3.9 lets go of what it had to send when a message of a client fails.
    "coroutine 'ServerConnection.send_patch_document' was never awaited",
    "coroutine '[a-zA-Z_]+.send_message' was never awaited",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            for message in TOLERATED:
                item.add_marker(pytest.mark.filterwarnings(f"ignore:{message}"))
