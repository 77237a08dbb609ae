"""The channel: a session's way to its server, over one link after the other where it may reconnect.

It lives on one asyncio loop. `post`, `resume`, `drop_changes`, `give_up` and `drop` may be called from any thread;
everything else belongs to the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ..protocol import Generation, PatchDoc
from ..transports import ConnectError, ConnectionClosed, ConnectionOptions, Transport
from .attempt import Attempt
from .driving import in_loop
from .endings import describe_forgotten, describe_full, describe_given_up, describe_loss, describe_too_late
from .errors import ConnectionLost
from .link import Link
from .outbox import Outbox
from .reconnecting import Reconnect, may_pass, same_process, worth_another
from .refusals import in_doubt
from .requests import Answered, Ask, Disconnected, Group, Inbound, Lost, Reconnected, Request

__all__ = ["Channel"]


@dataclass(slots=True)
class _Outage:
    """A time without a connection on which all could go on: other losses in it are part of it.

    Attributes:
        loss: How it began.
        last_id: The id of the last message from the server before it.
        since: When it began, on the loop's clock.
        delays: The times to wait before each further attempt.
        attempts: How many attempts there have been.
    """

    loss: ConnectionLost
    last_id: str
    since: float
    delays: Iterator[float]
    attempts: int = 0


class Channel:
    """The way to one server session, from the first handshake until the session is closed or lost.

    Args:
        transport: Makes the connections.
        options: Where to and how; the subprotocols are "bokeh" and the session's token.
        timeout: How long the whole of connecting may take, up to the server's ACK, in seconds; None for ever.
        deliver: Told of everything that arrives, in order, on the loop. The last call brings a `Lost`.
        may_remove: Says whether a change from the server may take a model out of the document. Called on the loop.
        full: Says whether too many changes wait to be handled, which ends the channel. Called on the loop.
        reconnect: How to connect again after a loss; None not to.
        renew: Makes new options, with a new token, for each further connection; None when nobody needs one any more.
    """

    def __init__(
        self,
        transport: Transport,
        options: ConnectionOptions,
        *,
        timeout: float | None,
        deliver: Callable[[Inbound], None],
        may_remove: Callable[[PatchDoc], bool],
        full: Callable[[], bool] = lambda: False,
        reconnect: Reconnect | None = None,
        renew: Callable[[], ConnectionOptions | None] = lambda: None,
    ) -> None:
        self._transport = transport
        self._options = options
        self._timeout = timeout
        self._deliver = deliver
        self._full = full
        self._policy = reconnect
        self._renew = renew
        self._outbox = Outbox(may_remove)
        self._settled = asyncio.Event()
        self._wake_scheduled = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._attempt = Attempt()
        self._link: Link | None = None
        self._reconnecting: asyncio.Task[None] | None = None
        self._generation: Generation | None = None
        self._ended: Lost | None = None
        self._outage: _Outage | None = None  # from a loss until there is a connection on which all goes on
        self._kept = 0  # bytes that wait for its end
        self._waiting: asyncio.TimerHandle | None = None  # for an answer, while the documents are compared

    @property
    def is_open(self) -> bool:
        """Whether the server has acknowledged the session and the connection stands. Any thread may ask."""
        return self._link is not None and self._link.is_open

    @property
    def is_reconnecting(self) -> bool:
        """Whether the connection was lost, and another one is being sought. Any thread may ask."""
        return self._reconnecting is not None and self._ended is None

    @property
    def generation(self) -> Generation | None:
        """The wire generation the server speaks, None before its ACK. Any thread may ask."""
        return self._generation

    async def open(self) -> None:
        """Connect, and wait until the server has acknowledged the session.

        Raises:
            ConnectError: No connection could be made, or the peer is not a Bokeh server, or it refused the session.
                Nothing is left behind.
            SessionClosed: `stop` was called meanwhile.
        """
        self._loop = asyncio.get_running_loop()
        try:
            await self._attempt.run(self._open_link(self._options, self._timeout))
        except BaseException:
            self._ended = self._ended or Lost(None)  # never acknowledged, so nobody is to be told
            raise

    async def stop(self, timeout: float) -> None:
        """End the attempt to connect that is under way, if one is; `open` raises SessionClosed.

        Args:
            timeout: How long to wait for its end, in seconds.
        """
        await self._attempt.stop(timeout)

    async def _open_link(self, options: ConnectionOptions, timeout: float | None) -> Link:
        link = Link(
            self._transport,
            options,
            self._outbox,
            deliver=self._deliver,
            full=self._full,
            admitted=self._admitted,
            asked=self._asked,
            progressed=self._progressed,
            ended=self._lost,
        )
        self._link = link
        try:
            await link.open(timeout)
        except BaseException:
            self._link = None
            raise
        self._generation = link.generation
        return link

    def _admitted(self, link: Link) -> None:
        """Keep a push from being sent into a session of another process, whose models may have the same ids."""
        if self._outage is not None and not same_process(self._outage.last_id, link.first_id):
            self._outbox.hold()

    def post(self, request: Request) -> Exception | None:
        """Send a request in its turn. Never waits; any thread may call.

        Args:
            request: What to ask. Its outcome is delivered as `Answered`, or in the `Lost` that ends the channel.

        Returns:
            None, or the reason why the request cannot be sent any more; then nothing is delivered.
        """
        assert self._loop is not None
        if self._ended is not None or self._loop.is_closed():
            return describe_too_late(self._options.url, request)
        policy = self._policy
        if (
            policy is not None
            and request.ask is Ask.PATCH
            and (not self.is_open or (self._outage is not None and self._outbox.is_held))
        ):
            size = self._kept + request.size
            if size > policy.max_pending:
                return describe_full(self._options.url, request, size, policy)
            self._kept = size
        self._outbox.post(request)
        # Changes that wait for an answer are sent when it comes.
        if request.ask is not Ask.PATCH or not self._outbox.waits:
            self._wake_writer()
        return None

    def resume(self, again: Sequence[Group], doubted: Group, losses: int) -> None:
        """Go on after a `Doubted` or a `Reconnected`. Never waits; any thread may call.

        Args:
            again: What has to be sent again, before anything else; each as one message.
            doubted: The changes that were in doubt.
            losses: The number of the last `Disconnected` that was handled, 0 before the first.
        """
        assert self._loop is not None
        if self._ended is None and not self._loop.is_closed():
            self._outbox.resume(again, doubted, losses)
            if not self._outbox.is_held:
                self._kept = 0
            if not self._outbox.is_held and self.is_open and not self._outbox.holds_changes:
                self._outage = None
            self._wake_writer()

    @property
    def doubted(self) -> Group:
        """The changes that were under way when the connection was lost. Any thread may ask."""
        return self._outbox.doubted

    def drop_changes(self) -> Group:
        """Forget all changes and pushes that are unsent or in doubt, because a push carries them. Any thread may call.

        Returns:
            The changes and pushes, and messages, which it does not carry.
        """
        dropped = self._outbox.drop_changes()
        self._kept = 0
        return dropped

    def give_up(self, failure: Exception | None, changes: tuple[str, ...] = ()) -> None:
        """End the channel after a reconnection. Any thread may call.

        Args:
            failure: Why the session cannot go on; None if the server's session is not the one that it was.
            changes: What was lost with what failed, each as a short text.
        """
        assert self._loop is not None
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._give_up, failure, changes)

    def _give_up(self, failure: Exception | None, changes: tuple[str, ...]) -> None:
        self._end(describe_forgotten(self._options.url, failure, (*changes, *self.unconfirmed)))
        if self._reconnecting is not None:
            self._reconnecting.cancel()  # the connection that was compared is lost already
        if self._link is not None:
            self._link.abort()

    @property
    def unconfirmed(self) -> tuple[str, ...]:
        """The changes that the server has not confirmed, oldest first, each as a short text. Any thread may ask."""
        never = () if self._ended is None else self._ended.unanswered
        return tuple(change for request in (*never, *self._outbox.requests()) for change in request.changes)

    @property
    def is_delivered(self) -> bool:
        """Whether the server has answered everything that changes its document.

        Any thread may ask, but only on the loop is a yes for certain: what the loop just moves from one place to
        another is in neither.
        """
        return self._ended is not None or not self._outbox.holds_changes

    async def has_delivered(self) -> bool:
        """Say so on the loop."""
        return self.is_delivered

    def _wake_writer(self) -> None:
        assert self._loop is not None
        if in_loop(self._loop):
            self._wake_up()
        elif not self._wake_scheduled:
            try:
                self._wake_scheduled = True
                self._loop.call_soon_threadsafe(self._wake_up)
            except BaseException:  # by Ctrl-C, which must not keep everything that follows from waking it
                self._wake_scheduled = False
                raise

    def _wake_up(self) -> None:
        self._wake_scheduled = False
        if self._ended is not None:
            for request in self._outbox.clear():
                self._deliver(Answered((request,), None, describe_too_late(self._options.url, request)))
            return
        if self._link is not None:
            self._link.wake()
        self._settled.set()

    async def close(self, reason: str, timeout: float | None) -> tuple[str, ...]:
        """Send what was posted, wait for the answers, then close the connection. Safe to call twice.

        Nothing is left behind when it is cancelled, or takes too long: the connection is dropped then.

        Args:
            reason: The close reason the server is given.
            timeout: How long all of this may take, in seconds; None for ever.

        Returns:
            The changes that the server has not confirmed, oldest first, each as a short text.
        """
        if self._loop is None:
            return ()
        try:
            async with asyncio.timeout(timeout):
                await self._until_delivered()
                if self._link is not None:
                    await self._link.close(reason)
        except TimeoutError:
            pass  # what was not answered is named in what is returned, and the socket is dropped below
        finally:
            self._end(None)
            await self.abandon()
        return self.unconfirmed

    async def _until_delivered(self) -> None:
        """Wait until the server has answered everything that changes its document."""
        while not self.is_delivered:
            self._settled.clear()
            await self._settled.wait()

    def drop(self) -> None:
        """Drop the connection without a word to the server, from any thread, whether its loop runs or not."""
        loop = self._loop
        if loop is None:
            return
        if loop.is_closed():
            if self._link is not None:
                self._link.drop_socket()
            return
        if loop.is_running():
            asyncio.run_coroutine_threadsafe(self.abandon(), loop)
            return
        abandoning = self.abandon()
        try:
            loop.run_until_complete(abandoning)
        except RuntimeError:  # this thread is inside another loop
            abandoning.close()

    def _lost(self, fault: BaseException) -> None:
        """Act on the end of a link that this side has not asked for."""
        url, pending = self._options.url, tuple(self._outbox.requests())
        loss = describe_loss(url, fault, pending)
        if self._policy is None or not may_pass(fault) or self._ended is not None:
            self._end(loss)
            return
        carried, unclear = self._outbox.interrupt()
        self._kept = sum(request.size for request in self._outbox.requests())
        if carried:
            self._deliver(Answered(carried, None))
        for request in unclear:
            self._deliver(Answered((request,), None, in_doubt((request,))))
        self._settled.set()
        assert self._loop is not None
        if self._outage is None:
            last_id = self._link.last_id if self._link is not None else ""
            self._outage = _Outage(loss, last_id, self._loop.time(), self._policy.delays())
        self._link = None
        self._stop_waiting()
        self._reconnecting = self._loop.create_task(self._reconnect(self._policy, self._outage, loss))
        self._deliver(Disconnected(loss, self._outbox.losses, self._outbox.arrived))

    async def _reconnect(self, policy: Reconnect, outage: _Outage, failure: Exception) -> None:
        """Connect again, until it succeeds or there is no more hope."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(None if policy.deadline is None else outage.since + policy.deadline):
                for delay in outage.delays:
                    await asyncio.sleep(delay)
                    outage.attempts += 1
                    try:
                        options = self._renew()
                        if options is None:
                            return
                        link = await self._open_link(options, self._timeout)
                    except ConnectError as error:
                        failure = error
                        if not worth_another(error):
                            break
                    else:
                        self._resume_over(link, outage, loop.time() - outage.since)
                        return
        except TimeoutError:
            pass  # the deadline: what failed last says why
        except asyncio.CancelledError as interruption:
            self._end(describe_loss(self._options.url, interruption, tuple(self._outbox.requests())))
            raise
        except Exception as error:  # of the program, which could not make a token
            failure = error
        seconds, pending = loop.time() - outage.since, tuple(self._outbox.requests())
        self._end(describe_given_up(outage.loss, failure, outage.attempts, seconds, pending))

    def _resume_over(self, link: Link, outage: _Outage, seconds: float) -> None:
        if self._link is not link or self._ended is not None:
            return  # lost again already: another attempt is under way, or there is none any more
        self._reconnecting = None
        pushing = not self._outbox.is_held
        same = same_process(outage.last_id, link.first_id)
        self._deliver(Reconnected(outage.attempts, seconds, pushing, same))

    def _asked(self) -> None:
        """Note that the server was asked for what the documents are compared by. It may not even read what we send."""
        if self._outage is None or self._loop is None or self._policy is None:
            return
        limits = [limit for limit in (self._timeout, self._policy.deadline) if limit is not None]
        if limits:
            self._stop_waiting()
            self._waiting = self._loop.call_later(min(limits), self._overdue, self._link, min(limits))

    def _overdue(self, link: Link | None, seconds: float) -> None:
        if link is not None and link is self._link:
            link.fail(ConnectionClosed(reason=f"no answer within {seconds:g} s, while the documents were compared"))

    def _stop_waiting(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()

    def _progressed(self, group: Group) -> None:
        """Note an answer of the server. When a change or a push gets one, the connection has proven good."""
        if group[0].urgent:
            self._stop_waiting()
        elif group[0].ask in (Ask.PATCH, Ask.PUSH) and not self._outbox.is_held:
            self._outage = None
        self._settled.set()

    def _end(self, error: Exception | None) -> None:
        """Deliver the end, once."""
        self._stop_waiting()
        if self._ended is None:
            self._ended = Lost(error, self._outbox.clear())
            self._settled.set()
            self._deliver(self._ended)

    async def abandon(self) -> None:
        """Release the socket and the tasks, whatever state they are in, without a word to the server."""
        if self._ended is None:
            self._ended = Lost(None)  # nobody is to be told
        self._stop_waiting()
        reconnecting = self._reconnecting
        if reconnecting is not None and reconnecting is not asyncio.current_task():
            reconnecting.cancel()
            await asyncio.gather(reconnecting, return_exceptions=True)
        if self._link is not None:
            await self._link.abandon()
