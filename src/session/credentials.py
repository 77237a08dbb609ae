"""Session ids and tokens, made from Bokeh's settings as they are when they are made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from bokeh.settings import settings
from bokeh.util.token import generate_jwt_token, generate_session_id

if TYPE_CHECKING:
    from bokeh.core.types import ID

__all__ = ["checked_id", "new_session_id", "new_token"]


def new_token(session_id: ID) -> str:
    """Make a token for a session, signed if Bokeh's settings say so. It expires after 300 s.

    Args:
        session_id: The session's id.

    Returns:
        The token.

    Raises:
        ValueError: Sessions are to be signed and there is no key.
    """
    return generate_jwt_token(session_id, **_signing())


def new_session_id() -> ID:
    """Make up a session id, signed if Bokeh's settings say so.

    Returns:
        A random id that cannot be guessed.

    Raises:
        ValueError: Sessions are to be signed and there is no key.
    """
    return generate_session_id(**_signing())


def _signing() -> dict[str, Any]:
    """Read how sessions are signed from Bokeh's settings, as they are now rather than when Bokeh was imported."""
    # settings.secret_key_bytes() keeps the key that was set when it was first asked.
    secret_key, signed = settings.secret_key(), settings.sign_sessions()
    if signed and secret_key is None:
        raise ValueError("BOKEH_SIGN_SESSIONS is set, but BOKEH_SECRET_KEY is not. Set the key that the server uses.")
    return {"secret_key": secret_key, "signed": signed}


def checked_id(session_id: object) -> ID:
    """Refuse what cannot name a session, and give the rest the type that Bokeh's functions ask for.

    Args:
        session_id: What the caller gave.

    Returns:
        The same text.

    Raises:
        TypeError: It is not text.
        ValueError: It is empty.
    """
    if not isinstance(session_id, str):
        raise TypeError(f"session_id must be text, not {session_id!r}.")
    if not session_id:
        raise ValueError("session_id must not be empty; leave it out to have one made.")
    return cast("ID", session_id)
