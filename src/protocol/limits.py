"""The limits of a connection: how much a peer may make us hold, and how much our caller may keep in flight."""

from __future__ import annotations

import msgspec

MEBIBYTE = 1024 * 1024


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of one connection; `None` switches a limit off.

    What a peer announces or sends is compared with these before objects are built from it. Exceeding one raises
    `LimitExceeded`, or `LocalLimitExceeded` where our caller did it; both name the field.

    Attributes:
        max_message_size: Bytes of one received WebSocket message, i.e. of one frame in this package's words, text
            counted as UTF-8. 20 MiB, as in Bokeh's servers (`websocket_max_message_size`) and clients
            (`max_message_size`).
        max_buffer_size: Bytes of one received binary buffer. `None`: what `max_message_size` allows.
        max_total_size: Bytes of all frames of one received protocol message together, buffers included. 1 GiB.
        max_outgoing_size: Bytes of one frame that we send. `None`, because only the peer knows what it takes; a Bokeh
            server closes the connection with 1009 above its own `websocket_max_message_size`.
        max_buffers: Buffers of one message, in both directions. 10,000, which is a fixed limit of Bokeh 4.0.
        max_frames_per_message: Frames of one received message. 20,003: in generation 3 a message has 3 frames and 2
            more for each of 10,000 buffers.
        max_depth: How deep arrays and objects may nest in one received JSON frame; the envelope of generation 4 counts
            as one. 512, which is more than Bokeh can write (specs/json.md has the numbers).
        max_pending: Requests in flight: sent and not yet answered (client), received and not yet answered (server).
            65,536.

    Raises:
        TypeError: A limit is neither an int nor None.
        ValueError: A limit is negative.
    """

    max_message_size: int | None = 20 * MEBIBYTE
    max_buffer_size: int | None = None
    max_total_size: int | None = 1024 * MEBIBYTE
    max_outgoing_size: int | None = None
    max_buffers: int | None = 10_000
    max_frames_per_message: int | None = 20_003
    max_depth: int | None = 512
    max_pending: int | None = 65_536

    def __post_init__(self) -> None:
        for name, limit in msgspec.structs.asdict(self).items():
            if limit is not None and type(limit) is not int:
                raise TypeError(f"{name} is an int or None, not {limit!r:.80}.")
            if limit is not None and limit < 0:
                raise ValueError(f"{name} is {limit}, but a limit is not negative; None switches it off.")


DEFAULT_LIMITS = Limits()
