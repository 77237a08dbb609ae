"""What Bokeh's servers complain of when they are made to fail."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        # Bokeh 3.9 lets go of what it had to send when a message of a client fails.
        for name in ("ServerConnection.send_patch_document", "_Socket.send_message"):
            item.add_marker(pytest.mark.filterwarnings(f"ignore:coroutine '{name}' was never awaited"))
