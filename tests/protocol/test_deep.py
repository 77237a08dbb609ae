"""A million examples are a million: each property has a share of the deep profile, and together they are the total."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.protocol import deep


def properties() -> set[str]:
    """The names under which pytest finds the properties that are written in this folder."""
    found: set[str] = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        if path == Path(__file__):
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            match node:
                case ast.FunctionDef(decorator_list=decorators) if "given" in map(_called, decorators):
                    found.add(node.name)
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Attribute(attr="TestCase")):
                    found.add(name)
    return found


def _called(node: ast.expr) -> str:
    return node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""


def test_each_property_has_its_cost() -> None:
    assert properties() == set(deep.COSTS)


@pytest.mark.parametrize("total", [1_000_000, 1_000, 17])
def test_the_shares_are_the_total(total: int) -> None:
    shares = deep.examples(total)
    assert sum(shares.values()) == total
    assert min(shares.values()) >= 0


def test_what_is_cheap_gets_more_and_what_has_more_to_find() -> None:
    shares = deep.examples(1_000_000)
    times = {name: shares[name] * cost / deep.WEIGHTS.get(name, 1) for name, cost in deep.COSTS.items()}
    assert max(times.values()) < 1.01 * min(times.values())
    assert set(deep.WEIGHTS) <= set(deep.COSTS)


@given(st.integers())
def a_property(_number: int) -> None: ...


def test_a_share_reaches_the_property(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    item = pytest.Function.from_parent(request.node.parent, name="a_property", callobj=a_property)
    with pytest.raises(KeyError, match="a_property"):
        deep.split([item])
    monkeypatch.setitem(deep.COSTS, "a_property", 0.001)
    deep.split([item])
    used = settings(a_property._hypothesis_internal_use_settings)  # type: ignore[attr-defined]
    assert used.max_examples > deep.TOTAL // 2
