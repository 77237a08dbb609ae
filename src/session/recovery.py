"""What a sync engine needs of its session when there is a connection again after a loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .reconnecting import Reconnection
from .requests import Group

__all__ = ["Recovery"]


@dataclass(frozen=True, slots=True)
class Recovery:
    """What is done after a reconnection.

    Attributes:
        push_into_new_session: Whether to push our document where the server has forgotten the session; otherwise the
            session is given up.
        give_up: Ends the session, because the documents cannot be compared or ours cannot be pushed, for which a reason
            is given, or because the server's is that of another session; with the changes that are lost with a push.
        doubted: Gives the changes that the server may have or not.
        drop_changes: Takes back all changes and pushes that are not answered, because another push carries them.
        reached: Told when nothing keeps a call from being sent any more, which a handler may make while the server's
            document is taken over.
        recovered: Told when the document is the server's again.
    """

    push_into_new_session: bool
    give_up: Callable[[Exception | None, tuple[str, ...]], None]
    doubted: Callable[[], Group]
    drop_changes: Callable[[], Group]
    reached: Callable[[], None]
    recovered: Callable[[Reconnection], None]
