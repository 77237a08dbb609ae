"""The whole of bokehwire in ten seconds, against a real Bokeh server that this program starts itself.

Run it with `make demo`. KEEP=1 leaves the server up so that the page can be opened; Ctrl-C ends it then.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.core.serialization import Serializer
from bokeh.document import Document
from bokeh.events import ButtonClick
from bokeh.models import ColumnDataSource
from bokeh.models.widgets import Button, Div
from bokeh.plotting import figure
from bokeh.server.server import Server
from tornado.ioloop import IOLoop

from bokehwire import ClientSession, pull_session, push_session

SECONDS = float(os.environ.get("SECONDS_TO_STREAM", "5"))


def counter_app(document: Document) -> None:
    """An application with a callback on the server: each click of the button counts up in the text."""
    button = Button(label="count", name="button")
    text = Div(text="0 clicks", name="text")

    def count() -> None:
        text.text = f"{int(text.text.split()[0]) + 1} clicks"

    button.on_click(count)
    document.add_root(button)
    document.add_root(text)


@contextmanager
def bokeh_server() -> Iterator[str]:
    """A Bokeh server in a thread of its own, on a free port of this machine."""
    started = threading.Event()
    urls: list[str] = []
    loops: list[IOLoop] = []

    def serve() -> None:
        loop = IOLoop()
        apps = {"/live": Application(), "/counter": Application(FunctionHandler(counter_app))}
        server = Server(apps, port=0, address="127.0.0.1", io_loop=loop)
        server.start()
        urls.append(f"http://127.0.0.1:{server.port}")
        loops.append(loop)
        started.set()
        loop.start()
        server.stop()
        loop.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    started.wait()
    try:
        yield urls[0]
    finally:
        loops[0].add_callback(loops[0].stop)
        thread.join()


def live_document() -> tuple[Document, ColumnDataSource]:
    """A figure over a source that will be streamed to."""
    source = ColumnDataSource(data={"x": np.array([0.0]), "y": np.array([0.0])})
    plot = figure(title="streamed from outside", width=800, height=300)
    plot.line("x", "y", source=source, line_width=2)
    document = Document(title="bokehwire demo")
    document.add_root(plot)
    return document, source


def stream(session: ClientSession, source: ColumnDataSource, seconds: float) -> tuple[int, float]:
    """Stream rows for some seconds; give their number and the time until the server had confirmed the last."""
    begin = time.perf_counter()
    rows, shown = 0, 0.0
    while (elapsed := time.perf_counter() - begin) < seconds:
        x = rows / 20 + np.arange(10) / 20
        source.stream({"x": x, "y": np.sin(x)}, rollover=1000)
        rows += len(x)
        session.force_roundtrip()
        if sys.stdout.isatty():
            print(f"\r  streaming: {rows:6d} rows in {elapsed:4.1f} s", end="", flush=True)
        elif elapsed >= shown + 1:
            shown = elapsed
            print(f"  streaming: {rows:6d} rows in {elapsed:4.1f} s")
        time.sleep(0.01)
    print(end="\n" if sys.stdout.isatty() else "")
    return rows, time.perf_counter() - begin


def contents(document: Document) -> object:
    """What a document holds, in a form that can be compared: its title, and every property of every model."""
    serializer = Serializer(references=set(document.models), deferred=False)
    models = {model.id: serializer.encode(model.properties_with_values()) for model in document.models}
    return document.title, [root.id for root in document.roots], models


def timed(what: str, begin: float) -> None:
    print(f"  {what:<58} {(time.perf_counter() - begin) * 1000:8.1f} ms")


def run(url: str) -> None:
    """Do it all once."""
    document, source = live_document()
    begin = time.perf_counter()
    with push_session(document, url=f"{url}/live") as session:
        timed("pushed a figure into a new session", begin)
        info = session.request_server_info()["version_info"]
        print(f"  server: Bokeh {info['bokeh']}")
        rows, seconds = stream(session, source, SECONDS)
        print(f"  streamed {rows} rows, each batch confirmed: {rows / seconds:.0f} rows/s")

        begin = time.perf_counter()
        with pull_session(session.id, url=f"{url}/live") as viewer:
            timed("a second session pulled the same document", begin)
            assert viewer.document is not None
            assert contents(viewer.document) == contents(document), "the two documents differ"
            print(f"  both documents are equal: {len(source.data['x'])} rows, title {viewer.document.title!r}")

        begin = time.perf_counter()
        with pull_session(url=f"{url}/counter") as app:
            assert app.document is not None
            button, text = app.document.get_model_by_name("button"), app.document.get_model_by_name("text")
            assert isinstance(button, Button)
            assert isinstance(text, Div)
            for _ in range(3):
                app.document.callbacks.send_event(ButtonClick(button))
            app.force_roundtrip()
            assert text.text == "3 clicks", text.text
            timed(f"clicked a button of another app: its server says {text.text!r}", begin)

        page = f"{url}/live?bokeh-session-id={session.id}"
        print(f"  the page: {page}")
        if os.environ.get("KEEP"):
            print("  open it in a browser; Ctrl-C ends")
            session.run_until_closed()


def main() -> None:
    begin = time.perf_counter()
    with bokeh_server() as url:
        print(f"a Bokeh server is up at {url}")
        run(url)
    print(f"done in {time.perf_counter() - begin:.1f} s")


if __name__ == "__main__":
    main()
