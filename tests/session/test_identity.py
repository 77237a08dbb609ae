"""Models of several processes in one document: ids never collide."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import pytest
from bokeh.document import Document
from bokeh.model import Model
from bokeh.models import Column
from bokeh.models.widgets import Div, Slider
from bokeh.util.serialization import make_globally_unique_id

from bokehwire import DuplicateModelId

from ..apps import model
from ..processes import ServerProcess
from ..servers import LiveServer
from .faces import AnySession, Face, contents, differences, do
from .test_documented_api import named

M = TypeVar("M", bound=Model)


async def twin_is_equal(face: Face, process: ServerProcess, session: AnySession, path: str) -> None:
    """Assert that the server has what this session has, by asking it from a second session."""
    await do(session.force_roundtrip())
    twin = await face.pull(url=process.url(path), session_id=session.id)
    theirs, ours = contents(twin.document), contents(session.document)
    assert theirs == ours, differences(theirs, ours)


def identified(model: M, identity: str) -> M:
    """Give a model an id of the program's choice, as `Model.__new__` and Bokeh's own deserializer do."""
    cast(Any, model)._id = identity
    return model


def counted(model: M, number: int) -> M:
    """Give a model the id that Bokeh's counter gives in a young process."""
    return identified(model, f"p{number}")


@pytest.mark.parametrize("way", ["roots", "children"])
def test_models_added_to_a_pulled_document_all_arrive(face: Face, server_process: ServerProcess, way: str) -> None:
    """The server's process has counted from p1001 as well, and its models have such ids."""

    async def scenario(face: Face) -> None:
        session = await face.pull(url=server_process.url("/source"))
        document = session.document
        assert document is not None
        numbers = sorted(int(model.id[1:]) for model in document.models)
        divs = [counted(Div(text=str(number)), number) for number in numbers]
        if way == "roots":
            for div in divs:
                document.add_root(div)
        else:
            column = counted(Column(), numbers[0])
            document.add_root(column)
            column.children = list(divs)
        assert len({model.id for model in document.models}) == len(document.models)
        await twin_is_equal(face, server_process, session, "/source")

    face.play(scenario)


def test_models_of_a_pushed_document_get_ids_of_their_own(face: Face, server_process: ServerProcess) -> None:
    async def scenario(face: Face) -> None:
        document = Document()
        div = Div(text="one")
        document.add_root(div)
        before = div.id
        session = await face.push(document, url=server_process.url())
        assert div.id != before
        assert document.get_model_by_id(div.id) is div
        after = div.id
        await do(session.push())
        assert div.id == after
        div.text = "two"
        await twin_is_equal(face, server_process, session, "/")

    face.play(scenario)


def test_a_pulled_documents_ids_stay_when_it_is_pushed_back(face: Face, server_process: ServerProcess) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server_process.url("/slider"))
        before = contents(session.document)
        await do(session.push())
        assert contents(session.document) == before
        named(session, "slider").value = 9
        await twin_is_equal(face, server_process, session, "/slider")

    face.play(scenario)


def test_a_handler_may_use_what_a_patch_has_just_brought(face: Face, server: LiveServer) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"))
        document = session.document
        assert document is not None

        def extend(attr: str, old: list[Any], new: list[Any]) -> None:
            if len(new) == 1:
                column.children = [*new, Div(name="ours")]

        await face.edit(server, session, lambda d: d.add_root(Column(name="column", children=[])), "/slider")
        await do(session.force_roundtrip())
        column = named(session, "column")
        column.on_change("children", extend)
        await face.edit(server, session, theirs, "/slider")
        await do(session.force_roundtrip())
        await do(session.force_roundtrip())
        a, b = await face.edit(server, session, contents, "/slider"), contents(document)
        assert a == b, differences(a, b)
        assert [child.name for child in column.children] == ["theirs", "ours"]

    def theirs(document: Document) -> None:
        column = document.get_model_by_name("column")
        assert isinstance(column, Column)
        column.children = [Div(name="theirs")]

    face.play(scenario)


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("at", [0, 1])
def test_a_handler_changes_what_has_the_id_of_the_model_that_comes_in(
    face: Face, server_process: ServerProcess, at: int, inside: bool
) -> None:
    """Bokeh knows one model by each id, and tells of no change of one that it takes for gone."""

    async def scenario(face: Face) -> None:
        session = await face.pull(url=server_process.url("/slider"))
        document = session.document
        assert document is not None
        div = model(document, "div")
        document.remove_root(div)
        column = Column(children=[div])
        document.add_root(column)
        column.on_change("children", lambda attr, old, new: setattr(div, "text", "a model has come in"))
        new = counted(Div(text="new"), int(div.id[1:]))
        column.children.insert(at, Column(children=[new]) if inside else new)
        assert (div.text, div.document, new.document) == ("a model has come in", document, document)
        await twin_is_equal(face, server_process, session, "/slider")
        await do(session.close())
        column.children.append(counted(Div(text="newer"), 9999))
        assert "recompute" not in vars(document.models)

    face.play(scenario)


def test_ids_given_by_the_program_are_kept(face: Face, server_process: ServerProcess) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server_process.url("/slider"))
        given, unique = identified(Div(), "mine"), identified(Div(), make_globally_unique_id())
        expected = unique.id
        assert session.document is not None
        session.document.add_root(Column(children=[given, unique]))
        assert (given.id, unique.id) == ("mine", expected)
        await twin_is_equal(face, server_process, session, "/slider")

    face.play(scenario)


def test_a_collision_that_the_program_causes_is_an_error(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"))
        document = session.document
        assert document is not None
        document.add_root(identified(Div(), "mine"))
        with pytest.raises(DuplicateModelId, match="'mine'"):
            document.add_root(Column(children=[identified(Slider(start=0, end=1, value=0), "mine")]))

    face.play(scenario)


def test_a_collision_in_a_document_that_is_pushed_is_an_error_before_anything_is_sent(
    server: LiveServer, face: Face
) -> None:
    async def scenario(face: Face) -> None:
        document = Document()
        document.add_root(identified(Div(), "mine"))
        twin = identified(Slider(start=0, end=1, value=0), "other")
        document.add_root(twin)
        identified(twin, "mine")
        session = face.session(websocket_url=server.websocket_url("/slider"))
        await do(session.connect())
        with pytest.raises(DuplicateModelId, match="'mine'"):
            await do(session.push(document))
        identified(twin, "other")
        another = await face.push(document, url=server.url("/slider"))  # the document is nobody's
        await do(session.pull())
        assert [root.id for root in cast(Any, session.document).roots] != ["mine", "other"]
        there = await face.edit(server, another, lambda there: [root.id for root in there.roots], "/slider")
        assert there == ["mine", "other"]

    face.play(scenario)


def test_simple_ids_are_kept_when_the_program_asks_for_them(
    server: LiveServer, face: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOKEH_SIMPLE_IDS", "yes")

    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"))
        document = session.document
        assert document is not None
        div = Div()
        before = div.id
        document.add_root(div)
        assert div.id == before
        with pytest.raises(DuplicateModelId, match="from before a pull"):
            document.add_root(identified(Div(), named(session, "slider").id))

    face.play(scenario)
