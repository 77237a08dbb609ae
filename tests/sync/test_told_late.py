"""What happens between a change and the moment when its document tells of it: handlers run then, and threads."""

from __future__ import annotations

from typing import Any

import pytest
from bokeh.models import ColumnDataSource

from .edits import Edit, models_of
from .world import World


@pytest.fixture
def world() -> Any:
    world = World()
    yield world
    world.close()


def columns(document: Any) -> dict[str, list[Any]]:
    source: Any = next(model for model in models_of(document) if isinstance(model, ColumnDataSource))
    return {name: list(column) for name, column in source.data.items()}


@pytest.mark.parametrize("outer", ["stream", "patch", "data"])
@pytest.mark.parametrize("inner", ["stream", "patch", "column", "data"])
@pytest.mark.parametrize("arrays", [False, True])
def test_what_a_handler_does_to_columns_is_told_first(outer: str, inner: str, arrays: bool, world: World) -> None:
    if arrays:
        world.edit_here(0, Edit("array_data", 0, 2))
    world.edit_here_while(0, Edit(outer, 0, 1), lambda: world.edit_here(0, Edit(inner, 0, 1)))
    ours = columns(world.clients[0].document)
    world.quiet()
    assert columns(world.peer.document) == ours
    if not arrays or (outer, inner) != ("data", "patch"):  # which the array that the server has yet cannot hold
        assert not world.clients[0].errors


def test_a_patch_of_rows_that_the_server_has_not_is_refused_and_named(world: World) -> None:
    """As with Bokeh itself: where a server's handler does so, the patch fails in the browser. The columns arrive."""
    world.edit_here_while(0, Edit("stream"), lambda: world.edit_here(0, Edit("patch", 0, 2)))
    ours = columns(world.clients[0].document)
    world.quiet()
    (error,) = world.clients[0].rejections
    assert [name.partition(".")[2] for name in error.changes] == ["data patched"]
    assert columns(world.peer.document) == ours


@pytest.mark.parametrize("kind", ["icon", "append", "nest", "replace", "switch_source", "tag_model"])
@pytest.mark.parametrize("told", ["column", "text", "label", "children", "reverse", "pull"])
def test_the_server_speaks_of_a_model_whose_id_a_new_one_was_counted(kind: str, told: str, world: World) -> None:
    """Looked up by its id, the new one would be found, of which nobody has been told yet."""

    def meanwhile() -> None:
        if told == "pull":
            world.pull(0)
        else:
            world.edit_there(Edit("append" if told == "children" else told))
        world.drain()

    for which in range(3):
        world.edit_here_while(0, Edit(kind, which, 1), meanwhile)
    world.quiet()
    assert not world.clients[0].errors


@pytest.mark.parametrize("before", [False, True])
def test_a_message_that_the_server_sends_just_before_it_has_a_push(before: bool, world: World) -> None:
    if before:
        world.edit_there(Edit("message"))
    world.push(0)
    world.settle()
    if not before:
        world.edit_there(Edit("message"))
    world.quiet()
    assert world.clients[0].heard == {"s1": 1}
