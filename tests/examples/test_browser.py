"""examples/protocol/starlette_server.py with BokehJS as the client, in a browser without a window."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.wait import WebDriverWait

from examples.protocol.starlette_server import app, documents

from ..apps import model
from ..live import DEADLINE
from .serving import Served

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
# All text that the page shows, that in shadow roots included, which is where Bokeh draws.
SHOWN = """
const text = (node) => node.nodeType == Node.TEXT_NODE ? node.data
  : [...(node.shadowRoot?.childNodes ?? []), ...node.childNodes].map(text).join("")
return text(document.body)
"""

pytestmark = pytest.mark.skipif(
    BROWSER is None or DRIVER is None, reason="needs Chromium and its driver: apt-get install chromium chromium-driver"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = str(BROWSER)
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    driver = Chrome(options, Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with Served(app) as running:
        yield running
    documents.clear()


def wait(browser: Chrome, predicate: Callable[[], Any]) -> None:
    WebDriverWait(browser, DEADLINE, poll_frequency=0.05).until(lambda _: predicate())


def test_bokehjs_shows_the_document_and_both_sides_change_it(served: Served, browser: Chrome) -> None:
    browser.get(served.url)
    wait(browser, lambda: browser.execute_script("return window.Bokeh?.documents.length"))
    wait(browser, lambda: "1" in browser.execute_script(SHOWN))
    (document,) = documents.values()

    # BokehJS changes a property, the server's callback answers, and the page shows it.
    browser.execute_script('Bokeh.documents[0].get_model_by_name("slider").value = 6')
    wait(browser, lambda: "It is 6." in browser.execute_script(SHOWN))
    assert served.call(lambda: model(document, "slider").value) == 6

    # The server changes something by itself.
    served.call(lambda: setattr(model(document, "text"), "text", "Hello from the server"))
    wait(browser, lambda: "Hello from the server" in browser.execute_script(SHOWN))

    # Selenium has no types for the log.
    driver: Any = browser
    severe = [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
    assert not [message for message in severe if "favicon" not in message]
