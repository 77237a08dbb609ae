"""A session that does what a person in front of the page could do: blocking, a thin face over the asynchronous one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, Unpack, overload

from bokeh.events import Event
from bokeh.model import Model

from ..session import DEFAULT_SERVER_WEBSOCKET_URL, ClientSession, SessionOptions, WaitTimeout
from . import screenshots
from .acting import Indices
from .aio import AsyncAppSession, AsyncExpectation
from .errors import AmbiguousModel, ExpectationFailed, ModelNotFound, NotInteractive
from .locating import Selector
from .recording import MessageLog

if TYPE_CHECKING:
    from tornado.ioloop import IOLoop

    from .clock import CallbackKind
    from .stage import Stage

__all__ = ["AppSession", "Expectation"]

T = TypeVar("T")
M = TypeVar("M", bound=Model)

_TOLD = (AmbiguousModel, ExpectationFailed, ModelNotFound, NotInteractive, WaitTimeout)


class AppSession(ClientSession):
    """A `ClientSession` that does what a person in front of the page could do, and waits as one would.

    Each action waits until the server has processed it: its callbacks have run, and what they changed is in `document`.
    What a callback of the app raises is raised by the action, as PatchRejected.

    Args:
        session_id: The name of the session on the server; None makes a new one.
        websocket_url: The ws or wss URL of the application, whose path ends in "/ws".
        io_loop: A Tornado IOLoop, or an asyncio loop, that is not running; None uses the background thread.
        arguments: HTTP request arguments for the application, by name.
        max_message_size: The largest WebSocket message accepted from the server, in bytes.
        patience: How long actions wait for a model, and waits for what they wait for, unless told otherwise, in
            seconds; None for ever.
        frozen: Whether the app's clock stands still: its periodic and timeout callbacks then run only when `advance` or
            `run_callbacks` say so. It needs an app that the test serves itself, and a new session.
        stage: The app, where the test serves it itself.
        record: Where to write a transcript of the session, for `open_replay` and `ReplayTransport`. Sessions that are
            open at the same time need a file each.
        **options: What `ClientSession` takes besides.

    Raises:
        UsageError: `frozen` is asked for and there is no `stage`, or the session has a clock that runs.
        FileNotFoundError: There is no folder for `record`.
        FileExistsError: A session that is open is recorded into the same file.
        ValueError: `transport` names no transport, `session_id` is empty, or a number is not above 0.
    """

    _session_class: ClassVar[type[AsyncAppSession]] = AsyncAppSession
    _session: AsyncAppSession

    def __init__(
        self,
        session_id: str | None = None,
        websocket_url: str = DEFAULT_SERVER_WEBSOCKET_URL,
        io_loop: IOLoop | asyncio.AbstractEventLoop | None = None,
        arguments: Mapping[str, str | Sequence[str]] | None = None,
        max_message_size: int = 20 * 1024 * 1024,
        *,
        patience: float | None = 10.0,
        frozen: bool = False,
        stage: Stage | None = None,
        record: str | os.PathLike[str] | None = None,
        **options: Unpack[SessionOptions],
    ) -> None:
        super().__init__(session_id, websocket_url, io_loop, arguments, max_message_size, **options)
        self._session._attend(stage, patience=patience, frozen=frozen, record=record)

    @property
    def messages(self) -> MessageLog:
        """The last messages exchanged; `str` of it is a text to read."""
        return self._session.messages

    @property
    def patience(self) -> float | None:
        """How long actions and waits wait unless told otherwise, in seconds; None for ever."""
        return self._session.patience

    def check_app(self, cause: Exception | None = None) -> None:
        """Say what went wrong when the app made its last document.

        Args:
            cause: The error that pulling the session has met, which may come of that.

        Raises:
            AppFailed: Something did go wrong, and the test serves the app itself.
        """
        self._session.check_app(cause)

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
        return self._session.find(selector, name=name, type=type, label=label)

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
        return self._session.find_all(selector, name=name, type=type, label=label)

    def click(self, target: Selector, *, item: str | None = None) -> None:
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
        self._run(self._session.click(target, item=item))

    def set(self, target: Selector, **properties: Any) -> None:
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
        self._run(self._session.set(target, **properties))

    def select(self, target: Selector, indices: Indices) -> None:
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
        self._run(self._session.select(target, indices))

    def send_event(self, event: Event) -> None:
        """Send an event of a model or of the document, as a browser does, and wait until the server has processed it.

        Args:
            event: Such as `Tap(plot, x=1, y=2)`, with a model of this session's document, or `DocumentReady()`.

        Raises:
            TypeError: It is no event.
            ModelNotFound: The event's model is not in the session's document.
            PatchRejected: A callback of the app raised.
        """
        __tracebackhide__ = True
        self._run(self._session.send_event(event))

    def send_message(self, kind: str, data: Any = None) -> None:
        """Send a message to the app's `Document.on_message` handlers, and wait until the server has processed it.

        Args:
            kind: What the handlers were registered for.
            data: What they are called with: anything that a property of a model could hold.

        Raises:
            PatchRejected: A handler of the app raised.
        """
        __tracebackhide__ = True
        self._run(self._session.send_message(kind, data))

    def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
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
        __tracebackhide__ = True
        return self._run(self._session.wait_for(predicate, timeout))

    def expect(
        self,
        selector: Selector | None = None,
        *,
        name: str | None = None,
        type: type[Model] | str | None = None,
        label: str | None = None,
    ) -> Expectation:
        """Say what is expected of a model: `session.expect("text").to_have(text="3 clicks")`.

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
        return Expectation(self, self._session.expect(selector, name=name, type=type, label=label))

    def settled(self, *, quiet: float = 0.1, timeout: float | None = None) -> None:
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
            PatchRejected: A callback of the app raised.
            ConnectionLost: The connection was lost.
            SessionClosed: The session was closed.
        """
        __tracebackhide__ = True
        self._run(self._session.settled(quiet=quiet, timeout=timeout))

    def screenshot(
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
        screenshots.take(self._run(self._session._page_to_show()), path, size, self._session._limit(timeout))

    def advance(self, seconds: float) -> int:
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
        __tracebackhide__ = True
        return self._run(self._session.advance(seconds))

    def run_callbacks(self, kind: CallbackKind | None = None) -> int:
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
        __tracebackhide__ = True
        return self._run(self._session.run_callbacks(kind))

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        __tracebackhide__ = True
        try:
            return super()._run(coroutine)
        except _TOLD as error:
            # They say all there is to say; what a test author wants to see is the line of the test.
            raise error.with_traceback(None) from error.__cause__


class Expectation:
    """Assertions about one model that are tried again after each change, until they hold or the time is up.

    Args:
        session: The session that the model is in.
        inner: The asynchronous assertions.
    """

    def __init__(self, session: AppSession, inner: AsyncExpectation) -> None:
        self._session = session
        self._inner = inner

    def to_have(self, *, timeout: float | None = None, **properties: Any) -> Any:
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
        return self._session._run(self._inner.to_have(timeout=timeout, **properties))

    def to_exist(self, *, timeout: float | None = None) -> Any:
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
        return self._session._run(self._inner.to_exist(timeout=timeout))

    def to_be_gone(self, *, timeout: float | None = None) -> None:
        """Expect no such model to be there.

        Args:
            timeout: How long it has to go, in seconds; None for the session's `patience`.

        Raises:
            ExpectationFailed: It did not go in time. It is an AssertionError.
            PatchRejected: A callback of the app raised.
        """
        __tracebackhide__ = True
        self._session._run(self._inner.to_be_gone(timeout=timeout))
