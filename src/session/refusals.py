"""What a server has refused, dropped or failed at, in words."""

from __future__ import annotations

from ..protocol import Error
from .endings import some_of
from .errors import ChangesInDoubt, PatchRejected, RequestRefused
from .requests import Ask, Group, Reply, Request

__all__ = ["dropped", "in_doubt", "not_sent", "raised_after", "refusal", "undecided"]

_TAKEN = "What the server has counts now: the document here is made equal to it."


def refusal(request: Request, reply: Error) -> PatchRejected | RequestRefused:
    """Say that the server refused a request.

    Args:
        request: The request, alone in its message.
        reply: The server's answer.

    Returns:
        The error.
    """
    if request.ask is Ask.PATCH:
        return _rejected(f"the server rejected {request.change}: {reply.text}. {_TAKEN}", (request,), reply)
    carried = f" These changes are lost with it: {some_of(request.changes)}." if request.changes else ""
    return RequestRefused(
        f"the server refused the {request.ask.value}: {reply.text}. Its log says more.{carried}",
        request=request.ask.value,
        text=reply.text,
        traceback=reply.traceback,
        reqid=reply.reqid or "",
    )


def raised_after(request: Request, reply: Error) -> PatchRejected:
    """Say that the server has applied a change and failed at what came of it, as when a callback raises.

    Args:
        request: The change.
        reply: The server's answer.

    Returns:
        The error.
    """
    text = f"the server applied {request.change} and then failed, perhaps in a callback of the application: "
    return _rejected(f"{text}{reply.text}. {_TAKEN}", (request,), reply)


def dropped(requests: Group) -> PatchRejected:
    """Say that the server has dropped some changes without saying so.

    Args:
        requests: The changes.

    Returns:
        The error.
    """
    names = some_of([str(request.change) for request in requests])
    what = "it refers to a model that is" if len(requests) == 1 else "they refer to models that are"
    return _rejected(f"the server dropped {names}: {what} gone from the server's document. {_TAKEN}", requests, None)


def not_sent(request: Request) -> str:
    """Say which change cannot be sent.

    Args:
        request: The change.
    """
    return f"That was {request.change}. {_TAKEN}"


def undecided(requests: Group, reply: Reply) -> PatchRejected:
    """Say that nobody can tell whether the server has applied some changes.

    Args:
        requests: The changes.
        reply: The server's answer to the message that carried them.

    Returns:
        The error.
    """
    names = some_of([str(request.change) for request in requests])
    what = "may have dropped these changes with one about a model that is gone, or not"
    if isinstance(reply, Error):
        what = "failed at one of several changes, and may have applied the others or not"
    text = f"the server {what}, which cannot be told: {names}."
    return _rejected(f"{text} {_TAKEN}", requests, reply if isinstance(reply, Error) else None)


def in_doubt(requests: Group) -> ChangesInDoubt:
    """Say that a connection was lost, and nobody can tell whether the server has applied some changes.

    Args:
        requests: The changes.

    Returns:
        The error.
    """
    changes = tuple(change for request in requests for change in request.changes)
    text = (
        "the connection was lost before the server had confirmed these changes, and whether it has applied them cannot "
        f"be told: {some_of(changes)}. They are not sent again. {_TAKEN}"
    )
    return ChangesInDoubt(text, changes=changes)


def _rejected(message: str, requests: Group, reply: Error | None) -> PatchRejected:
    return PatchRejected(
        message,
        changes=tuple(change for request in requests for change in request.changes),
        text="" if reply is None else reply.text,
        traceback=None if reply is None else reply.traceback,
        reqid="" if reply is None else reply.reqid or "",
    )
