"""Waiting without sleeping: for a condition, for what is expected of a model, and for quiet."""

from __future__ import annotations

from typing import Any

import pytest
from bokeh.document import Document
from bokeh.models import ColumnDataSource
from bokeh.models.widgets import Button, Div, Slider

from bokehwire import PatchRejected, WaitTimeout
from bokehwire.testing import ExpectationFailed

from .places import Place, do

SHORT = 0.05  # seconds, for what is to run out


def counting(document: Document) -> None:
    """After a click, the text counts to five by timeouts; the source follows, and in the end a button appears."""
    text = Div(name="text", text="0")
    source = ColumnDataSource(name="source", data={"n": [0]})

    def count() -> None:
        text.text = str(int(text.text) + 1)
        source.stream({"n": [int(text.text)]})
        if text.text == "5":
            document.add_root(Button(name="done"))
            document.remove_root(go)
        else:
            document.add_timeout_callback(count, 10)

    go = Button(name="go")
    go.on_click(count)
    for root in (go, text, source):
        document.add_root(root)


def test_a_condition_is_asked_again_after_each_change(place: Place) -> None:
    async def scenario(session: Any) -> None:
        text = session.find("text")
        seen: list[str] = []

        def condition() -> str | None:
            seen.append(text.text)
            return text.text if text.text == "5" else None

        await do(session.click("go"))
        assert await do(session.wait_for(condition)) == "5"
        assert sorted(set(seen)) == sorted(set(map(str, range(int(seen[0]), 6))))

    place.play(counting, scenario)


@pytest.mark.parametrize("quiet", [-1, 0, "x"])
def test_a_quiet_that_could_never_be_is_refused(face: Place, quiet: Any) -> None:
    async def scenario(session: Any) -> None:
        with pytest.raises(ValueError, match="quiet must be a number above 0"):
            await do(session.settled(quiet=quiet))

    face.play(counting, scenario)


def test_what_is_expected_has_time_to_come_true(place: Place) -> None:
    async def scenario(session: Any) -> None:
        await do(session.click("go"))
        assert await do(session.expect("text").to_have(text="5")) is session.find("text")
        await do(session.expect("source").to_have(data={"n": [0, 1, 2, 3, 4, 5]}))
        await do(session.expect("source").to_have(data=lambda data: len(data["n"]) == 6))
        assert await do(session.expect(name="done").to_exist()) is session.find("done")
        await do(session.expect(Button, label="Button").to_have(name="done", disabled=False))
        await do(session.expect("go").to_be_gone())

    place.play(counting, scenario)


def test_what_did_not_come_true_is_said_with_what_there_is(face: Place) -> None:
    async def scenario(session: Any) -> None:
        for expected, words in (
            ({"text": "9"}, r"of Div\(name='text'\), text is '0', expected '9'\."),
            (
                {"text": "0", "visible": False, "name": "x"},
                "visible is True, expected False; name is 'text', expected 'x'",
            ),
            ({"text": str.isalpha}, "text is '0', which is not what str.isalpha accepts"),
        ):
            with pytest.raises(ExpectationFailed, match=words) as caught:
                await do(session.expect("text").to_have(**expected))
            assert caught.value.__notes__ == [f"It did not change within {SHORT} s."]
            assert isinstance(caught.value, AssertionError)
        with pytest.raises(ExpectationFailed, match=r"source is .*|data is \{'n': \[0\]\}, expected \{'n': \[1\]\}"):
            await do(session.expect("source").to_have(data={"n": [1]}))
        with pytest.raises(ExpectationFailed, match=r"no model is named 'txt'\. Did you mean 'text'"):
            await do(session.expect("txt").to_have(text="9"))
        with pytest.raises(ExpectationFailed, match="no model is named 'done'"):
            await do(session.expect("done").to_exist(timeout=0))
        with pytest.raises(ExpectationFailed, match=r"there still is Button\(name='go'"):
            await do(session.expect("go").to_be_gone())
        with pytest.raises(AttributeError, match="txet"):
            await do(session.expect("text").to_have(txet="9"))
        with pytest.raises(TypeError, match="say what is expected"):
            await do(session.expect("text").to_have())
        with pytest.raises(TypeError, match="say what to find"):
            session.expect()

    face.play(counting, scenario, patience=SHORT)


def test_a_condition_that_did_not_hold_is_said_with_what_it_saw(face: Place) -> None:
    async def scenario(session: Any) -> None:
        text, source, document = session.find("text"), session.find("source"), session.document

        def with_names() -> bool:
            return bool(text.text == "1" and source.data["n"] and len(document.roots) == 9 and text.text)

        for condition, words in (
            (lambda: text.text == "9", r"it gave False; text\.text is '0'\."),
            (lambda: source.data["n"][0], r"it gave 0; source\.data is \{'n': \[0\]\}\."),
            (lambda: len(document.roots) == 9, r"it gave False; document\.roots is \[Button\(.*\]\."),
            (lambda: source.selected.indices, r"it gave \[\]; source\.selected\.indices is \[\]\."),
            (lambda: session.find("text").text == "9", r"it gave False; Div\(name='text'.*\)\.text is '0'\."),
            (lambda: session.find_all(type="Div")[0].text == "9", r"it gave False; Div\(name='text'.*\)\.text is '0'"),
            (with_names, r"it gave False; text\.text is '0'; source\.data is .*; document\.roots is .*\."),
        ):
            with pytest.raises(WaitTimeout, match=f"did not hold within {SHORT} s. When last asked, {words}"):
                await do(session.wait_for(condition))
        with pytest.raises(WaitTimeout, match="within 0 s"):
            await do(session.wait_for(lambda: False, 0))
        with pytest.raises(TypeError, match="predicate"):
            await do(session.wait_for("text"))
        with pytest.raises(LookupError, match="no such data"):
            await do(session.wait_for(lambda: source.data["no such data"]))

    face.play(counting, scenario, patience=SHORT)


def failing_later(document: Document) -> None:
    """Some time after a click, a change of the client is what makes a callback raise."""
    slider = Slider(name="slider", start=0, end=9, value=0)

    def fail(attr: str, old: object, new: object) -> None:
        raise LookupError("no such data")

    slider.on_change("value", fail)
    document.add_root(slider)


def test_what_a_callback_raises_ends_a_wait_at_once(face: Place) -> None:
    async def scenario(session: Any) -> None:
        session.find("slider").value = 3
        with pytest.raises(PatchRejected):
            await do(session.wait_for(lambda: False, 60))
        session.find("slider").value = 4
        with pytest.raises(PatchRejected):
            await do(session.expect("slider").to_have(value=9, timeout=60))

    face.play(failing_later, scenario)


def test_the_server_is_quiet_when_all_that_follows_an_action_is_here(place: Place) -> None:
    async def scenario(session: Any) -> None:
        await do(session.click("go"))
        # Far more than the 10 ms between two counts: a slow machine may take its time between them.
        await do(session.settled(quiet=2))
        assert session.find("text").text == "5"
        assert session.find("done") is not None

    place.play(counting, scenario)


def restless(document: Document) -> None:
    ticks = Div(name="ticks", text="0")
    document.add_root(ticks)
    document.add_periodic_callback(lambda: ticks.update(text=str(int(ticks.text) + 1)), 10)


def test_a_server_that_is_never_quiet_is_said_with_what_keeps_changing(face: Place) -> None:
    async def scenario(session: Any) -> None:
        with pytest.raises(
            WaitTimeout, match=r"not quiet for 20 s within 0\.05 s: .* ModelChanged of Div\(name='ticks'\)\.text"
        ):
            await do(session.settled(quiet=20, timeout=SHORT))

    face.play(restless, scenario)


def test_a_frozen_server_is_quiet(face: Place) -> None:
    async def scenario(session: Any) -> None:
        await do(session.settled())
        assert session.find("ticks").text == "0"

    face.play(restless, scenario, frozen=True)


def test_quiet_is_not_waited_for_without_a_number(place: Place) -> None:
    async def scenario(session: Any) -> None:
        with pytest.raises(ValueError, match=r"timeout must be a number of seconds, or None, not 'soon'\."):
            await do(session.settled(timeout="soon"))

    place.play(counting, scenario)
