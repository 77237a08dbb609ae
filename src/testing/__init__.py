"""Testing Bokeh apps, and whatever speaks to them.

With pytest there is nothing to import: the fixtures `bokeh_app`, `bokeh_server` and `bokeh_session`, and their
asynchronous twins, are there as soon as the package is installed. Without pytest, `open_app` and `async_open_app` are
what they are made of.

The names are imported when they are first asked for, so that the plugin costs a test run nothing that does not use it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .aio import AsyncAppSession
    from .blocking import AppSession
    from .conformance import NetworkConformance, TransportConformance
    from .errors import (
        AmbiguousModel,
        AppFailed,
        ExpectationFailed,
        ModelNotFound,
        NotInteractive,
        ReplayDeparted,
        ScreenshotFailed,
    )
    from .opening import async_open_app, open_app, open_replay
    from .probe import ServerReport, Verdict, async_server_conformance, server_conformance
    from .server import AppServer
    from .transcripts import ReplayTransport, TranscriptTransport

__all__ = [
    "AmbiguousModel",
    "AppFailed",
    "AppServer",
    "AppSession",
    "AsyncAppSession",
    "ExpectationFailed",
    "ModelNotFound",
    "NetworkConformance",
    "NotInteractive",
    "ReplayDeparted",
    "ReplayTransport",
    "ScreenshotFailed",
    "ServerReport",
    "TranscriptTransport",
    "TransportConformance",
    "Verdict",
    "async_open_app",
    "async_server_conformance",
    "open_app",
    "open_replay",
    "server_conformance",
]

_HOMES = {
    "AppServer": "server",
    "AppSession": "blocking",
    "AsyncAppSession": "aio",
    "NetworkConformance": "conformance",
    "ReplayTransport": "transcripts",
    "ServerReport": "probe",
    "TranscriptTransport": "transcripts",
    "TransportConformance": "conformance",
    "Verdict": "probe",
    "async_open_app": "opening",
    "async_server_conformance": "probe",
    "open_app": "opening",
    "open_replay": "opening",
    "server_conformance": "probe",
}


def __getattr__(name: str) -> Any:
    """Import a public name from the module that has it (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f".{_HOMES.get(name, 'errors')}", __name__)
    value = globals()[name] = getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
