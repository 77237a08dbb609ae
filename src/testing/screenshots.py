"""Pictures of a session's page, by a Chromium without a window that selenium drives."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bokeh.settings import settings

from .errors import ScreenshotFailed

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

__all__ = ["browser", "find_chromium", "take"]

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_DRIVERS = ("chromedriver", "chromium.chromedriver")
_FLAGS = (
    "--headless=new",
    "--hide-scrollbars",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--no-proxy-server",
    # The same colours and pixels on every machine.
    "--force-color-profile=srgb",
    "--force-device-scale-factor=1",
)
_IS_DRAWN = "return Boolean(window.Bokeh?.documents.length && Bokeh.documents.every((document) => document.is_idle))"


def find_chromium() -> tuple[str, str]:
    """Find the browser and its driver on the PATH, or the driver where Bokeh's setting says (BOKEH_CHROMEDRIVER_PATH).

    Returns:
        Their paths.

    Raises:
        ScreenshotFailed: One of them is not installed.
    """
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    driver = settings.chromedriver_path() or next(filter(None, map(shutil.which, _DRIVERS)), None)
    if browser is None or driver is None:
        missing = " and ".join(name for name, path in (("Chromium", browser), ("chromedriver", driver)) if path is None)
        raise ScreenshotFailed(
            f"a screenshot needs Chromium and its driver, and there is no {missing} on the PATH: install them, on "
            "Debian by apt-get install chromium chromium-driver."
        )
    return browser, driver


def take(url: str, path: str | os.PathLike[str], size: tuple[int, int], timeout: float | None) -> None:
    """Open a page in a browser of its own, wait until BokehJS has drawn it, and write a picture of all of it.

    Args:
        url: The page.
        path: Where to write the PNG.
        size: Width and height of the page's visible part, in CSS pixels. The picture is larger where the page is.
        timeout: How long the page may take to be drawn, in seconds; None for an hour, since a browser needs a number.

    Raises:
        ImportError: selenium is not installed.
        ScreenshotFailed: There is no browser, or it does not get as far as a drawn page.
        OSError: The file cannot be written.
    """
    try:
        from selenium.common.exceptions import TimeoutException, WebDriverException
        from selenium.webdriver.support.wait import WebDriverWait
    except ModuleNotFoundError as error:
        raise ImportError(
            "a screenshot needs selenium: pip install 'bokehwire[screenshot]'", name="selenium"
        ) from error
    limit = 3_600.0 if timeout is None else timeout
    try:
        with browser(size) as chromium:
            chromium.set_page_load_timeout(limit)
            chromium.get(url)
            WebDriverWait(chromium, limit, poll_frequency=0.05).until(lambda _: chromium.execute_script(_IS_DRAWN))
            picture = _whole_page(chromium)
    except TimeoutException as error:
        raise ScreenshotFailed(f"{url} was not drawn within {limit:g} s.") from error
    except WebDriverException as error:
        raise ScreenshotFailed(f"Chromium could not show {url}: {error.msg}") from error
    Path(path).write_bytes(picture)


@contextmanager
def browser(size: tuple[int, int]) -> Iterator[Chrome]:
    """Give a Chromium without a window, for the length of a `with` block.

    Args:
        size: Width and height of the page's visible part, in CSS pixels.

    Yields:
        selenium's driver of it.

    Raises:
        ImportError: selenium is not installed.
        ScreenshotFailed: The browser or its driver is not installed.
    """
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location, driver = find_chromium()
    for flag in _FLAGS:
        options.add_argument(flag)
    if getattr(os, "geteuid", lambda: 1)() == 0:  # Chromium has no sandbox for root, as in most containers
        options.add_argument("--no-sandbox")
    chromium = Chrome(options, Service(driver))
    try:
        # The window's own size has a least width, and room for bars.
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
        chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        yield chromium
    finally:
        chromium.quit()


def _whole_page(browser: Any) -> bytes:
    page = browser.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
    clip = {"x": 0, "y": 0, "width": page["width"], "height": page["height"], "scale": 1}
    shot = browser.execute_cdp_cmd(
        "Page.captureScreenshot", {"format": "png", "captureBeyondViewport": True, "clip": clip}
    )
    return base64.b64decode(shot["data"])
