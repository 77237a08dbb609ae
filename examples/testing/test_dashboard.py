"""The tests of dashboard.py: `pip install bokehwire pytest`, copy, and run pytest.

The fixture `bokeh_app` comes with bokehwire. Each test has a session of its own; with `frozen=True` no time goes by in
the app but what the test lets go by.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from bokeh.models import Slider
from dashboard import dashboard

from bokehwire import PatchRejected
from bokehwire.testing import AppSession

OpenApp = Callable[..., AppSession]


@pytest.fixture
def page(bokeh_app: OpenApp) -> AppSession:
    """The app, with its clock standing still."""
    return bokeh_app(dashboard, frozen=True)


def test_measurements_stream_in(page: AppSession) -> None:
    page.advance(2.0)
    page.expect("measurements").to_have(data={"n": [0, 1, 2, 3], "value": [0, 1, 2, 3]})


def test_the_gain_counts_from_the_next_measurement_on(page: AppSession) -> None:
    page.advance(1.0)
    page.set(Slider, value=10)
    page.advance(1.0)
    page.expect("measurements").to_have(data=lambda data: list(data["value"]) == [0, 1, 20, 30])


def test_another_signal_starts_anew(page: AppSession) -> None:
    page.advance(3.0)
    page.set("signal", value="squares")
    page.expect("measurements").to_have(data={"n": [], "value": []})
    page.advance(1.5)
    page.expect("measurements").to_have(data={"n": [0, 1, 2], "value": [0, 1, 4]})


def test_a_pause(page: AppSession) -> None:
    page.click("run")
    page.expect("status").to_have(text="paused")
    assert page.advance(60) == 0
    page.click(page.find(label="Go on"))
    page.expect("status").to_have(text="running")
    assert page.advance(60) == 120


def test_no_more_rows_are_kept_than_needed(page: AppSession) -> None:
    page.advance(60)
    page.expect("measurements").to_have(data=lambda data: len(data["n"]) == 100 and data["n"][0] == 20)


def test_saving_takes_a_while(page: AppSession) -> None:
    page.expect("save").to_have(disabled=True)
    page.run_callbacks("periodic")
    page.click("run")
    page.click("save")
    page.expect("status").to_have(text="saving")
    page.expect("save").to_have(disabled=True)
    page.advance(2.0)
    page.expect("status").to_have(text="saved 1 rows")


def test_an_alarm(page: AppSession) -> None:
    page.set("alarm", value="5")
    page.expect("status").to_have(text="alarm above 5")
    page.advance(5.0)
    page.expect("status").to_have(text="alarm: 9")


def test_an_alarm_that_is_no_number_is_refused(page: AppSession) -> None:
    with pytest.raises(PatchRejected):
        page.set("alarm", value="high")
    page.expect("status").to_have(text="running")


def test_a_selection_is_summed_up(page: AppSession) -> None:
    page.advance(5.0)
    page.select("measurements", [2, 3, 4])
    page.expect("status").to_have(text="3 selected, 9 in all")


def test_what_is_shown(page: AppSession) -> None:
    page.select("shown", [1])
    (line,) = page.find("plot").renderers
    page.expect(line).to_have(visible=False)


def test_a_message_of_the_page(page: AppSession) -> None:
    page.set("gain", value=7)
    page.send_message("reset")
    page.expect("gain").to_have(value=1)


def test_two_people_look_at_one_session(bokeh_app: OpenApp) -> None:
    page = bokeh_app(dashboard, frozen=True)
    other = bokeh_app(dashboard, session_id=page.id)
    page.click("run")
    other.expect("status").to_have(text="paused")


@pytest.mark.bokeh_transport("in-process", "tornado", "aiohttp")
def test_by_the_real_clock_as_a_script(bokeh_app: OpenApp) -> None:
    page = bokeh_app(Path(__file__).parent / "dashboard.py")
    page.click("save")  # waits until the first measurement has made it possible
    page.expect("status").to_have(text=lambda text: text.startswith("saved"))
