"""Tests of an app a second: in process, on a real server, and by selenium in Chromium, for the same checks.

    python -m benchmarks.app_tests [tests]

Each test opens the app anew, moves a slider, clicks a button twice and looks at the text that callbacks have written
each time. A shared server and the browser are started before, and not measured. As the pytest plugin does it, what is
imported is left out of collections, since Bokeh collects all garbage whenever a session ends. The ways take turns, and
a median with half the distance between the quartiles is printed for each.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from bokeh.document import Document
from bokeh.models.widgets import Button, Div, Slider

from bokehwire.testing import AppServer, AppSession, ScreenshotFailed, open_app, screenshots
from bokehwire.testing.opening import pulled, session_for
from bokehwire.transports import resolve

# Bokeh draws in shadow roots, which CSS selectors do not enter.
_FIND = """
const search = (node, selector) => node.querySelector(selector) ?? [...node.querySelectorAll("*")]
  .map((inner) => inner.shadowRoot && search(inner.shadowRoot, selector)).find(Boolean)
return search(document, arguments[0])
"""
_TEXT = 'return Bokeh.documents[0].get_model_by_name("text").text'
_SLIDE = 'Bokeh.documents[0].get_model_by_name("gain").value = 3'


def app(doc: Document) -> None:
    """A slider, and a button that counts."""
    text, gain, more = Div(name="text", text="0"), Slider(name="gain", start=0, end=10, value=1), Button(name="more")
    gain.on_change("value", lambda attr, old, new: setattr(text, "text", f"gain {new}"))
    clicks: list[None] = []

    def click() -> None:
        clicks.append(None)
        text.text = f"{len(clicks)} clicks"

    more.on_click(click)
    for model in (text, gain, more):
        doc.add_root(model)


def check(session: AppSession) -> None:
    """The test, by a session."""
    text = session.find("text")
    session.set("gain", value=3)
    assert text.text == "gain 3"
    for count in (1, 2):
        session.click("more")
        assert text.text == f"{count} clicks"


def by_session(transport: str) -> None:
    """One test with a server of its own, or none."""
    with open_app(app, transport=transport) as session:
        check(session)


def on_server(server: AppServer, transport: str) -> None:
    """One test on a server that runs."""
    with pulled(session_for(AppSession, server.url(), {"transport": resolve(transport)})) as session:
        check(session)


def by_selenium(browser: Any, wait: Any, server: AppServer) -> None:
    """One test in a page."""
    browser.get(server.url())
    button = wait.until(lambda _: browser.execute_script(_FIND, "button.bk-btn"))
    browser.execute_script(_SLIDE)
    wait.until(lambda _: browser.execute_script(_TEXT) == "gain 3")
    for count in (1, 2):
        button.click()
        wait.until(lambda _, text=f"{count} clicks": browser.execute_script(_TEXT) == text)


def main(count: int) -> None:
    """Measure, and print a table."""
    with ExitStack() as stack:
        server = stack.enter_context(AppServer(app))
        ways: dict[str, Callable[[], None]] = {
            "in process": lambda: by_session("in-process"),
            "real server for each test, tornado": lambda: by_session("tornado"),
            "shared real server, tornado": lambda: on_server(server, "tornado"),
            "shared real server, aiohttp": lambda: on_server(server, "aiohttp"),
        }
        try:
            from selenium.webdriver.support.wait import WebDriverWait

            browser = stack.enter_context(screenshots.browser((1280, 800)))
        except (ImportError, ScreenshotFailed) as error:
            print(f"without selenium: {error}", file=sys.stderr)
        else:
            wait = WebDriverWait(browser, 30, poll_frequency=0.005)
            ways["shared real server, selenium and Chromium"] = lambda: by_selenium(browser, wait, server)
        taken: dict[str, list[float]] = {name: [] for name in ways}
        gc.collect()
        gc.freeze()
        for turn in range(count + 1):
            for name, way in ways.items():
                start = time.perf_counter()
                way()
                if turn:  # the first turn imports and warms up
                    taken[name].append(time.perf_counter() - start)
    print("| | ms a test | tests a second |\n|---|---|---|")
    for name, times in taken.items():
        low, middle, high = statistics.quantiles(times, n=4)
        print(f"| {name} | {middle * 1e3:.1f} ± {(high - low) / 2 * 1e3:.1f} | {1 / middle:.1f} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
