"""Pictures of an app's page, where there is a browser, and what is said where there is none."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from bokeh.document import Document
from bokeh.models.widgets import Button, Div
from PIL import Image

from bokehwire.session import UsageError
from bokehwire.testing import ScreenshotFailed, open_app, screenshots

from ..faults import ScriptedPeer, refuse
from ..servers import DEADLINE, HAS_ASGI
from .places import Place, do

needs_chromium = pytest.mark.skipif(
    shutil.which("chromium") is None or shutil.which("chromedriver") is None,
    reason="needs Chromium and its driver: apt-get install chromium chromium-driver",
)
RED, GREEN = (255, 0, 0), (0, 128, 0)


def light(doc: Document) -> None:
    """A red square that a click makes green."""
    div = Div(name="light", width=100, height=100, styles={"background": "rgb(255, 0, 0)"})
    button = Button(name="go", label="Go")
    button.on_click(lambda: setattr(div, "styles", {"background": "rgb(0, 128, 0)"}))
    doc.add_root(div)
    doc.add_root(button)


def colours(path: Path) -> set[Any]:
    with Image.open(path) as picture:
        counted = picture.convert("RGB").getcolors(1 << 24)
    assert counted is not None
    return {colour for count, colour in counted if count >= 90 * 90}


@needs_chromium
@pytest.mark.parametrize("kind", ["blocking", "io_loop", "async"])
def test_the_page_as_it_is_now(kind: str, tmp_path: Path) -> None:
    async def scenario(session: Any) -> None:
        before, after = tmp_path / "before.png", tmp_path / "after.png"
        await do(session.screenshot(before, timeout=DEADLINE))
        assert RED in colours(before)
        assert GREEN not in colours(before)
        await do(session.click("go"))
        await do(session.screenshot(str(after), size=(400, 300), timeout=DEADLINE))
        assert GREEN in colours(after)
        assert RED not in colours(after)
        with Image.open(after) as picture:
            assert picture.size == (400, 300)

    Place(kind, "tornado").play(light, scenario)


@needs_chromium
def test_a_page_longer_than_the_window_is_there_whole(tmp_path: Path) -> None:
    def tall(doc: Document) -> None:
        doc.add_root(Div(width=100, height=2000, styles={"background": "rgb(255, 0, 0)"}))

    with open_app(tall, transport="tornado") as session:
        session.screenshot(tmp_path / "tall.png", size=(400, 300), timeout=DEADLINE)
    with Image.open(tmp_path / "tall.png") as picture:
        assert picture.height >= 2000
        red = sum(picture.convert("RGB").getpixel((50, y)) == RED for y in range(picture.height))
    assert red == 2000


@needs_chromium
def test_a_page_that_cannot_be_drawn(tmp_path: Path) -> None:
    with ScriptedPeer(refuse(404)) as peer:
        gone = peer.url()
    with pytest.raises(ScreenshotFailed, match=f"could not show {gone}: .*ERR_CONNECTION_REFUSED"):
        screenshots.take(gone, tmp_path / "none.png", (400, 300), DEADLINE)
    with pytest.raises(ScreenshotFailed, match=r"was not drawn within 0\.2 s"):
        screenshots.take("data:text/html,nothing", tmp_path / "none.png", (400, 300), 0.2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not HAS_ASGI, reason="Bokeh 3.9 has no ASGI server")
def test_no_browser_reaches_an_app_in_this_process(tmp_path: Path) -> None:
    with open_app(light) as session, pytest.raises(UsageError, match="transport='tornado'"):
        session.screenshot(tmp_path / "none.png")


def test_without_a_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("BOKEH_CHROMEDRIVER_PATH", raising=False)
    with pytest.raises(ScreenshotFailed, match="no Chromium and chromedriver on the PATH: install them"):
        screenshots.take("http://localhost:1/", tmp_path / "none.png", (400, 300), DEADLINE)


def test_without_selenium(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "selenium"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "selenium", None)
    with pytest.raises(ImportError, match=r"pip install 'bokehwire\[screenshot\]'"):
        screenshots.take("http://localhost:1/", tmp_path / "none.png", (400, 300), DEADLINE)
