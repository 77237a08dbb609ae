"""Comparing what a client sends with what it sent when a transcript was recorded, whatever ids it makes up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ..transports import Frame

__all__ = ["Matcher"]

# The keys under which the wire format has ids: of messages, and of models and buffers (specs/values.md).
_IDS = frozenset({"id", "msgid", "reqid"})


class Matcher:
    """The ids of one connection: those of the transcript, and those that stand for them now."""

    def __init__(self) -> None:
        self._now: dict[str, str] = {}
        self._then: dict[str, str] = {}

    def difference(self, recorded: Frame, sent: Frame) -> str | None:
        """Compare two frames of the client.

        Args:
            recorded: The one of the transcript.
            sent: What is sent now.

        Returns:
            Where they differ, None if they do not.
        """
        if isinstance(recorded, bytes) or isinstance(sent, bytes):
            return None if recorded == sent else "another frame is sent"
        try:
            then, now = json.loads(recorded), json.loads(sent)
        except ValueError:
            return None if recorded == sent else "another text is sent"
        return next(self._differences(then, now, "", None), None)

    def translated(self, frame: Frame) -> Frame:
        """Give a frame of the server with the ids of now.

        Args:
            frame: The frame of the transcript.
        """
        changed = {then: now for then, now in self._now.items() if then != now}
        if isinstance(frame, bytes) or not any(f'"{then}"' in frame for then in changed):
            return frame
        return json.dumps(_replaced(json.loads(frame), changed, None))

    def _differences(self, then: Any, now: Any, path: str, key: str | None) -> Iterator[str]:
        if isinstance(then, dict) and isinstance(now, dict):
            for name in [*then, *(name for name in now if name not in then)]:
                where = f"{path}.{name}".lstrip(".")
                if name not in then or name not in now:
                    yield f"{where} is {'missing' if name in then else 'new'}"
                else:
                    yield from self._differences(then[name], now[name], where, name)
        elif isinstance(then, list) and isinstance(now, list):
            if len(then) != len(now):
                yield f"{path or 'the list'} has {len(now)} items, not {len(then)}"
            for index, (old, new) in enumerate(zip(then, now, strict=False)):
                # The buffers of an envelope of generation 4 are a list of ids.
                yield from self._differences(old, new, f"{path}[{index}]", "id" if path == "buffers" else None)
        elif isinstance(then, str) and isinstance(now, str) and key in _IDS:
            if self._now.setdefault(then, now) != now or self._then.setdefault(now, then) != then:
                yield f"{path} is {now!r}, which does not stand for {then!r}"
        elif type(then) is not type(now) or then != now:
            yield f"{path or 'the frame'} is {now!r}, not {then!r}"


def _replaced(value: Any, ids: dict[str, str], key: str | None) -> Any:
    if isinstance(value, dict):
        return {name: _replaced(inner, ids, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, ids, "id" if key == "buffers" else None) for inner in value]
    return ids.get(value, value) if isinstance(value, str) and key in _IDS else value
