"""Looking through decoded wire content."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["objects"]


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Give every JSON object in a wire value, outer ones first; arrays of numbers and bytes are not looked into.

    Args:
        value: Decoded wire content of any depth.
    """
    stack = [value]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            yield node
            if node.get("type") not in ("ndarray", "bytes"):
                stack.extend(item for item in node.values() if isinstance(item, dict | list))
        elif isinstance(node, list):
            stack.extend(item for item in node if isinstance(item, dict | list))
