"""How a session is attached to its server: it connects, waits for answers, sends what is left, and lets go."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from ..transports import ConnectError, ConnectionOptions, ConnectTimeout, Transport
from .channel import Channel
from .endings import describe_late, some_of
from .errors import ConnectionLost, ReplyTimeout, SessionClosed, UsageError
from .lifeline import Lifeline, weakly
from .recovery import Recovery
from .requests import Answered, Disconnected, Group, Inbound, Lost, Reply, Request
from .runner import Runner, is_over, run_to_end
from .sync import SyncEngine

if TYPE_CHECKING:
    from .reconnecting import Reconnect
    from .settings import Settings
    from .trouble import Trouble

__all__ = ["Attachment"]

_log = logging.getLogger(__name__)


class Attachment:
    """The connection of one session, from before it is made until the session is closed.

    Neither the loop nor the document keeps it alive when the program has let go of the session, nor do callbacks that
    the program has given, which may lead back to it.

    Args:
        settings: How to connect, and how long to wait.
        transport: Makes connections.
        runner: Waits, and hands over what arrives.
        policy: How to connect again when the network was lost; None not to.
        trouble: Keeps what goes wrong between two calls.

    Attributes:
        engine: The document side of the session.
        channel: The connection, or the last one; None before the first.
        is_closed: Whether the session was closed.
        connect_error: Why there is no first connection, if that is known.
        loss: How the connection was lost for good, None if it was not.
        disconnection: How it was lost, while another one is being sought.
    """

    def __init__(
        self, settings: Settings, transport: Transport, runner: Runner, policy: Reconnect | None, trouble: Trouble
    ) -> None:
        self._settings = settings
        self._close_timeout = settings.close_timeout  # or what is left of it when the interpreter ends
        self._transport = transport
        self._runner = runner
        self._policy = policy
        self._trouble = trouble
        self.engine = SyncEngine(
            weakly(self._post),
            weakly(self._resume),
            runner.schedule,
            weakly(trouble.note),
            None if policy is None else self._recovery(policy),
        )
        runner.connect_to(weakly(self._handle), weakly(trouble.note_callback))
        self._lifeline = Lifeline(settings.session_id, self.engine)
        self._finalizer = weakref.finalize(self, self._lifeline.cut)
        self.channel: Channel | None = None
        self._opening: Channel | None = None  # while it connects, for a close to stop it
        self.is_closed = False
        self._finished_by: int | None = None  # the thread that ends the interpreter, which those end with that wait
        self.connect_error: ConnectError | None = None
        self.loss: ConnectionLost | None = None
        self.disconnection: ConnectionLost | None = None
        self._is_raised = False  # the loss, by a call
        self._is_told = False  # to the program's on_error

    @property
    def is_connected(self) -> bool:
        """Whether the server has acknowledged the session and the connection stands."""
        return self.channel is not None and self.channel.is_open and not self._lifeline.is_inherited

    @property
    def is_over(self) -> bool:
        """Whether there is no connection, and none is being sought."""
        return self.is_closed or self.loss is not None or self.channel is None

    @property
    def failure(self) -> ConnectError | ConnectionLost | None:
        """Why there is no connection, None where there is one or nobody has tried."""
        return self.connect_error or self.loss or self.disconnection

    async def connect(self) -> None:
        """Connect, or wait for the connection that is being sought. One call at a time.

        Raises:
            ConnectError: No connection could be made; the subclass says why.
            ValueError: The token, an argument or a header cannot be sent.
            ConnectionLost: The connection was lost.
            SessionClosed: The session was closed, or is closed meanwhile.
        """
        self.check()
        if self.channel is not None:
            await self._until_reconnected()
            return
        self.connect_error = None
        try:
            options = self._options()
        except ConnectError as error:
            self.connect_error = error
            raise
        channel = Channel(
            self._transport,
            options,
            timeout=self._settings.connect_timeout,
            deliver=self._runner.deliver,
            may_remove=self.engine.may_remove,
            full=is_over(self._runner, self._settings.max_inbox_size),
            reconnect=self._policy,
            renew=weakly(self._options),
        )
        self._opening = channel
        try:
            if self.is_closed:  # by another thread, which has not seen that there is something to stop
                self.check_state()
            await self._runner.perform(channel.open())
            self._finalizer.atexit = not self._runner.adopt(channel, weakly(self.finish))
            self.channel = self._lifeline.channel = channel
        except ConnectError as error:
            self.connect_error = error
            raise
        except BaseException:
            if channel.is_open and self.channel is None:  # interrupted between the two
                channel.drop()
            raise
        finally:
            self._opening = None
        if self.is_closed:  # by another thread, meanwhile
            await self._runner.perform(channel.abandon())
            self.check_state()

    async def close(self, reason: str) -> None:
        """Send what is pending, wait for the server to confirm it, and disconnect.

        Args:
            reason: The close reason the server is given.

        Raises:
            SessionClosed: The server did not confirm all changes in time; it names them.
            Exception: What the session has not raised yet.
        """
        if self.is_closed:
            self._raise_late()
            return
        if self._lifeline.is_inherited:  # it is the parent process's to close
            self.is_closed = True
            self.engine.close()
            self._finalizer.detach()
            return
        if self._runner.is_dead:
            self._close_without_loop()
            self._trouble.raise_first()
            return
        self._runner.check()
        try:
            try:
                self._runner.pump()
                self.engine.take_up_all()
            finally:
                unconfirmed = await self._hang_up(reason)
            self._runner.pump()
            self._note_undelivered(unconfirmed)  # a loss that closing has met is known only now
        finally:
            self.engine.close()
            self._runner.release()
            self._finalizer.detach()  # what it holds on to may lead back here, by way of the program's on_error
        self._trouble.raise_first()

    def finish(self, begun: float) -> None:
        """Deliver what is not, since the interpreter ends and no call will come. Of a session without `io_loop` alone.

        Args:
            begun: When the end began, on the monotonic clock: all sessions together take no longer than the one that
                waits longest.

        Raises:
            BaseException: What interrupts it, such as KeyboardInterrupt. Errors are logged, since nobody catches them.
        """
        if self.is_closed or self._lifeline.is_inherited:
            return
        name = self._settings.session_id
        self._close_timeout = max(0.0, self._close_timeout - (time.monotonic() - begun))
        try:
            self._runner.pump()
            self.engine.take_up_all()
            channel = self.channel
            if self.loss is None and channel and run_to_end(self._runner.perform(channel.has_delivered())):
                self.is_closed, self._finished_by = True, threading.get_ident()
                self.engine.end()  # and is told of what atexit functions change that come after this
                self._finalizer.detach()
                self._trouble.raise_first()
            else:
                run_to_end(self.close("the program has ended"))
        except Exception as error:
            _log.error("session %s was not closed before the interpreter ended: %s", name, error)
        except BaseException:  # as Ctrl-C, or sys.exit in a handler
            lost = () if self.channel is None else self.channel.unconfirmed
            if lost:
                _log.error("session %s was not closed, and changes are lost: %s", name, some_of(lost))
            raise

    async def answer(self, request: Request) -> Reply:
        """Wait for the reply to a request, handling what arrives before it.

        Args:
            request: The request, which was posted.

        Raises:
            ReplyTimeout: It was not answered within `reply_timeout`.
            Exception: What it has ended with.
        """
        try:
            settled = await self._runner.wait(lambda: request.done, self._settings.reply_timeout)
        except BaseException:
            request.abandoned = True
            raise
        if not settled:
            request.abandoned = True
            raise self._timeout_of(request.ask.value)
        if request.error is not None:
            if self.loss is not None and request.error is self.loss:
                self._raise_loss(self.loss)
            raise request.error
        assert request.reply is not None
        return request.reply

    async def until_settled(self) -> None:
        """Wait until it is known what has become of each change up to now, and the conflicts are settled.

        Raises:
            ReplyTimeout: The server did not answer within `reply_timeout`.
            ConnectionLost: The connection was lost.
        """
        made = self.engine.made
        if not await self._runner.wait(lambda: self.engine.is_answered_up_to(made), self._settings.reply_timeout):
            raise self._timeout_of("PATCH-DOC")
        if self.loss is not None:
            self._raise_loss(self.loss)
        answers = self.engine.answers
        if not await self._runner.wait(lambda: self.engine.is_settled_since(answers), self._settings.reply_timeout):
            raise self._timeout_of("PULL-DOC-REQ")
        if self.loss is not None:  # with which all doubts have ended
            self._raise_loss(self.loss)

    def check(self) -> None:
        """Raise what keeps a call from being useful, once what has arrived is handled.

        Raises:
            UsageError: This is another process, or the call cannot be made here.
            SessionClosed: The session was closed.
            ConnectionLost: The connection was lost.
            Exception: What has gone wrong since the last call.
        """
        self.check_process()
        self._runner.check()
        self._runner.pump()
        self.engine.catch_up()
        self.check_state()

    def check_process(self) -> None:
        """Raise that the session belongs to another process, if it does.

        Raises:
            UsageError: This process is a fork of the one that has made it.
        """
        if self._lifeline.is_inherited:
            raise UsageError("this session belongs to the process that made it. Make a new one after a fork.")

    def check_state(self) -> None:
        """Raise what has gone wrong since the last call, or has ended the session.

        Raises:
            SessionClosed: The session was closed.
            ConnectionLost: The connection was lost.
            Exception: What has gone wrong.
        """
        self._trouble.raise_first()
        if self.is_closed and self._finished_by in (None, threading.get_ident()):
            self._raise_late()
            raise SessionClosed("the session was closed. Make a new one to go on.")
        if self.loss is not None:
            self._raise_loss(self.loss)

    def require_channel(self) -> Channel:
        """Give the connection, which a call needs.

        Raises:
            UsageError: The session is not connected yet.
            Exception: What `check` raises.
        """
        self.check()
        if self.channel is None:
            raise UsageError("the session is not connected: call connect(), pull() or push() first.")
        return self.channel

    def raise_unconfirmed(self) -> None:
        """Raise that changes were lost with the connection, if any were.

        Raises:
            ConnectionLost: It was lost, and names them.
        """
        if self.loss is not None and self.loss.unconfirmed:
            self._raise_loss(self.loss)

    async def _until_reconnected(self) -> None:
        """Wait until there is a connection again, where it was lost and another one is being sought."""

        def condition() -> bool:
            self.check_state()
            return self.disconnection is None

        url, timeout = self._settings.url, self._settings.connect_timeout
        if not await self._runner.wait(condition, timeout):
            raise ConnectTimeout(
                f"{url} has not been reached again within {timeout} s. The session goes on trying.", url=url
            )

    async def _hang_up(self, reason: str) -> tuple[str, ...]:
        """Wait until the server has answered all changes, close the connection, and give those it has not confirmed."""
        self.is_closed = True
        channel, opening = self.channel, self._opening
        if channel is None:
            if opening is not None:
                await self._runner.perform(opening.stop(self._close_timeout))
            return ()
        deadline = time.monotonic() + self._close_timeout
        left = 0.0  # if the wait is interrupted
        unconfirmed: tuple[str, ...] = ()
        try:
            try:
                # What the server refuses on the way has to be handled here before the rest is sent.
                while await self._runner.wait(lambda: self._is_delivered(channel), deadline - time.monotonic()):
                    if await self._runner.perform(channel.has_delivered()):
                        break
                left = max(0.0, deadline - time.monotonic())
            finally:
                unconfirmed = await self._runner.perform(channel.close(reason, left))
        except BaseException as interruption:
            if channel.is_open:  # interrupted before the close had begun
                channel.drop()
            if unconfirmed:
                interruption.add_note(
                    f"The server has not confirmed {len(unconfirmed)} changes: {some_of(unconfirmed)}"
                )
            raise
        return unconfirmed

    def _close_without_loop(self) -> None:
        """Close though nothing can be awaited; what the server has not confirmed is lost."""
        self.is_closed = True
        try:
            try:
                self.engine.take_up_all()
            finally:
                unconfirmed = () if self.channel is None else self.channel.unconfirmed
                if self.channel is not None:
                    self.channel.drop()
            self._note_undelivered(unconfirmed)
        finally:
            self.engine.close()
            self._finalizer.detach()

    def _note_undelivered(self, unconfirmed: tuple[str, ...]) -> None:
        """Keep what closing could not deliver for the program, unless it has been told."""
        if self.loss is not None:
            if not self._is_raised and (self.loss.unconfirmed or self.engine.late_changes):
                self._trouble.keep(self._told(self.loss))
        elif unconfirmed:
            self._trouble.note(
                SessionClosed(
                    f"the session was closed before the server confirmed {len(unconfirmed)} changes: "
                    + some_of(unconfirmed),
                    unconfirmed=unconfirmed,
                )
            )

    def _is_delivered(self, channel: Channel) -> bool:
        """Whether the server has answered all changes and nothing is left to be settled with it."""
        self._runner.pump()
        return channel.is_delivered and (self.engine.is_settled or not channel.is_open)

    def _options(self) -> ConnectionOptions:
        return self._settings.options()

    def _recovery(self, policy: Reconnect) -> Recovery:
        doubted, drop_changes = weakly(self._doubted), weakly(self._drop_changes)
        return Recovery(
            push_into_new_session=policy.new_session == "push",
            give_up=weakly(self._give_up),
            doubted=lambda: doubted() or (),
            drop_changes=lambda: drop_changes() or (),
            reached=weakly(self._reached),
            recovered=weakly(self._trouble.tell_reconnection),
        )

    def _give_up(self, failure: Exception | None, changes: tuple[str, ...]) -> None:
        assert self.channel is not None
        self.channel.give_up(failure, changes)

    def _doubted(self) -> Group:
        assert self.channel is not None
        return self.channel.doubted

    def _drop_changes(self) -> Group:
        assert self.channel is not None
        return self.channel.drop_changes()

    def _reached(self) -> None:
        self.disconnection = None

    def _timeout_of(self, asked: str) -> ReplyTimeout:
        url, timeout = self._settings.url, self._settings.reply_timeout
        assert timeout is not None
        waiting = 0 if self.channel is None else len(self.channel.unconfirmed)
        behind = f" (changes that wait as well: {waiting})" if waiting else ""
        return ReplyTimeout(
            f"{url} did not answer the {asked} within {timeout} s{behind}. Is the server busy? "
            "Try again, since a session that was open stays open, or raise reply_timeout.",
            request=asked,
            timeout=timeout,
        )

    def _post(self, request: Request) -> None:
        self.check_process()
        assert self.channel is not None
        refusal = self.channel.post(request)
        if refusal is not None:
            self.engine.handle(Answered((request,), None, refusal))
        if self._runner.is_crowded and not self.engine.is_letting_go:
            self._runner.tidy()

    def _resume(self, again: Sequence[Group], doubted: Group, losses: int) -> None:
        assert self.channel is not None
        self.channel.resume(again, doubted, losses)

    def _handle(self, inbound: Inbound) -> None:
        if isinstance(inbound, Lost) and isinstance(inbound.error, ConnectionLost):
            self.loss, self.disconnection = inbound.error, None
            # Once raised it has this session in its traceback, and the channel keeps it.
            self._lifeline.channel, self._lifeline.lost = None, inbound.error.unconfirmed
        self.engine.handle(inbound)
        if isinstance(inbound, Lost) and inbound.error is not None and not self._is_told:
            self._is_told = True  # first, as below
            self._trouble.tell(inbound.error)
        if isinstance(inbound, Disconnected) and self.disconnection is not inbound.error:
            self.disconnection = inbound.error  # first, since the program may end itself when it is told
            self._trouble.tell_disconnection(inbound.error)

    def _raise_late(self) -> None:
        """Name what was changed after the end of the interpreter had closed the session, if anything was."""
        late = self.engine.late_changes
        if late:
            self.engine.close()
            raise SessionClosed(
                f"the session had been closed with the program when these changes were made: {some_of(late)} "
                f"({len(late)} in all). Register the atexit function after bokehwire is imported, to run before that.",
                unconfirmed=late,
            )

    def _raise_loss(self, loss: ConnectionLost) -> NoReturn:
        loss = self.loss = self._told(loss)
        raise loss.with_traceback(None)

    def _told(self, loss: ConnectionLost) -> ConnectionLost:
        """Give a loss with all that it has cost, for the program to be told; from then on its document is its own."""
        try:
            self.engine.take_up_all()
        except Exception as error:  # of the program's handlers, which are told of these changes now
            loss.add_note(f"Letting go of what was held back failed: {type(error).__name__}: {error}")
        complete = describe_late(loss, self.engine.late_changes)
        self.engine.close()
        self._is_raised, self._lifeline.lost = True, ()
        return complete
