"""The connection: frames in, events out; intents in, frames out. It performs no input or output and never waits."""

from __future__ import annotations

from collections.abc import Callable

from . import wire3, wire4
from .errors import NORMAL_CLOSURE, InvalidClose, InvalidFrame, MalformedFrame, RemoteProtocolError
from .events import Closed, Event
from .limits import DEFAULT_LIMITS, Limits
from .messages import Message
from .sending import Sender
from .table import Generation, Input, Role
from .text import check_text, loads, unchecked_length
from .wire import Decoder, Frame, no_text

# A close frame's payload is at most 125 bytes, two of which are the code (RFC 6455, section 5.5).
_MAX_REASON = 123
# Codes that an endpoint may put into a close frame: those that RFC 6455, section 7.4 and the IANA registry define, less
# the ones reserved for reporting (1004 to 1006, 1015), and the ranges for libraries and applications.
_MAY_SEND = frozenset({*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)})


class Connection(Sender):
    """One end of a connection that speaks the Bokeh server protocol.

    Feed it what the WebSocket delivers (`receive_frame`, `receive_close`) and it returns events; ask it to do something
    (the other methods) and it returns the frames to send. It keeps the state, the wire generation and the requests in
    flight.

    Args:
        role: Our end.
        generation: The wire generation. A client leaves it out and learns it from the server's first frame; a server
            has to choose.
        id_factory: Makes the ids of our messages: each a str, not empty, and for a client not the id of a request in
            flight. By default `"1"`, `"2"`, ...
        limits: How much the peer may make us hold, and how much may be in flight.
        raw_content: Leave the content of received messages undecoded, as `msgspec.Raw`: for a proxy or a tracer.

    Raises:
        ValueError: A server without a generation; or there is no such role or generation.
    """

    def __init__(
        self,
        role: Role = Role.CLIENT,
        *,
        generation: Generation | None = None,
        id_factory: Callable[[], str] | None = None,
        limits: Limits = DEFAULT_LIMITS,
        raw_content: bool = False,
    ) -> None:
        # Generation.V4 equals 4, and what is compared by identity from here on must not be its int.
        role, generation = Role(role), None if generation is None else Generation(generation)
        if generation is None and role is Role.SERVER:
            raise ValueError("A server chooses the wire generation: pass generation=Generation.V3 or Generation.V4.")
        super().__init__(role, limits, id_factory)
        self._raw_content = raw_content
        self._decoder: Decoder | None = None
        self._feed: Callable[[Frame], Message | InvalidFrame | None] = self._feed_first
        if generation is not None:
            self._use(generation)

    @property
    def mid_message(self) -> bool:
        """Whether some but not all frames of a message have arrived."""
        return self._decoder is not None and self._decoder.mid_message

    def receive_frame(self, frame: Frame) -> Event | None:
        """Take the next frame that the WebSocket delivered.

        Args:
            frame: str for a text frame; bytes, bytearray or memoryview for a binary one. Binary data is kept without a
                copy: do not change it afterwards.

        Returns:
            What the message means that this frame completes, None if it completes none.

        Raises:
            RemoteProtocolError: The peer broke the protocol: `MalformedFrame`, `UnknownMessageType`,
                `UnexpectedMessage` or `LimitExceeded`. The state is FAILED, the error's `close_code` is what to send,
                and every later frame raises the same error.
            ReadingFailed: An exception that nobody could foresee has ended the reading: Python's stack or memory is
                used up, or the frame is of a subclass that misbehaves, or a released memoryview. The state is FAILED
                and every later frame raises the same error. KeyboardInterrupt and its like pass as they are, with the
                same effect.
            WrongState: The WebSocket is closed already.
            InvalidFrame: The frame is neither text nor binary; nothing has happened.
        """
        if not self._reading:
            self._refuse_frame()
        try:
            message = self._feed(frame)
            if message is None:
                return None
            # Each message passes here, and a call costs as much as decoding a small frame.
            report = self._reports.get(type(message))
            if report is not None:
                return report(message)
            if not isinstance(message, InvalidFrame):
                return self._receive(message)
        except RemoteProtocolError as error:
            self._fail(error)
        except BaseException as error:
            self._give_up(error)
        raise message

    def receive_close(self, code: int | None = None, reason: str = "") -> Closed:
        """Take note that the WebSocket is closed, in whatever way.

        Args:
            code: The close code as received; None (or 1006) if the connection was lost without one.
            reason: The reason as received.

        Returns:
            The last event, with the ids of the requests that will not be answered.

        Raises:
            WrongState: It is closed already.
        """
        state = self._look_up(Input.RECEIVE_CLOSE)
        closed = Closed(code, reason, self.close_expected, tuple(self._pending), self.mid_message)
        self._pending.clear()
        self._enter(state)
        return closed

    def send_close(self, code: int = NORMAL_CLOSURE, reason: str = "") -> tuple[int, str]:
        """Take note that we close the connection: nothing more can be sent, what still arrives is read. Repeatable.

        Args:
            code: A close code that an endpoint may send: 1000 to 1003, 1007 to 1014, or 3000 to 4999.
            reason: For people. It is cut to the 123 bytes of UTF-8 that a close frame has room for.

        Returns:
            The code and the reason to give to the WebSocket.

        Raises:
            InvalidClose: No endpoint may send this code, or the reason is no str.
            WrongState: The WebSocket is closed already.
        """
        given: object = code
        if not isinstance(given, int) or given not in _MAY_SEND:
            raise InvalidClose(
                f"{code!r} is no close code to send; take 1000, or one of 3000 to 4999 for your own meaning."
            )
        if not isinstance(reason, str):
            raise InvalidClose(f"The reason of a close is a str, not {type(reason).__name__}.")
        self._enter(self._look_up(Input.SEND_CLOSE))
        return code, reason.encode("utf-8", "replace")[:_MAX_REASON].decode("utf-8", "ignore")

    def _use(self, generation: Generation) -> None:
        self._generation = generation
        if generation is Generation.V3:
            self._decoder, self._encode = wire3.Decoder3(self._limits, self._raw_content), wire3.encode
        else:
            self._decoder, self._encode = wire4.Decoder4(self._limits, self._raw_content), wire4.encode
        self._feed = self._decoder.feed

    def _feed_first(self, frame: Frame) -> Message | InvalidFrame | None:
        # The server speaks first, and its first frame tells the generation: a header has a msgtype, an envelope none.
        if not isinstance(frame, str):
            return no_text(frame, "a text frame with the server's ACK")
        if len(frame) > unchecked_length(self._limits):
            check_text(frame, self._limits)
        first = loads(frame, "The server's first frame (is it a Bokeh server?)")
        if not isinstance(first, dict) or not ("msgtype" in first or "header" in first):
            raise MalformedFrame("The server's first frame does not start a Bokeh message. Is it a Bokeh server?")
        self._use(Generation.V3 if "msgtype" in first else Generation.V4)
        return self._feed(frame)
