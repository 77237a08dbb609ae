"""Gives the protocol's properties their shares of the deep profile's examples; tests/conftest.py has the profiles."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from tests.protocol import deep


# After the plugins that deselect, so that a property alone gets its share as well.
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if settings.get_current_profile_name() == "deep":
        deep.split([item for item in items if item.path.is_relative_to(Path(__file__).parent)])
