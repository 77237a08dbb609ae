"""The exchanges of BokehJS in Chromium, with the page and the scripts that the Bokeh server itself serves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .reference import GENERATION
from .stage import Exchange, Stage
from .webdriver import Browser, browser

# BokehJS makes its ids with Math.random; a generator with a seed (mulberry32) makes the same ones every time.
_SEED = """
let state = 1
Math.random = () => {
  state = (state + 0x6D2B79F5) | 0
  let t = Math.imul(state ^ (state >>> 15), 1 | state)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}
"""
# Nothing that BokehJS exports leads to the connection of a page, so it is noted when it connects.
_NOTE_CONNECTION = """
document.addEventListener("DOMContentLoaded", () => {
  const {ClientConnection} = Bokeh.require("client/connection")
  const connect = ClientConnection.prototype.connect
  ClientConnection.prototype.connect = function (...args) {
    window.connection = this
    return connect.apply(this, args)
  }
})
"""
_MODEL = "const model = (name) => Bokeh.documents[0].get_model_by_name(name)\n"


def settle(stage: Stage, **counts: int) -> None:
    """Waits until so many messages have been recorded and every request is answered."""
    stage.recording.wait_for(lambda: stage.recording.settled(**counts))


@contextmanager
def opened(stage: Stage, path: str) -> Iterator[Browser]:
    """The application's page when it is drawn and BokehJS has said what it has to say about that."""
    with browser() as page:
        page.run_before_pages(_SEED + _NOTE_CONNECTION)
        page.open(stage.url(path))
        # BokehJS sends the event document_ready when everything is drawn.
        settle(stage, client_PULL_DOC_REQ=1, client_PATCH_DOC=1)
        yield page


@contextmanager
def page_of(stage: Stage, path: str) -> Iterator[Browser]:
    """The same; at the end of the block BokehJS closes the connection."""
    with opened(stage, path) as page:
        yield page
        page.run("window.connection.close()")
        stage.recording.wait_for(lambda: stage.recording.closed)


def pull(stage: Stage) -> None:
    with page_of(stage, "/text"):
        pass


def pull_buffers(stage: Stage) -> None:
    with page_of(stage, "/data"):
        pass


def patch_from_client(stage: Stage) -> None:
    with page_of(stage, "/text") as page:
        page.run(_MODEL + "model('div').text = 'aé漢𝄞'")
        settle(stage, client_PATCH_DOC=2)


def patch_from_client_buffers(stage: Stage) -> None:
    with page_of(stage, "/data") as page:
        page.run(_MODEL + "model('source').data = {x: new Uint8Array([7]), y: new Float64Array([1, Infinity])}")
        settle(stage, client_PATCH_DOC=2)


def patch_from_server(stage: Stage) -> None:
    with page_of(stage, "/text"):
        stage.server.edit("/text")
        settle(stage, server_PATCH_DOC=1)


def patch_from_server_buffers(stage: Stage) -> None:
    with page_of(stage, "/data"):
        stage.server.edit("/data")
        settle(stage, server_PATCH_DOC=1)


def reaction(stage: Stage) -> None:
    with page_of(stage, "/slider") as page:
        page.run(_MODEL + "model('slider').value = 5")
        settle(stage, client_PATCH_DOC=2, server_PATCH_DOC=1)


def event(stage: Stage) -> None:
    click = "const {ButtonClick} = Bokeh.require('core/bokeh_events')\nmodel('button').trigger_event(new ButtonClick())"
    with page_of(stage, "/button") as page:
        page.run(_MODEL + click)
        settle(stage, client_PATCH_DOC=2, server_PATCH_DOC=1)


def rejected_patch(stage: Stage) -> None:
    with page_of(stage, "/broken") as page:
        page.run(_MODEL + "model('slider').value = 3")
        settle(stage, client_PATCH_DOC=2)


def changes(stage: Stage) -> None:
    steps = (
        "Bokeh.documents[0].set_title('changed')",
        "model('source').stream({x: [9], y: [9.5], label: ['d']}, 3)",
        "const {Slice} = Bokeh.require('core/util/slice')\n"
        "model('source').patch({x: [[0, 8]], y: [[new Slice({start: 0, stop: 2}), [8.5, 7.5]]]})",
    )
    with page_of(stage, "/data") as page:
        for number, step in enumerate(steps, 2):
            page.run(_MODEL + step)
            settle(stage, client_PATCH_DOC=number)


def roundtrip(stage: Stage) -> None:
    with page_of(stage, "/text") as page:
        page.run("return window.connection.session.force_roundtrip()")


def page_left(stage: Stage) -> None:
    with opened(stage, "/text") as page:
        page.open("about:blank")
        stage.recording.wait_for(lambda: stage.recording.closed)


def server_stops(stage: Stage) -> None:
    with opened(stage, "/text"):
        stage.server.stop()
        stage.recording.wait_for(lambda: stage.recording.closed)


EXCHANGES = (
    Exchange("pull", "A page is opened: the server's ACK, the document; BokehJS says that it is drawn.", pull),
    Exchange("pull-buffers", "The document has columns that travel as buffers.", pull_buffers),
    Exchange("patch-from-client", "A property changes in the page.", patch_from_client),
    Exchange("patch-from-client-buffers", "Columns change in the page.", patch_from_client_buffers),
    Exchange("patch-from-server", "The server changes a property.", patch_from_server),
    Exchange("patch-from-server-buffers", "The server changes columns.", patch_from_server_buffers),
    Exchange("reaction", "The server's callback changes something; its patch comes before the OK.", reaction),
    Exchange("event", "A button is clicked, which the server's callback reacts to.", event),
    Exchange("rejected-patch", "The server's callback raises; the patch is answered by ERROR.", rejected_patch),
    Exchange("changes", "The title changes in the page, columns are streamed and patched.", changes),
    Exchange("page-left", "The browser goes to another page.", page_left),
    Exchange("server-stops", "The server is stopped in good order while the page is open.", server_stops),
    Exchange("server-info", "BokehJS asks for the server's versions.", roundtrip)
    if GENERATION == 3
    else Exchange("sync", "BokehJS asks for an OK.", roundtrip),
)
