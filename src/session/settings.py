"""How a session connects, and how long it waits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..transports import ConnectionOptions
from . import urls
from .checks import check_mapping, check_numbers, check_size, check_token
from .credentials import new_token

if TYPE_CHECKING:
    from bokeh.core.types import ID

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a session was told when it was made, each as `AsyncClientSession` describes it.

    Raises:
        ValueError: A number is not above 0.
        TypeError: `arguments` or `headers` is not a mapping.
    """

    session_id: ID
    url: str
    arguments: Mapping[str, str | Sequence[str]] | None
    max_message_size: int
    max_inbox_size: int
    connect_timeout: float | None
    reply_timeout: float | None
    close_timeout: float
    ping_interval: float | None
    ping_timeout: float | None
    headers: Mapping[str, str] | None
    token: str | Callable[[], str] | None

    def __post_init__(self) -> None:
        check_size("max_message_size", self.max_message_size)
        check_size("max_inbox_size", self.max_inbox_size)
        check_mapping("arguments", self.arguments)
        check_mapping("headers", self.headers)
        check_numbers(
            connect_timeout=self.connect_timeout,
            reply_timeout=self.reply_timeout,
            close_timeout=self.close_timeout,
            ping_interval=self.ping_interval,
            ping_timeout=self.ping_timeout,
        )

    def make_token(self) -> str:
        """Make a token for the session.

        Raises:
            ValueError: Sessions are to be signed and there is no key, or what was given as `token` cannot be one.
        """
        if self.token is not None:
            return check_token(self.token() if callable(self.token) else self.token)
        return new_token(self.session_id)

    def options(self) -> ConnectionOptions:
        """Give what a transport needs for one connection.

        Raises:
            ConnectError: The URL cannot be one.
            ValueError: The token or an argument cannot be sent.
        """
        urls.check_websocket_url(self.url)
        return ConnectionOptions(
            url=urls.with_arguments(self.url, self.arguments),
            subprotocols=("bokeh", self.make_token()),
            headers=dict(self.headers or {}),
            connect_timeout=self.connect_timeout,
            close_timeout=self.close_timeout,
            max_message_size=self.max_message_size,
            ping_interval=self.ping_interval,
            ping_timeout=self.ping_timeout,
        )
