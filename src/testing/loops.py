"""Asynchronous fixtures that end what a test has opened, on the loop that pytest-asyncio runs the test on.

One for each scope that a loop may have. The module is registered as a plugin where pytest-asyncio is active, which then
sees to it that the loop outlives the fixture.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio

__all__ = ["fixture_for"]


def fixture_for(item: pytest.Item, mark: pytest.Mark) -> str:
    """Name the fixture for a test that pytest-asyncio runs.

    Args:
        item: The test.
        mark: Its marker.
    """
    scope = mark.kwargs.get("loop_scope") or mark.kwargs.get("scope")
    return _name_of(scope or item.config.getini("asyncio_default_test_loop_scope"))


def _name_of(scope: str) -> str:
    return f"_bokeh_on_{scope}_loop"


def _fixture(scope: Any) -> Callable[..., Any]:
    @pytest_asyncio.fixture(loop_scope=scope, name=_name_of(scope))
    async def ending() -> AsyncIterator[AsyncExitStack]:
        async with AsyncExitStack() as stack:
            yield stack

    return ending


on_function_loop = _fixture("function")
on_class_loop = _fixture("class")
on_module_loop = _fixture("module")
on_package_loop = _fixture("package")
on_session_loop = _fixture("session")
