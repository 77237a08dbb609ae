"""The smallest runs in which the two sides once ended different."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, Protocol, cast

import pytest
from bokeh.document.events import RootRemovedEvent
from bokeh.events import ButtonClick
from bokeh.models import ColumnDataSource
from bokeh.models.widgets import Button, Div

from bokehwire import RequestRefused, UsageError

from .edits import Edit
from .world import World


class MakeWorld(Protocol):
    def __call__(self, clients: int = 1, *, reactions: bool = False, answers: bool = False) -> World: ...


@pytest.fixture
def make_world() -> Iterator[MakeWorld]:
    worlds: list[World] = []

    def make(clients: int = 1, *, reactions: bool = False, answers: bool = False) -> World:
        worlds.append(World(clients, reactions=reactions, answers=answers))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()


def test_a_new_model_beside_one_of_the_server_that_has_its_id(make_world: MakeWorld) -> None:
    """Bokeh collects the models of a value by their ids, and so leaves out the second of two that share one."""
    world = make_world()
    world.edit_here(0, Edit("nest"))
    world.quiet()
    texts = {model.text for model in world.peer.document.models if isinstance(model, Div)}
    assert texts >= {"a1", "a2"}


NEW_MODELS = [Edit("append"), Edit("nest"), Edit("add_root"), Edit("icon", 0, 1), Edit("switch_source")]
kinds = pytest.mark.parametrize("edit", NEW_MODELS, ids=lambda edit: edit.kind)


@kinds
def test_a_new_model_of_the_server_reaches_every_client(make_world: MakeWorld, edit: Edit) -> None:
    """Bokeh 3.9's server writes a new model out to one client only, and a reference to it to the others."""
    world = make_world(3)
    world.edit_there(edit)
    world.quiet()


@kinds
@pytest.mark.parametrize("maker", [0, 1, 2])
def test_a_new_model_of_a_client_reaches_every_other(make_world: MakeWorld, maker: int, edit: Edit) -> None:
    """Bokeh 3.9's server writes it out to one of the others only, that of 3.10 and 4.0 to none of them."""
    world = make_world(3)
    world.edit_here(maker, edit)
    world.quiet()


def test_changes_of_a_model_that_came_as_a_reference(make_world: MakeWorld) -> None:
    world = make_world(3)
    for _ in range(2):
        world.edit_there(Edit("append"))
        world.edit_here(1, Edit("append"))
        world.edit_there(Edit("text", 2))
        world.edit_there(Edit("text", 3))
    world.quiet()


# A change of ours puts a model in a second place, while the server takes it out of the first.
MOVES = {
    "promote": (Edit("promote", 0), Edit("drop", 0, 1)),
    "share": (Edit("share", 1, 0), Edit("drop", 0, 1)),
    "tag_model": (Edit("tag_model", 1, 3), Edit("drop", 0, 1)),
}


@pytest.mark.parametrize("kind", MOVES)
def test_a_model_that_the_server_lets_go_of_while_we_put_it_elsewhere(make_world: MakeWorld, kind: str) -> None:
    """The server has seen the model and it is gone, so it drops our change, and says OK."""
    world = make_world()
    ours, theirs = MOVES[kind]
    world.edit_here(0, ours)
    world.settle()
    world.edit_there(theirs)
    world.quiet()


@pytest.mark.parametrize("policy", ["collect", "combine"])
@pytest.mark.parametrize("kind", ["data", "column"])
def test_rows_that_are_streamed_to_new_data_during_a_hold(make_world: MakeWorld, policy: str, kind: str) -> None:
    """The event of the new data has no data of its own; when it is let go, the data has the rows already."""
    world = make_world()
    world.hold(0, policy)
    world.edit_here(0, Edit(kind, 0, 1))
    world.edit_here(0, Edit("stream"))
    world.quiet()


def test_a_new_model_is_not_taken_for_sent_because_something_arrives_during_a_hold(make_world: MakeWorld) -> None:
    """Applying a patch, Bokeh takes every model of the document for known to both sides."""
    world = make_world()
    world.hold(0, "collect")
    world.edit_here(0, Edit("append"))
    world.edit_there(Edit("title"))
    world.drain()
    world.quiet()


def test_a_change_of_a_model_whose_place_is_gone_is_named(make_world: MakeWorld) -> None:
    world = make_world()
    world.edit_here(0, Edit("append", 1))
    world.settle()
    world.edit_there(Edit("drop", 0, 0))
    world.edit_here(0, Edit("text", 2))
    world.quiet()


@pytest.mark.parametrize("before", [0, 1, 2])
@pytest.mark.parametrize("after", [0, 1, 2])
def test_what_surrounds_a_refused_change_is_applied_once(make_world: MakeWorld, before: int, after: int) -> None:
    world = make_world(2)
    surroundings = [Edit("message"), Edit("stream"), Edit("text", 1), Edit("title")]
    for edit in [*surroundings * before, Edit("poison"), *surroundings * after]:
        world.edit_here(0, edit)
    world.quiet()
    assert sum(what == "note" for what, _ in world.applied) == before + after


def test_what_surrounds_a_dropped_change_is_applied_once(make_world: MakeWorld) -> None:
    world = make_world(2)
    world.edit_here(0, Edit("message"))
    world.edit_here(0, Edit("label"))
    world.edit_here(0, Edit("stream"))
    world.edit_here(0, Edit("message"))
    world.edit_there(Edit("drop", 0, 1))  # the button, whose label is under way
    world.quiet()
    assert sum(what == "note" for what, _ in world.applied) == 2


@pytest.mark.parametrize("joined", [True, False])
def test_a_model_that_is_taken_out_and_comes_back_with_a_new_one(make_world: MakeWorld, joined: bool) -> None:
    """The server has let go of it by then, and is told again what it is, as it is now."""
    world = make_world()
    column: Any = world.clients[0].document.roots[0]
    *rest, last = column.children
    column.children = rest
    if not joined:
        world.settle()
    last.text = "changed on its own"
    column.children = [*rest, last, Div(text="new")]
    world.quiet()


@pytest.mark.parametrize("policy", ["collect", "combine"])
def test_a_pull_during_a_hold_changes_nothing_on_the_server(make_world: MakeWorld, policy: str) -> None:
    world = make_world()
    world.hold(0, policy)
    world.edit_here(0, Edit("append"))
    world.edit_here(0, Edit("stream"))
    world.pull(0)
    world.drain()
    world.edit_here(0, Edit("text"))
    world.quiet()


@pytest.mark.parametrize("policy", ["collect", "combine"])
@pytest.mark.parametrize("kind", ["title", "text", "append", "data", "stream", "add_root"])
@pytest.mark.parametrize("ours_first", [True, False])
def test_a_change_of_the_server_that_comes_during_a_hold(
    make_world: MakeWorld, policy: str, kind: str, ours_first: bool
) -> None:
    """It is applied over the held change here, and the held change over it there."""
    world = make_world()
    world.hold(0, policy)
    if ours_first:
        world.edit_here(0, Edit(kind))
    world.edit_there(Edit(kind))
    world.drain()
    if not ours_first:
        world.edit_here(0, Edit(kind))
    world.quiet()


@pytest.mark.parametrize("own", [True, False])
def test_models_that_come_during_a_hold_get_ids_before_anything_arrives(make_world: MakeWorld, own: bool) -> None:
    """Until they are let go, what the server says of a model with the same id would change the new one."""
    world = make_world()
    world.hold(0, "collect")
    document = world.clients[0].document
    for number in range(2):
        new = cast(Any, Div(text="new"))
        new._id = f"own{number}" if own else "p8000002"
        document.add_root(new)
        world.edit_there(Edit("text", 0))
        world.drain()
        assert new.text == "new"
    world.quiet()


@pytest.mark.parametrize("kind", MOVES)
def test_a_model_that_the_server_lets_go_of_while_its_second_place_is_held(make_world: MakeWorld, kind: str) -> None:
    world = make_world()
    ours, theirs = MOVES[kind]
    world.hold(0, "collect")
    world.edit_here(0, ours)
    world.edit_there(theirs)
    world.drain()
    world.quiet()
    assert world.clients[0].named


def test_a_handler_puts_a_model_that_has_just_come_in_a_second_place(make_world: MakeWorld) -> None:
    """While a change is applied, Bokeh takes what it brings for new here; the server has it already."""
    world = make_world()
    column: Any = world.clients[0].document.roots[0]
    row = column.children[0]
    column.on_change("children", lambda attr, old, new: setattr(row, "children", [*row.children, new[-1]]))
    world.edit_there(Edit("append"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        world.quiet()


def test_a_change_that_failed_is_named_also_when_the_next_one_is_in_doubt(make_world: MakeWorld) -> None:
    """Which of two it was shows when the next one is sent again; here it is not even told whether that was applied."""
    world = make_world()
    world.edit_here(0, Edit("poison"))
    world.edit_here(0, Edit("data"))
    for _ in range(2):  # the message of both is answered, and then the question which were applied
        world.settle()
        world.deliver_there(0, 1000)
        world.deliver_here(0, 1000)
    world.settle()
    world.edit_there(Edit("switch_source"))  # the source is gone before its data arrives again
    world.quiet()


@pytest.mark.parametrize("new", [True, False])
def test_a_model_that_is_taken_out_and_comes_back_during_a_hold(make_world: MakeWorld, new: bool) -> None:
    """All three changes are written out when they are let go, and it is a model of the document by then."""
    world = make_world()
    document = world.clients[0].document
    column: Any = document.roots[0]
    world.hold(0, "collect")
    column.children = [*column.children, Div(text="new")] if new else column.children[:2]
    document.remove_root(column)
    document.add_root(column)
    world.quiet()
    assert column in document.roots


def test_a_change_of_the_server_to_a_model_that_comes_back(make_world: MakeWorld) -> None:
    """It is written out as it was here, and that overwrites there what the server has changed."""
    world = make_world()
    column: Any = world.clients[0].document.roots[0]
    *rest, last = column.children
    column.children = rest
    column.children = [*rest, last]
    world.settle()
    world.edit_there(Edit("text", 0))
    world.quiet()


def test_rows_that_may_have_been_dropped_with_another_change_are_named(make_world: MakeWorld) -> None:
    """The server has changed the same as both changes, so that its document does not tell."""
    world = make_world()
    world.edit_here(0, Edit("stream"))
    world.edit_here(0, Edit("share", 1, 0))
    world.settle()
    world.edit_there(Edit("column"))
    world.edit_there(Edit("append", 1))
    world.edit_there(Edit("drop", 0, 1))
    world.quiet()
    assert any("streamed" in name for name in world.clients[0].named)


def test_a_root_that_is_removed_while_the_server_changes_it_is_no_trouble(make_world: MakeWorld) -> None:
    world = make_world()
    world.edit_there(Edit("text"))
    world.edit_here(0, Edit("remove_root"))
    world.quiet()


def test_a_change_that_another_one_overtakes_before_it_is_looked_into_is_not_named(make_world: MakeWorld) -> None:
    """The server's document no longer shows it, and its next value here is not sent yet."""
    world = make_world()
    world.edit_here(0, Edit("title"))
    world.settle()
    world.edit_there(Edit("retag", 1))  # which may have removed a model that a change refers to
    world.edit_here(0, Edit("retag", 1))
    world.deliver_there(0, 1000)
    world.edit_there(Edit("title"))
    world.edit_here(0, Edit("title"))
    world.quiet()


def test_a_dropped_change_is_found_out_also_after_a_pull(make_world: MakeWorld) -> None:
    """The pull puts it in doubt here, and yet nobody has changed the same on the server."""
    world = make_world()
    world.edit_here(0, Edit("title"))
    world.edit_here(0, Edit("share", 1, 0))
    world.settle()
    world.edit_there(Edit("append", 1))
    world.edit_there(Edit("drop", 0, 1))
    world.pull(0)
    world.quiet()


def test_other_clients_get_rows_once_that_are_streamed_to_new_data(make_world: MakeWorld) -> None:
    """Bokeh 3.10's server tells them of all of a message when it is applied; the new data has the rows by then."""
    world = make_world(2)
    for edit in [Edit("label"), Edit("data", 0, 3), Edit("stream")]:
        world.edit_here(0, edit)
    world.quiet()


def test_other_clients_get_rows_once_that_are_streamed_to_an_empty_array(make_world: MakeWorld) -> None:
    """In Bokeh 3.10 the first rows become the column, and their event, written when all is applied, has the others."""
    world = make_world(2)
    for edit in [Edit("array_data", 0, 0), Edit("stream"), Edit("stream")]:
        world.edit_here(0, edit)
    world.quiet()


def test_a_change_that_failed_is_among_those_named_where_it_cannot_be_told_which_did(make_world: MakeWorld) -> None:
    world = make_world()
    world.edit_here(0, Edit("poison"))
    world.edit_here(0, Edit("data"))
    world.settle()
    world.edit_there(Edit("column"))
    world.quiet()
    assert all("cannot be told" in str(error) for error in world.clients[0].errors)


def test_new_data_like_the_old_is_not_taken_for_what_has_failed(make_world: MakeWorld) -> None:
    """Bokeh reports it as a change, and whether the server has applied it makes no difference."""
    world = make_world()
    for edit in [Edit("array_data", 0, 3), Edit("poison"), Edit("array_data", 0, 3)]:
        world.edit_here(0, edit)
        world.settle()
    world.quiet()
    assert any("text changed" in name for name in world.clients[0].named)


def test_a_place_given_to_a_model_that_a_server_that_holds_has_taken_out(make_world: MakeWorld) -> None:
    """The server drops it with an OK, and tells only later that the model is gone."""
    world = make_world()
    world.hold(None, "combine")
    world.edit_there(Edit("replace"))
    world.edit_here(0, Edit("promote", 5))
    world.drain()
    world.quiet()


@pytest.mark.parametrize("style", [True, False])
def test_what_a_callback_has_made_of_a_change_is_not_taken_for_its_absence(make_world: MakeWorld, style: bool) -> None:
    """The server's value is none that was sent, and a 3.9 server does not tell of it when the message fails."""
    world = make_world(reactions=True, answers=True)
    edits = [Edit("slide", 0, 3), Edit("poison", 1)]
    for edit in [Edit("style"), *edits] if style else edits:
        world.edit_here(0, edit)
    world.quiet()
    assert any("text changed" in name for name in world.clients[0].named)


@pytest.mark.parametrize("ours", [Edit("share", 1, 0), Edit("remove_root")], ids=lambda edit: edit.kind)
@pytest.mark.parametrize("joined", [True, False])
def test_a_change_that_another_client_has_overwritten_by_one_that_failed(
    make_world: MakeWorld, joined: bool, ours: Edit
) -> None:
    """Its OK is in doubt; a 3.9 server tells nobody of the other one, and the value is neither."""
    world = make_world(2)
    world.edit_here(0, Edit("text", 2))
    if not joined:
        world.settle()
    world.edit_here(1, Edit("poison", 0))
    world.edit_here(0, ours)
    world.edit_there(Edit("drop", 3, 1))
    world.quiet()


def test_a_change_of_ours_over_one_of_the_server_is_still_told_from_its_absence(make_world: MakeWorld) -> None:
    """The server's came first, and is passed over here; that it is there means that ours is not."""
    world = make_world()
    world.edit_here(0, Edit("share", 1, 0))
    world.settle()
    world.edit_here(0, Edit("title"))
    world.edit_there(Edit("title"))
    world.edit_there(Edit("drop", 0, 1))
    world.quiet()
    assert ("title", "a2") in world.applied or ("title", "a1") in world.applied
    assert not any("title" in name for name in world.clients[0].named)


@pytest.mark.parametrize("policy", ["collect", "combine"])
def test_a_held_change_of_a_model_that_has_gone_again(make_world: MakeWorld, policy: str) -> None:
    """It was in the document only while its changes were held; the server has another model with the id that it had."""
    world = make_world()
    document = world.clients[0].document
    row: Any = document.roots[0]
    kept = row.children
    world.hold(0, policy)
    new = cast(Any, Div(text="new"))
    new._id = str(next(model for model in document.models if isinstance(model, ColumnDataSource)).id)
    row.children = [new]
    new.tags = [Div(text="tag")]
    row.children = kept
    world.quiet()
    assert not any(model.tags for model in world.peer.document.models)


def test_a_held_click_of_a_button_that_has_gone_again(make_world: MakeWorld) -> None:
    """The server has another button with the id that it had."""
    world = make_world()
    document = world.clients[0].document
    row: Any = document.roots[0]
    kept = row.children
    world.hold(0, "combine")  # of the children only the last ones are kept, which have never had it
    new = cast(Any, Button(label="new"))
    new._id = str(next(model for model in document.models if isinstance(model, Button)).id)
    row.children = [new]
    document.callbacks.send_event(ButtonClick(new))
    row.children = kept
    world.quiet()
    assert [type(error) for error in world.clients[0].errors] == [UsageError]
    assert world.clicks == 0


def test_a_change_of_a_new_model_in_the_handler_of_the_change_that_brings_it_in(make_world: MakeWorld) -> None:
    """Bokeh tells of the handler's change first; the one that follows writes the model out as it is."""
    world = make_world()
    column: Any = world.clients[0].document.roots[0]
    column.on_change("children", lambda attr, old, new: setattr(new[-1], "text", "changed"))
    column.children = [*column.children, Div(text="new")]
    world.quiet()
    assert "changed" in {model.text for model in world.peer.document.models if isinstance(model, Div)}


def test_a_change_of_a_model_that_the_same_message_brings_in_is_not_taken_for_what_failed(
    make_world: MakeWorld,
) -> None:
    """It is written out with the model, as it is when all is let go of."""
    world = make_world()
    document = world.clients[0].document
    world.hold(0, "collect")
    new = Div(text="new")
    document.add_root(new)
    world.edit_here(0, Edit("poison", 1))
    new.text = "newer"
    world.quiet()
    (error,) = world.clients[0].rejections
    assert len(error.changes) == 1
    assert not any(str(new.id) in name for name in world.clients[0].named)


@pytest.mark.parametrize("columns", [{"x": [], "y": []}, {"y": [1, 2]}], ids=["shorter", "others"])
def test_a_patch_of_columns_that_a_pull_has_replaced(make_world: MakeWorld, columns: dict[str, Any]) -> None:
    """A server that holds tells of it late; the data that comes after it was in the document that was pulled."""
    world = make_world()
    world.hold(None, "combine")
    world.edit_there(Edit("patch"))
    source: Any = next(model for model in world.peer.document.models if isinstance(model, ColumnDataSource))
    world.peer.edit(lambda document: setattr(source, "data", columns))
    world.pull(0)
    world.drain()
    world.quiet()


def test_a_change_of_a_model_that_has_just_come_in_is_not_taken_for_dropped(make_world: MakeWorld) -> None:
    """Its OK is in doubt, since the server may have taken models out, and its value may have come with the model."""
    world = make_world(2)
    world.edit_there(Edit("style", 1, 2))
    world.edit_here(0, Edit("replace", 4, 3))
    world.edit_here(0, Edit("message"))
    world.edit_here(0, Edit("text"))
    world.quiet()


@pytest.mark.parametrize("back", [1, 2, 1000])
@pytest.mark.parametrize("forth", [1, 2, 1000])
def test_a_program_that_goes_on_changing_what_the_server_takes_a_model_out_of(
    make_world: MakeWorld, forth: int, back: int
) -> None:
    """The server's change is passed over here, and drops with an OK whatever refers to that model from then on."""
    world = make_world()
    world.edit_here(0, Edit("append"))
    world.edit_there(Edit("drop"))
    for _ in range(6):
        world.deliver_here(0, back)
        world.edit_here(0, Edit("stream"))
        world.edit_here(0, Edit("append"))
        world.deliver_there(0, forth)
        world.turn()
    world.quiet()


@pytest.mark.parametrize("back", [1, 2, 1000])
@pytest.mark.parametrize("forth", [1, 2, 1000])
def test_a_program_that_goes_on_changing_what_a_pull_has_brought_back(
    make_world: MakeWorld, forth: int, back: int
) -> None:
    """The server takes a model out after the pull, as it was told to before, and drops what refers to it."""
    world = make_world()
    world.pull(0)
    world.turn()
    world.edit_here(0, Edit("drop"))
    for _ in range(10):
        world.deliver_there(0, forth)
        world.deliver_here(0, back)
        world.turn()
        world.edit_here(0, Edit("stream"))
        world.edit_here(0, Edit("append"))
    world.quiet()


def test_rows_of_a_dropped_message_that_nobody_can_see_are_named(make_world: MakeWorld) -> None:
    """The program itself has replaced them in the same message, and so has somebody else."""
    world = make_world(3)
    world.edit_here(2, Edit("array_data"))
    world.edit_here(0, Edit("stream_rollover", 1, 2))
    world.edit_here(0, Edit("text", 5, 1))
    world.edit_here(0, Edit("column", 2))
    world.edit_there(Edit("replace"))
    world.quiet()
    assert [error.changes for error in world.clients[0].rejections] == [(world.clients[0].side.written[0].name,)]


@pytest.mark.parametrize("turns", [2, 3, 5])
def test_a_container_recovers_while_a_program_goes_on_changing_it(make_world: MakeWorld, turns: int) -> None:
    """As long as it held the model that the server has taken out, each change of it would be dropped."""
    world = make_world()
    (client,) = world.clients
    box: Any = client.document.roots[0]
    there: Any = world.peer.document.roots[0]
    world.edit_here(0, Edit("append"))
    world.edit_there(Edit("drop"))
    made = 1
    for _ in range(40):
        world.deliver_here(0, 1000)
        world.edit_here(0, Edit("append"))
        for _ in range(turns):
            world.turn()
        world.edit_here(0, Edit("append"))
        world.deliver_there(0, 1000)
        world.turn()
        made += 2
    assert len(box.children) - len(there.children) <= 4  # which are on their way
    world.quiet()
    assert len(there.children) == len(box.children) > made / 2
    lost = made - (len(there.children) - 2)
    named = [change for error in client.rejections for change in error.changes if change.endswith("children changed")]
    assert lost - 1 <= len(named) <= lost + 1  # the first may have come before the server's change, or after it


def test_what_the_server_takes_out_with_a_root_may_have_left_it_here(make_world: MakeWorld) -> None:
    """A change under way has replaced the children; one before it refers to them, and takes a neighbour with it."""
    world = make_world(2)
    world.edit_here(1, Edit("share", 3, 2))
    world.edit_here(1, Edit("title", 5, 3))
    world.edit_there(Edit("remove_root", 2))
    world.edit_here(1, Edit("replace", 2, 1))
    world.quiet()
    assert world.peer.document.title == world.clients[1].side.written[0].value


def test_a_patch_of_columns_that_have_become_arrays_here(make_world: MakeWorld) -> None:
    """They do not hold what is patched; the server's columns, which do, are asked for."""
    world = make_world(2)
    world.edit_here(0, Edit("array_data", 0, 1))
    world.edit_here(0, Edit("tag"))
    world.push(1)
    world.turn()
    world.turn()
    world.edit_here(0, Edit("text"))
    world.edit_here(1, Edit("patch", 0, 2))
    world.push(0)
    world.quiet()


def test_no_ok_is_believed_to_what_refers_to_a_model_that_was_just_found_missing(make_world: MakeWorld) -> None:
    """The server took it out of one place before it got the change that gave it another, and that one was dropped."""
    world = make_world()
    world.edit_here(0, Edit("promote", 4, 1))

    def meanwhile() -> None:
        world.edit_here(0, Edit("promote", 3))
        world.edit_there(Edit("replace", 3))

    world.edit_here_while(0, Edit("tag_model", 4), meanwhile)
    world.deliver_here(0, 3)
    world.deliver_there(0, 1000)
    world.edit_here_while(0, Edit("share", 4, 1), lambda: world.edit_here(0, Edit("label", 1)))
    world.quiet()


def test_rows_that_a_replacement_follows_which_is_told_after_a_pull(make_world: MakeWorld) -> None:
    """The pull overwrites both, so that what the document has tells nothing of what the server has applied."""
    world = make_world()
    world.edit_here(0, Edit("message"))
    world.edit_here(0, Edit("stream_rollover"))
    world.edit_there(Edit("label"))
    world.edit_here(0, Edit("tag_model", 1))
    world.edit_here_while(0, Edit("data", 0, 3), lambda: world.pull(0))
    world.edit_here_while(0, Edit("stream"), lambda: world.deliver_there(0, 2))
    world.quiet()


def test_what_a_handler_has_replaced_again_is_told_later_and_dropped_with_it(make_world: MakeWorld) -> None:
    """What the second one has replaced is what the first one has made of it, which the server never had."""
    world = make_world()

    def meanwhile() -> None:
        world.edit_there(Edit("remove_root", 1))
        world.edit_here(0, Edit("label"))

    world.edit_here_while(0, Edit("label"), meanwhile)
    world.edit_here(0, Edit("patch", 0, 1))
    world.quiet()


def test_a_list_without_a_new_model_is_told_after_the_model_has_come_in(make_world: MakeWorld) -> None:
    """The server would take it out again, and drop what refers to it."""
    world = make_world()

    def meanwhile() -> None:
        world.edit_here(0, Edit("reverse"))
        world.edit_here(0, Edit("append"))

    world.edit_here_while(0, Edit("reverse"), meanwhile)
    world.settle()
    world.edit_here(0, Edit("nest"))
    world.quiet()


def test_columns_that_the_server_replaces_before_ours_are_told_show_nothing(make_world: MakeWorld) -> None:
    """They are sent as they are, which is what the server has: whether it takes the message does not show in them."""
    world = make_world()

    def meanwhile() -> None:
        world.deliver_here(0, 1000)
        world.turn()

    world.edit_there(Edit("data", 0, 3))
    world.edit_here_while(0, Edit("data", 0, 2), meanwhile)
    world.edit_here(0, Edit("title"))
    world.edit_here(0, Edit("text", 1))
    world.edit_there(Edit("replace", 3, 3))
    world.quiet()


def test_a_root_that_both_sides_remove_before_a_pull_shows_nothing(make_world: MakeWorld) -> None:
    """It is gone, whether the message was applied that says so or dropped for it; the title tells."""
    world = make_world()
    world.edit_here(0, Edit("remove_root", 4))
    world.edit_there(Edit("text", 3))
    world.edit_here(0, Edit("remove_root", 0, 2))
    world.edit_here(0, Edit("title", 2, 1))
    world.pull(0)
    world.edit_there(Edit("remove_root", 5, 1))
    world.quiet()


def test_a_value_that_a_handler_has_replaced_is_followed_by_that_once_more(make_world: MakeWorld) -> None:
    """The server has both, and ends with the handler's."""
    world = make_world()
    world.edit_here_while(0, Edit("label"), lambda: world.edit_here(0, Edit("label")))
    world.quiet()
    first, second = (written for written in world.clients[0].side.written if written.what == "label")
    assert (world.applied["label", first.value], world.applied["label", second.value]) == (1, 2)


def test_a_refusal_that_a_push_follows_names_all_that_it_may_be_about(make_world: MakeWorld) -> None:
    """The push has them all, so the server's document does not tell any more at which of them it failed."""
    world = make_world()
    world.edit_here(0, Edit("poison", 1, 1))
    world.push(0)
    world.edit_here(0, Edit("share", 4, 2))
    world.quiet()
    (rejection,) = world.clients[0].rejections
    assert [name.partition(").")[2] for name in rejection.changes] == ["text changed", "children changed"]


def test_rows_that_have_become_the_column_are_sent_once(make_world: MakeWorld) -> None:
    """Of an empty array Bokeh 3.10 and 4.0 make the list of the first rows, to which it adds those that follow."""
    world = make_world()
    world.edit_here(0, Edit("array_data", 4))
    world.hold(0, "combine")
    world.edit_here(0, Edit("stream_rollover", 4, 2))
    world.edit_here(0, Edit("stream", 3))
    world.quiet()


def test_a_change_after_a_pull_that_was_answered_before_is_not_lost(make_world: MakeWorld) -> None:
    """What the pull has put back here is not what the server has by then: the title that was set before it."""
    world = make_world()
    world.pull(0)
    world.edit_there(Edit("append", 4))
    world.edit_here(0, Edit("title", 1))
    world.edit_here(0, Edit("reverse", 0, 3))
    world.deliver_there(0, 2)
    world.deliver_here(0, 2)
    world.turn()
    world.edit_here(0, Edit("title", 1))
    world.edit_here(0, Edit("reverse", 0, 3))
    world.quiet()
    assert world.peer.document.title == "a2"


def test_a_change_that_is_dropped_after_a_pull_is_named(make_world: MakeWorld) -> None:
    """Nothing tells what it has replaced on the server: here, it is what the pull has put back."""
    world = make_world()
    world.pull(0)
    world.settle()
    world.edit_here(0, Edit("label"))
    world.edit_here(0, Edit("replace", 1, 1))
    world.settle()
    world.deliver_there(0, 1000)
    world.deliver_here(0, 1000)
    world.settle()
    world.edit_here(0, Edit("label"))
    world.edit_here(0, Edit("share", 3, 2))
    world.quiet()
    client = world.clients[0]
    assert {name.partition(").")[2] for name in client.named} == {"label changed", "children changed"}


def test_a_refused_change_of_a_model_that_was_just_made_is_named(make_world: MakeWorld) -> None:
    """Written out with another value, so that the server's value is a sign that the change was applied."""
    world = make_world()
    world.edit_here(0, Edit("add_root", 1, 3))
    world.edit_here(0, Edit("poison", 1, 3))
    world.quiet()
    assert [name.partition(").")[2] for name in world.clients[0].named] == ["text changed"]


def test_a_change_that_travels_with_one_about_a_model_that_is_nowhere_any_more(make_world: MakeWorld) -> None:
    """The server had taken it out, a pull has taken it from the document here, and a program goes on placing it."""
    world = make_world()
    world.pull(0)
    world.edit_here(0, Edit("share", 4, 3))
    world.edit_there(Edit("drop", 1, 2))
    world.deliver_here(0, 1000)
    world.edit_here(0, Edit("share", 4, 3))
    world.turn()
    world.edit_here(0, Edit("title", 1, 1))
    world.edit_here(0, Edit("share", 4, 3))
    world.quiet()
    assert world.peer.document.title == "a1"


def test_a_refused_push_does_not_have_what_was_dropped_before_it(make_world: MakeWorld) -> None:
    """Of a message that was dropped with an OK, the other changes are sent again, whatever was pushed behind it."""
    world = make_world()
    document, armed = world.clients[0].document, [True]
    box = cast(Any, document.roots[0])
    _, button, victim = box.children

    def refuse(event: Any) -> None:
        if isinstance(event, RootRemovedEvent) and armed:
            armed.clear()
            raise ValueError("not pushed")

    world.peer.document.on_change(refuse)
    button.label = "first"
    world.settle()
    document.title, victim.name = "mine", "named"  # in one message, behind the first
    world.deliver_there(0, 1000)
    world.deliver_here(0, 1000)
    world.settle()
    world.peer.edit(lambda there: setattr(there.models[box.id], "children", [*cast(Any, there.roots[0]).children][:2]))
    world.clients[0].call(world.clients[0].session.push(document))
    world.drain()
    assert (world.peer.document.title, document.title) == ("mine", "mine")
    assert [type(error) for error in world.clients[0].errors] == [RequestRefused]
    world.clients[0].errors.clear()


def test_a_push_has_not_what_a_pull_had_overwritten_before_it_was_written(make_world: MakeWorld) -> None:
    world = make_world()
    document = world.clients[0].document
    box = cast(Any, document.roots[0])
    _, button, victim = box.children
    button.label = "first"
    world.settle()
    world.deliver_there(0, 1000)
    world.pull(0)
    world.settle()
    world.deliver_there(0, 1000)
    document.title, victim.name = "mine", "named"  # before the answer to the pull is looked at
    world.deliver_here(0, 1000)
    world.settle()
    world.peer.edit(lambda there: setattr(there.models[box.id], "children", [*cast(Any, there.roots[0]).children][:2]))
    world.deliver_here(0, 1000)
    world.settle()
    world.push(0)
    world.quiet()
    assert (world.peer.document.title, document.title) == ("mine", "mine")


def test_a_change_that_may_have_been_dropped_is_no_sign_that_another_one_has_failed(make_world: MakeWorld) -> None:
    world = make_world()
    document = world.clients[0].document
    _, button, div = cast(Any, document.roots[0]).children
    there = cast(Any, world.peer.document.models[div.id])

    def veto(attr: str, old: str, new: str) -> None:
        if new == "bad":
            there.text = old
            raise ValueError("not this text")

    there.on_change("text", veto)
    button.label = "first"
    world.settle()
    document.title, div.text = "innocent", "bad"  # in one message, behind the first
    for _ in range(3):  # it is refused, the document is asked for, and the text is sent again
        world.deliver_there(0, 1000)
        world.deliver_here(0, 1000)
        world.settle()
    parent = cast(Any, world.peer.document.roots[0])
    world.peer.edit(lambda there: setattr(parent, "children", parent.children[:2]))
    world.drain()
    (rejection,) = world.clients[0].rejections
    assert "cannot be told" in str(rejection)
    assert [name.rpartition(".")[2] for name in rejection.changes] == ["title changed to 'innocent'", "text changed"]


def test_a_message_that_was_dropped_though_one_value_in_it_is_there(make_world: MakeWorld) -> None:
    """The server has emptied the same list itself. But it has not the model any more that another change is about."""
    world = make_world()
    world.edit_here(0, Edit("drop", 1, 3))
    world.edit_there(Edit("replace", 1))
    world.edit_here(0, Edit("text", 1))
    world.edit_here(0, Edit("drop", 1, 3))
    world.edit_here(0, Edit("text", 1))
    world.quiet()


def test_a_message_that_was_dropped_though_a_push_had_brought_one_value_in_it(make_world: MakeWorld) -> None:
    world = make_world()

    def push() -> None:
        world.push(0)
        world.deliver_there(0, 1000)
        world.deliver_here(0, 1000)
        world.settle()

    def receive() -> None:
        world.edit_there(Edit("share", 5, 3))
        world.deliver_there(0, 3)
        world.deliver_here(0, 2)
        world.settle()

    world.edit_here(0, Edit("column", 1, 1))
    world.edit_here_while(0, Edit("icon", 3, 1), push)
    world.edit_here_while(0, Edit("retag", 2, 2), receive)
    world.edit_there(Edit("replace", 5, 1))
    world.edit_here(0, Edit("title", 2))
    world.edit_here(0, Edit("drop", 5, 1))
    world.quiet()
    assert world.peer.document.title == "a6"


def test_a_refused_change_of_a_model_that_came_in_with_the_message_before(make_world: MakeWorld) -> None:
    """Nothing has arrived here between the two; the handler's change travels with it."""
    world = make_world(answers=True)
    world.edit_here(0, Edit("add_root", 5, 3))
    world.settle()
    world.edit_here(0, Edit("poison", 1))
    world.quiet()
    assert [name.partition(").")[2] for name in world.clients[0].named] == ["text changed"]


def test_the_server_replaces_a_container_before_it_has_what_was_put_into_it(make_world: MakeWorld) -> None:
    """It cannot have taken out what it had not got, so that what refers to that is not dropped."""
    world = make_world(2)

    def insist(again: Edit, between: Edit, there: Edit, times: int, forth: int, back: int) -> None:
        world.edit_here(0, again)
        world.edit_there(there)
        for _ in range(times):
            world.deliver_here(0, back)
            world.edit_here(0, between)
            world.edit_here(0, again)
            world.deliver_there(0, forth)
            world.turn()

    insist(Edit("icon", 3, 3), Edit("stream", 0, 3), Edit("replace"), 3, 1000, 1)
    insist(Edit("nest"), Edit("text"), Edit("append"), 2, 1000, 1)
    world.pull(1)
    insist(Edit("reverse", 3), Edit("text"), Edit("nest", 0, 3), 2, 3, 2)
    world.quiet()


def test_a_value_that_a_handler_has_replaced_is_not_sent_again_though_it_cannot_be_seen(make_world: MakeWorld) -> None:
    """The handler's value follows in the same message, and was there before: it tells nothing of the one between."""
    world = make_world(answers=True)
    again = Edit("switch_source", 1, 0)

    def receive() -> None:
        world.edit_there(Edit("promote", 0, 2))
        world.deliver_there(0, 3)
        world.deliver_here(0, 3)
        world.settle()

    def change() -> None:
        world.edit_here(0, Edit("text", 0, 1))
        world.deliver_there(0, 1000)
        world.deliver_here(0, 1)
        world.settle()

    world.pull(0)
    world.turn()
    world.edit_here(0, again)
    world.edit_there(Edit("append", 1, 1))
    for _ in range(2):
        world.deliver_here(0, 2)
        world.edit_here(0, Edit("text"))
        world.edit_here(0, again)
        world.deliver_there(0, 3)
        world.turn()
    world.edit_here_while(0, Edit("stream_rollover", 4, 3), receive)
    world.round_trip(0)
    world.edit_here_while(0, Edit("text"), change)
    world.quiet()
