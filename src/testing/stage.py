"""An app as a test has it on the server's side: its documents, its clocks, and what went wrong in making them."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

from bokeh.application.handlers.handler import Handler

from ..session import UsageError
from .applications import App, application_of, failure_of
from .clock import AppClock
from .errors import AppFailed

if TYPE_CHECKING:
    from bokeh.application.application import Application, SessionContext
    from bokeh.document import Document

__all__ = ["Stage"]

T = TypeVar("T")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Scene:
    """One session of the app: the server's loop, and the clock of its document."""

    loop: asyncio.AbstractEventLoop
    clock: AppClock


class Stage:
    """An app that some server of this process serves, of whatever kind.

    Args:
        app: What makes the documents; see `application_of`.

    Attributes:
        application: What to give to a server.
    """

    def __init__(self, app: App) -> None:
        self.application: Application = application_of(app, self._failed)
        self._failure: Exception | None = None
        self._expected: set[str] = set()
        self._frozen: set[str] = set()
        self._scenes: dict[str, _Scene] = {}
        watchers = [handler for handler in self.application.handlers if isinstance(handler, _Watcher)]
        if not watchers:
            watchers.append(_Watcher())
            self.application.add(watchers[0])
        # An Application that a test author has made once is served anew by each test.
        watchers[0].stage = self

    def expect(self, session_id: str, *, frozen: bool) -> None:
        """Take note of a session that is about to be opened, by somebody who calls `check` then.

        Args:
            session_id: The session's id.
            frozen: Whether the clock of its document is to stand still.

        Raises:
            UsageError: It is to stand still, and runs already.
        """
        if frozen and session_id in self._scenes and session_id not in self._frozen:
            raise UsageError(
                f"the clock of session {session_id} runs already: open its first viewer with frozen=True, and the "
                "others have its clock."
            )
        self._expected.add(session_id)
        if frozen:
            self._frozen.add(session_id)

    def check(self, cause: Exception | None = None) -> None:
        """Say what went wrong when the last document was made.

        Args:
            cause: The error that a client has met, which may come of that.

        Raises:
            AppFailed: Something did.
        """
        failure, self._failure = self._failure, None
        if failure is not None:
            what = "".join(traceback.format_exception_only(failure)).strip()
            raise AppFailed(f"the app raised while it made the document of a new session: {what}") from failure
        problem = failure_of(self.application)
        if problem is not None:
            raise AppFailed(f"the app could not make the document of a new session: {problem}") from cause

    async def with_clock(self, session_id: str, action: Callable[[AppClock], Awaitable[T]]) -> T:
        """Do something with the clock of a session, on the server's loop.

        Args:
            session_id: The session's id.
            action: What to do.

        Returns:
            What the action returned. What it raises is raised here.

        Raises:
            UsageError: The app has no such session any more.
        """
        scene = self._scenes.get(session_id)
        if scene is None:
            raise UsageError(f"the app has no session {session_id} any more: the document was destroyed.")

        async def act() -> T:
            return await action(scene.clock)

        if scene.loop is asyncio.get_running_loop():
            return await act()
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(act(), scene.loop))

    def created(self, context: SessionContext) -> None:
        """Take up the document of a session that the server makes, on its loop, before the app fills it."""
        # It is public from Bokeh 3.10 on.
        document: Document = context.document if hasattr(context, "document") else cast("Any", context)._document
        clock = AppClock(document, frozen=context.id in self._frozen)
        self._scenes[context.id] = _Scene(asyncio.get_running_loop(), clock)

    def destroyed(self, session_id: str) -> None:
        """Forget a session that the server has discarded."""
        self._expected.discard(session_id)
        self._frozen.discard(session_id)
        self._scenes.pop(session_id, None)

    def _failed(self, document: Document, error: Exception) -> bool:
        """Keep what the app raised for `check`: not every server of Bokeh's tells its client that it cannot go on."""
        context = document.session_context
        if context is None or context.id not in self._expected:
            return False
        _log.error("the app raised while it made the document of session %s", context.id, exc_info=error)
        self._failure = error
        return True


class _Watcher(Handler):
    """Tells the stage of what happens to the application's sessions; it adds nothing to their documents."""

    stage: Stage

    def modify_document(self, doc: Document) -> None:
        pass

    async def on_session_created(self, session_context: SessionContext) -> None:
        self.stage.created(session_context)

    async def on_session_destroyed(self, session_context: SessionContext) -> None:
        self.stage.destroyed(session_context.id)
