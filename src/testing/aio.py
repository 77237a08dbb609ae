"""A session that does what a person in front of the page could do, and waits as one would: asynchronous."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from bokeh.document.events import MessageSentEvent
from bokeh.events import Event
from bokeh.model import Model

from ..session import DEFAULT_SERVER_WEBSOCKET_URL, AsyncClientSession, SessionOptions, UsageError, WaitTimeout
from ..session.checks import check_numbers, check_wait
from ..session.urls import page_url, with_arguments
from ..transports import resolve
from ..transports.asgi import AsgiTransport
from . import acting, screenshots
from .errors import AmbiguousModel, ModelNotFound, NotInteractive
from .expecting import check_gone, check_properties, check_there
from .locating import Query, Selector, shown
from .reach import Page, check_tab
from .recording import MessageLog, RecordingTransport
from .seeing import seen_by, short
from .transcripts import TranscriptTransport

if TYPE_CHECKING:
    from bokeh.document import Document
    from bokeh.document.events import DocumentChangedEvent

    from ..session.runner import Runner
    from .clock import AppClock, CallbackKind
    from .stage import Stage

__all__ = ["AsyncAppSession", "AsyncExpectation"]

_REMEMBERED = 10  # models that a condition has looked up

T = TypeVar("T")
M = TypeVar("M", bound=Model)


class AsyncAppSession(AsyncClientSession):
    """An `AsyncClientSession` that does what a person in front of the page could do, and waits as one would.

    Each action waits until the server has processed it: its callbacks have run, and what they changed is in `document`.
    What a callback of the app raises is raised by the action, as PatchRejected.

    Args:
        session_id: The name of the session on the server; None makes a new one.
        websocket_url: The ws or wss URL of the application, whose path ends in "/ws".
        arguments: HTTP request arguments for the application, by name.
        max_message_size: The largest WebSocket message accepted from the server, in bytes.
        patience: How long actions wait for a model, and waits for what they wait for, unless told otherwise, in
            seconds; None for ever.
        frozen: Whether the app's clock stands still: its periodic and timeout callbacks then run only when `advance` or
            `run_callbacks` say so. It needs an app that the test serves itself, and a new session.
        stage: The app, where the test serves it itself.
        record: Where to write a transcript of the session, for `open_replay` and `ReplayTransport`. Sessions that are
            open at the same time need a file each.
        **options: What `AsyncClientSession` takes besides.

    Attributes:
        messages: The last messages exchanged; `str` of it is a text to read.
        patience: As given.

    Raises:
        UsageError: `frozen` is asked for and there is no `stage`, or the session has a clock that runs.
        FileNotFoundError: There is no folder for `record`.
        FileExistsError: A session that is open is recorded into the same file.
        ValueError: `transport` names no transport, `session_id` is empty, or a number is not above 0.
    """

    def __init__(
        self,
        session_id: str | None = None,
        websocket_url: str = DEFAULT_SERVER_WEBSOCKET_URL,
        arguments: Mapping[str, str | Sequence[str]] | None = None,
        max_message_size: int = 20 * 1024 * 1024,
        *,
        patience: float | None = 10.0,
        frozen: bool = False,
        stage: Stage | None = None,
        record: str | os.PathLike[str] | None = None,
        _runner: Runner | None = None,
        **options: Unpack[SessionOptions],
    ) -> None:
        self.messages = MessageLog()
        transport = resolve(options.get("transport", "tornado"))
        self._has_network = not isinstance(transport, AsgiTransport)
        options["transport"] = self._recording = RecordingTransport(transport, self.messages)
        super().__init__(session_id, websocket_url, arguments, max_message_size, _runner=_runner, **options)
        self._attend(stage, patience=patience, frozen=frozen, record=record)

    def _attend(
        self,
        stage: Stage | None,
        *,
        patience: float | None,
        frozen: bool,
        record: str | os.PathLike[str] | None,
    ) -> None:
        """Take what a constructor takes beyond the documented arguments. To be called before connecting.

        Args:
            stage: As the constructor takes it.
            patience: As the constructor takes it.
            frozen: As the constructor takes it.
            record: As the constructor takes it.

        Raises:
            UsageError: `frozen` is asked for and there is no `stage`, or the session has a clock that runs.
            FileNotFoundError: There is no folder for `record`.
            FileExistsError: A session that is open is recorded into the same file.
            ValueError: `patience` is not a number above 0.
        """
        check_numbers(patience=patience)
        self.patience = patience
        self._found: deque[Model] = deque(maxlen=_REMEMBERED)  # the last ones, to say what a condition has looked at
        self._page: Page | None = None
        self._stage = stage
        self._frozen = frozen
        if frozen:
            self._own_stage()
        if record is not None:
            self._recording.inner = TranscriptTransport(self._recording.inner, record)
        if stage is not None:
            stage.expect(self.id, frozen=frozen)

    async def pull(self) -> None:
        """See `AsyncClientSession.pull`."""
        await super().pull()
        self._own_page()

    def check_app(self, cause: Exception | None = None) -> None:
        """Say what went wrong when the app made its last document.

        Args:
            cause: The error that pulling the session has met, which may come of that.

        Raises:
            AppFailed: Something did go wrong, and the test serves the app itself.
        """
        if self._stage is not None:
            self._stage.check(cause)

    @overload
    def find(self, selector: type[M], *, name: str | None = None, label: str | None = None) -> M: ...

    @overload
    def find(
        self,
        selector: Selector | None = None,
        *,
        name: str | None = None,
        type: type[Model] | str | None = None,
        label: str | None = None,
    ) -> Any: ...

    def find(
        self,
        selector: Selector | None = None,
        *,
        name: str | None = None,
        type: type[Model] | str | None = None,
        label: str | None = None,
    ) -> Any:
        """Find the one model of the document that matches all that is given.

        Args:
            selector: A name, a model class, a selector as `Document.select` takes it, or a model.
            name: The model's `name`.
            type: The model's class, or one that it derives from; or the name of it, such as "Slider".
            label: The text that a person reads on it: its `label`, or its `title`.

        Returns:
            The model.

        Raises:
            TypeError: Nothing is given.
            ModelNotFound: There is none; the message lists what there is.
            AmbiguousModel: There are several; the message lists them.
        """
        model = Query(selector, name, type, label).one(self.document)
        self._found.append(model)
        return model

    def find_all(
        self,
        selector: Selector | None = None,
        *,
        name: str | None = None,
        type: type[Model] | str | None = None,
        label: str | None = None,
    ) -> list[Any]:
        """Find all models of the document that match all that is given.

        Args:
            selector: As for `find`.
            name: As for `find`.
            type: As for `find`.
            label: As for `find`.

        Returns:
            The models, possibly none.

        Raises:
            TypeError: Nothing is given.
        """
        models = Query(selector, name, type, label).all(self.document)
        self._found.extend(models)
        return models

    async def click(self, target: Selector, *, item: str | None = None) -> None:
        """Click a button, a toggle, a checkbox, a switch, or an item of a dropdown.

        Waits until it is there and a person could reach it, and afterwards until the server has processed the click:
        enabled, visible, and not in a container that hides it, such as a tab that is not in front.

        Args:
            target: The model, or what `find` finds it by.
            item: Of a dropdown: the value of the item, or the label that a person reads.

        Raises:
            TypeError: It is nothing to click.
            ValueError: The dropdown has no such item, several with that label, or one that runs code of the page alone.
            ModelNotFound: It did not appear in time.
            AmbiguousModel: There are several, and did not become one in time.
            NotInteractive: A person could not reach it in time; the message names what is in the way.
            PatchRejected: A callback of the app raised.
        """
        __tracebackhide__ = True
        model = await self._ready(target)
        await self._play(acting.click(self._own_document(), model, item))

    async def set(self, target: Selector, **properties: Any) -> None:
        """Set properties of a model, as moving a slider, typing or choosing does.

        Waits until it is there and a person could reach it, as for `click`, and afterwards until the server has
        processed the change. With the `value` of a slider goes its `value_throttled`, and with that of a text input its
        `value_input`. A value that a person could not enter is refused, such as one beyond the end of a slider, or none
        of a select's options. Where a test is about just that, it assigns to the model, as in `slider.value = 99`, and
        waits for `settled()`.

        Args:
            target: The model, or what `find` finds it by.
            **properties: Their values by name.

        Raises:
            TypeError: There are none.
            AttributeError: The model has no such property; similar ones are named.
            ValueError: A value is none that the property takes, or that a person could enter.
            ModelNotFound: It did not appear in time.
            AmbiguousModel: There are several, and did not become one in time.
            NotInteractive: A person could not reach it in time; the message names what is in the way.
            PatchRejected: A callback of the app raised.
        """
        __tracebackhide__ = True
        await self._play(acting.set_properties(await self._ready(target, properties.get("active")), properties))

    async def select(self, target: Selector, indices: acting.Indices) -> None:
        """Select by position: rows of a source, a table or a glyph, options of a widget, tabs.

        Waits until it is there and a person could reach it, as for `click`, and afterwards until the server has
        processed the change.

        Args:
            target: The model, or what `find` finds it by.
            indices: The position, or several, from 0. What was selected before is not any more.

        Raises:
            TypeError: Nothing can be selected in it by position, or several positions where only one can be.
            IndexError: There is no such row, option or tab.
            ValueError: A person could not select that, such as more than fit.
            ModelNotFound: It did not appear in time.
            AmbiguousModel: There are several, and did not become one in time.
            NotInteractive: A person could not reach it in time; the message names what is in the way.
            PatchRejected: A callback of the app raised.
        """
        __tracebackhide__ = True
        chosen = acting.positions(indices)
        await self._play(acting.select(await self._ready(target, *chosen[:1]), chosen))

    async def send_event(self, event: Event) -> None:
        """Send an event of a model or of the document, as a browser does, and wait until the server has processed it.

        Args:
            event: Such as `Tap(plot, x=1, y=2)`, with a model of this session's document, or `DocumentReady()`.

        Raises:
            TypeError: It is no event.
            ModelNotFound: The event's model is not in the session's document.
            PatchRejected: A callback of the app raised.
        """
        if not isinstance(event, Event):
            raise TypeError(f"send_event takes an event of bokeh.events, such as Tap(plot, x=1, y=2), not {event!r}.")
        document = self._own_document()
        model = getattr(event, "model", None)
        if isinstance(model, Model):
            Query(model).one(document)
        acting.send_event(document, event)
        await self.force_roundtrip()

    async def send_message(self, kind: str, data: Any = None) -> None:
        """Send a message to the app's `Document.on_message` handlers, and wait until the server has processed it.

        Args:
            kind: What the handlers were registered for.
            data: What they are called with: anything that a property of a model could hold.

        Raises:
            PatchRejected: A handler of the app raised.
        """
        document = self._own_document()
        document.callbacks.trigger_on_change(MessageSentEvent(document, kind, data))
        await self.force_roundtrip()

    async def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        """Wait until a condition holds. It is evaluated at once, and after each change from the server.

        Args:
            predicate: Gives a true value when the wait is over.
            timeout: In seconds; None for the session's `patience`.

        Returns:
            The predicate's value.

        Raises:
            TypeError: The predicate is not a function, or an asynchronous one.
            ValueError: `timeout` is not a number.
            WaitTimeout: The predicate did not hold in time; the message says what it last saw.
            PatchRejected: A callback of the app raised.
            ConnectionLost: The connection was lost.
            SessionClosed: The session was closed.
        """
        timeout = self.patience if timeout is None else timeout
        __tracebackhide__ = True
        check_wait(predicate, timeout)
        last: list[object] = []

        def condition() -> T:
            last.clear()
            self._found.clear()
            value = predicate()
            last.append(value)
            return value

        try:
            return await super().wait_for(condition, timeout)
        except WaitTimeout as late:
            raise _too_late(predicate, last, self._found, late.timeout) from None
        finally:
            last.clear()
            self._found.clear()

    def expect(
        self,
        selector: Selector | None = None,
        *,
        name: str | None = None,
        type: type[Model] | str | None = None,
        label: str | None = None,
    ) -> AsyncExpectation:
        """Say what is expected of a model: `await session.expect("text").to_have(text="3 clicks")`.

        The model is looked for anew at each attempt, so it may still appear, or be replaced.

        Args:
            selector: The model, or what `find` finds it by.
            name: As for `find`.
            type: As for `find`.
            label: As for `find`.

        Returns:
            The assertions.

        Raises:
            TypeError: Nothing is given.
        """
        return AsyncExpectation(self, Query(selector, name, type, label))

    async def settled(self, *, quiet: float = 0.1, timeout: float | None = None) -> None:
        """Wait until the server is quiet.

        The server is quiet when it has processed everything that was sent to it, and nothing has changed in `document`
        from then on for `quiet` seconds. Callbacks that are due later than that, or compute for longer outside of the
        document's lock, are not waited for: `wait_for` or `expect` what they do. An app that changes its document more
        often, such as by a periodic callback, never is quiet: open it with `frozen`.

        Args:
            quiet: In seconds.
            timeout: How long it may take until then, in seconds; None for the session's `patience`.

        Raises:
            WaitTimeout: The server was never quiet; the message names what kept changing.
            ValueError: `quiet` is not a number above 0, or `timeout` is no number.
            PatchRejected: A callback of the app raised.
            ConnectionLost: The connection was lost.
            SessionClosed: The session was closed.
        """
        check_numbers(quiet=quiet)
        limit = self.patience if timeout is None else timeout
        check_wait(bool, limit)
        document = self._own_document()
        changes: list[str] = []

        def note(event: DocumentChangedEvent) -> None:
            changes.append(_change_of(event))

        async def until_quiet() -> bool:
            await self.force_roundtrip()
            changes.clear()
            try:
                await AsyncClientSession.wait_for(self, lambda: changes, quiet)
            except WaitTimeout:
                return True
            return False

        document.on_change(note)
        try:
            deadline = None if limit is None else time.monotonic() + limit
            while not await until_quiet():
                if deadline is not None and time.monotonic() > deadline:
                    what = ", ".join(dict.fromkeys(changes))
                    raise WaitTimeout(
                        f"the server was not quiet for {quiet} s within {limit} s: there still came {what}.",
                        timeout=limit or 0.0,
                    )
        finally:
            document.remove_on_change(note)

    async def screenshot(
        self, path: str | os.PathLike[str], *, size: tuple[int, int] = (1280, 800), timeout: float | None = None
    ) -> None:
        """Write a picture of the session's page as it is now, as a browser shows it: all of it, as PNG.

        The page is opened in a Chromium without a window, as one more viewer of the session. It needs Chromium and
        chromedriver on this machine, and `pip install 'bokehwire[screenshot]'`.

        Args:
            path: Where to write it.
            size: Width and height of the page's visible part, in CSS pixels. The picture is larger where the page is.
            timeout: How long the page may take to be drawn, in seconds; None for the session's `patience`.

        Raises:
            UsageError: The app runs in this process without a network, where no browser can reach it.
            ValueError: `timeout` is not a number above 0.
            ScreenshotFailed: There is no browser, or it does not get as far as a drawn page.
            ImportError: selenium is not installed.
            OSError: The file cannot be written.
            PatchRejected: A callback of the app raised.
        """
        __tracebackhide__ = True
        url = await self._page_to_show()
        with ThreadPoolExecutor(1, thread_name_prefix="bokehwire-screenshot") as pool:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(pool, screenshots.take, url, path, size, self._limit(timeout))

    async def _page_to_show(self) -> str:
        """Give the address of the session's page, once the server has all that a browser shall see on it."""
        if not self._has_network:
            raise UsageError(
                "no browser can reach an app that runs in the test's process: open it with transport='tornado', "
                "@pytest.mark.bokeh_transport('tornado') or --bokeh-transport=tornado."
            )
        await self.force_roundtrip()
        return page_url(with_arguments(self._settings.url, self._settings.arguments), self.id)

    def _limit(self, timeout: float | None) -> float | None:
        check_numbers(timeout=timeout)
        return self.patience if timeout is None else timeout

    async def advance(self, seconds: float) -> int:
        """Let time go by for an app whose clock stands still.

        Runs the periodic and timeout callbacks that fall due, in order, each as often as it does, and waits until
        what they changed is in `document`.

        Args:
            seconds: How much time.

        Returns:
            How many times a callback was run.

        Raises:
            UsageError: The session was not opened with `frozen`, or the test does not serve the app itself.
            ValueError: `seconds` is below 0, or has no end.
            ReplyTimeout: A callback did not end within `reply_timeout`.
            Exception: What a callback of the app raised, as it is.
        """
        if not 0 <= seconds < math.inf:
            raise ValueError(f"time cannot go by {seconds!r} seconds.")
        self._own_stage()
        if not self._frozen:
            raise UsageError("only a clock that stands still can be advanced: open the session with frozen=True.")
        return await self._with_clock(lambda clock: clock.advance(seconds, self._settings.reply_timeout))

    async def run_callbacks(self, kind: CallbackKind | None = None) -> int:
        """Run the app's periodic, timeout and next-tick callbacks now, each once, and wait for what they change.

        Those that run only once do not run again later.

        Args:
            kind: "periodic", "timeout" or "next_tick"; None for all.

        Returns:
            How many were run.

        Raises:
            UsageError: The test does not serve the app itself.
            ValueError: There is no such kind.
            ReplyTimeout: A callback did not end within `reply_timeout`.
            Exception: What a callback of the app raised, as it is.
        """
        if kind not in (None, "periodic", "timeout", "next_tick"):
            raise ValueError(f'there are "periodic", "timeout" and "next_tick" callbacks, not {kind!r}.')
        return await self._with_clock(lambda clock: clock.run(kind, self._settings.reply_timeout))

    async def _with_clock(self, action: Callable[[AppClock], Any]) -> int:
        stage = self._own_stage()
        try:
            ran: int = await self._runner.perform(stage.with_clock(self.id, action))
        finally:
            await self.force_roundtrip()
        return ran

    async def _play(self, steps: Iterator[None]) -> None:
        """Take the steps of an action, and wait after each until the server has processed it."""
        __tracebackhide__ = True
        for _ in steps:
            await self.force_roundtrip()
        await self.force_roundtrip()

    async def _ready(self, target: Selector, tab: Any = None) -> Model:
        """Wait until a person could use a model, and of tabs the one at a position."""
        __tracebackhide__ = True
        query = Query(target)

        def attempt() -> Model:
            model = query.one(self.document)
            self._own_page().check_interactive(model)
            check_tab(model, tab)
            return model

        return await self._retry(attempt, (ModelNotFound, AmbiguousModel, NotInteractive), self.patience)

    async def _retry(self, attempt: Callable[[], T], retried: tuple[type[Exception], ...], timeout: float | None) -> T:
        """Try until it works, after each change from the server; raise what it last raised when the time is up."""
        __tracebackhide__ = True
        errors: list[Exception] = []

        def condition() -> tuple[T] | None:
            errors.clear()
            try:
                return (attempt(),)
            except retried as error:
                errors.append(error)
                return None

        try:
            found = await AsyncClientSession.wait_for(self, condition, timeout)
            assert found is not None
            return found[0]
        except WaitTimeout:
            error = errors[0]
            error.add_note(f"It did not change within {timeout} s.")
            raise error.with_traceback(None) from None
        finally:
            errors.clear()

    def _own_document(self) -> Document:
        document = self.document
        if document is None:
            raise UsageError("there is no document yet: call pull() or push() first.")
        return document

    def _own_page(self) -> Page:
        document = self._own_document()
        if self._page is None or self._page.document is not document:
            self._page = Page(document)
        return self._page

    def _own_stage(self) -> Stage:
        if self._stage is None:
            raise UsageError(
                "only an app that the test serves itself has a clock to control: open it with the fixture bokeh_app, "
                "with bokeh_session and a server of bokeh_server, or with open_app."
            )
        return self._stage


class AsyncExpectation:
    """Assertions about one model that are tried again after each change, until they hold or the time is up.

    Args:
        session: The session that the model is in.
        query: What finds the model.
    """

    def __init__(self, session: AsyncAppSession, query: Query) -> None:
        self._session = session
        self._query = query

    async def to_have(self, *, timeout: float | None = None, **properties: Any) -> Any:
        """Expect properties of the model to have values.

        Args:
            timeout: How long they have, in seconds; None for the session's `patience`.
            **properties: The values by the properties' names. A function is called with the value, and says whether it
                is right.

        Returns:
            The model.

        Raises:
            TypeError: No property is given.
            AttributeError: The model has no such property.
            ExpectationFailed: They did not come to have them in time. It is an AssertionError.
            PatchRejected: A callback of the app raised.
        """
        __tracebackhide__ = True
        if not properties:
            raise TypeError('say what is expected, such as expect("text").to_have(text="3 clicks").')
        return await self._until(lambda document: check_properties(self._query, document, properties), timeout)

    async def to_exist(self, *, timeout: float | None = None) -> Any:
        """Expect the model to be there.

        Args:
            timeout: How long it has to appear, in seconds; None for the session's `patience`.

        Returns:
            The model.

        Raises:
            ExpectationFailed: It did not appear in time. It is an AssertionError.
            PatchRejected: A callback of the app raised.
        """
        __tracebackhide__ = True
        return await self._until(lambda document: check_there(self._query, document), timeout)

    async def to_be_gone(self, *, timeout: float | None = None) -> None:
        """Expect no such model to be there.

        Args:
            timeout: How long it has to go, in seconds; None for the session's `patience`.

        Raises:
            ExpectationFailed: It did not go in time. It is an AssertionError.
            PatchRejected: A callback of the app raised.
        """
        __tracebackhide__ = True
        await self._until(lambda document: check_gone(self._query, document), timeout)

    async def _until(self, check: Callable[[Document | None], T], timeout: float | None) -> T:
        __tracebackhide__ = True
        session = self._session
        limit = session.patience if timeout is None else timeout
        return await session._retry(lambda: check(session.document), (AssertionError,), limit)


def _too_late(
    predicate: Callable[[], object], last: list[object], found: Iterable[Model], timeout: float
) -> WaitTimeout:
    seen = [f"it gave {short(value)}" for value in last] + seen_by(predicate, list(dict.fromkeys(found)))
    return WaitTimeout(
        f"the condition did not hold within {timeout} s. When last asked, {'; '.join(seen)}.", timeout=timeout
    )


def _change_of(event: DocumentChangedEvent) -> str:
    model = getattr(event, "model", None)
    what = f" of {shown(model)}.{getattr(event, 'attr', '')}".rstrip(".") if isinstance(model, Model) else ""
    return f"{getattr(event, 'kind', type(event).__name__)}{what}"
