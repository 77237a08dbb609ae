"""Every error that a peer or a caller can cause, named by fault.

The tree has two branches below `ProtocolError`. A `LocalProtocolError` says that our own caller asked for something
that the state, the generation or a limit forbids; the connection is unchanged and may be used on. A
`RemoteProtocolError` says that the peer broke the protocol; the connection is finished and the error carries the close
code to send. `ReadingFailed` stands beside them: neither end broke the protocol.
"""

from __future__ import annotations

from functools import partial
from typing import Any

NORMAL_CLOSURE = 1000
PROTOCOL_ERROR = 1002
POLICY_VIOLATION = 1008
MESSAGE_TOO_BIG = 1009
INTERNAL_ERROR = 1011

_SIZES = frozenset({"max_message_size", "max_buffer_size", "max_total_size", "max_outgoing_size"})


class BokehWireError(Exception):
    """Root of every error that this package raises on purpose."""


class ReadingFailed(BokehWireError):
    """Something else than the peer has ended the reading of a frame, see `__cause__`; the connection is finished.

    Attributes:
        close_code: The WebSocket close code (RFC 6455, section 7.4) to send to the peer.
    """

    close_code: int = INTERNAL_ERROR


class ProtocolError(BokehWireError):
    """Something that the Bokeh server protocol does not allow.

    Attributes:
        close_code: The WebSocket close code (RFC 6455, section 7.4) to send to the peer if the connection is closed
            because of this error.
    """

    close_code: int = PROTOCOL_ERROR


class LocalProtocolError(ProtocolError, RuntimeError):
    """Our caller did something that the protocol forbids here; nothing was sent and the connection is unchanged."""

    close_code = INTERNAL_ERROR


class RemoteProtocolError(ProtocolError, RuntimeError):
    """The peer broke the protocol; the connection is finished.

    Send `close_code` to the peer and drop the connection: after one bad frame nothing says where the next message
    begins.
    """


class MalformedFrame(RemoteProtocolError):
    """A frame is not what comes next: text instead of binary, no JSON, a wrong key, a value of a wrong type."""


class UnknownMessageType(MalformedFrame):
    """A header names a message type that this wire generation does not have.

    Attributes:
        msgtype: The name as it was received.
    """

    def __init__(self, message: str, *, msgtype: str) -> None:
        super().__init__(message)
        self.msgtype = msgtype

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), msgtype=self.msgtype), self.args, self.__dict__


class UnexpectedMessage(RemoteProtocolError):
    """A well-formed message that may not come in this state, to this role, or as the reply to this request."""


class LimitError(ProtocolError):
    """More than a limit allows; the base of both faults, so that one `except` catches either.

    Args:
        limit: What is limited, in words, e.g. `"nesting depth"`.
        value: What was found.
        maximum: What is allowed.
        parameter: The field of `Limits` that sets the maximum.

    Attributes:
        limit: As given.
        value: As given.
        maximum: As given.
        parameter: As given.
    """

    _text = "A limit is exceeded: {limit} is {value:,}, at most {maximum:,} is allowed; see Limits({parameter}=...)."

    def __init__(self, limit: str, value: int, maximum: int, parameter: str) -> None:
        super().__init__(self._text.format(limit=limit, value=value, maximum=maximum, parameter=parameter))
        self.limit = limit
        self.value = value
        self.maximum = maximum
        self.parameter = parameter
        # RFC 6455, section 7.4.1: 1009 is for data that is too big, 1008 for a policy that nothing else names.
        self.close_code = MESSAGE_TOO_BIG if parameter in _SIZES else POLICY_VIOLATION

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.limit, self.value, self.maximum, self.parameter), self.__dict__


class LimitExceeded(LimitError, RemoteProtocolError):
    """The peer sent more than a limit allows. Limits are checked before objects are built from what was sent."""

    _text = (
        "The peer exceeded a limit: {limit} is {value:,}, at most {maximum:,} is allowed. "
        "If the peer is to be trusted, pass Limits({parameter}=...) with a larger value or None."
    )


class LocalLimitExceeded(LimitError, LocalProtocolError):
    """Our caller asked to send, or to keep in flight, more than a limit allows."""

    _text = (
        "Not sent: {limit} would be {value:,}, at most {maximum:,} is allowed. "
        "Send less at a time, or pass Limits({parameter}=...) with a larger value or None."
    )


class WrongState(LocalProtocolError):
    """The call is not allowed in the connection's state, or not for its role."""


class NotInGeneration(LocalProtocolError):
    """The message does not exist in the wire generation that the peer speaks."""


class UnknownRequest(LocalProtocolError):
    """A reply to something that is no unanswered request, or of a kind that this request cannot have."""


class InvalidId(LocalProtocolError):
    """The id factory returned what cannot be an id: no str, an empty one, or the id of a request in flight."""


class InvalidContent(LocalProtocolError, ValueError):
    """Content or buffers that cannot be sent: not JSON, NaN or an infinity, repeated ids, data that is not bytes."""


class InvalidClose(LocalProtocolError, ValueError):
    """A close code that an endpoint may not send (RFC 6455, section 7.4), or a reason that is no str."""


class InvalidFrame(LocalProtocolError, TypeError):
    """Our caller fed something that is neither a text nor a binary frame."""
