"""What a test does wrong, and what it finds out."""

from __future__ import annotations

from ..protocol import BokehWireError

__all__ = [
    "AmbiguousModel",
    "AppFailed",
    "ExpectationFailed",
    "ModelNotFound",
    "NotInteractive",
    "ReplayDeparted",
    "ScreenshotFailed",
]


class AppFailed(BokehWireError, RuntimeError):
    """The app raised while it made the document of a new session. What it raised is the cause, where it is known."""


class ModelNotFound(BokehWireError, LookupError):
    """No model of the document is what was looked for; the message lists the models that there are."""


class AmbiguousModel(BokehWireError, LookupError):
    """Several models of the document are what was looked for; the message lists them."""


class NotInteractive(BokehWireError, RuntimeError):
    """A person could not do that with the model now: it is disabled or not visible, or something around it is."""


class ExpectationFailed(BokehWireError, AssertionError):
    """What was expected of a model did not come true in time; the message says what it was instead."""


class ReplayDeparted(BokehWireError, AssertionError):
    """What is sent is not what was sent when the transcript was recorded; the message says where it departs."""


class ScreenshotFailed(BokehWireError, RuntimeError):
    """No picture of the page could be made: there is no browser, or it cannot show the page."""
