"""One Bokeh Application out of whatever a test author has: a function, a script, a directory, a Panel object."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.command.util import build_single_handler_application

if TYPE_CHECKING:
    from bokeh.document import Document

__all__ = ["App", "application_of"]

App: TypeAlias = "Application | Callable[..., Any] | str | os.PathLike[str] | Any"
"""A function that modifies a Document, a function without arguments that returns a Panel object, an Application, the
path of a script, a notebook or a directory, or a Panel object."""


def application_of(app: App, failed: Callable[[Document, Exception], bool]) -> Application:
    """Make an Application of what a test author has.

    Args:
        app: It.
        failed: Called with the document and what the app raised while it made it, where the app is a function or a
            Panel object. It says whether that is told to whoever opened the session; if not, the server gets it.

    Returns:
        The Application; the very same if it is one.

    Raises:
        TypeError: It is nothing that makes a document.
        FileNotFoundError: There is no file at the path.
        RuntimeError: The file cannot be an app, such as a script with a syntax error.
    """
    if isinstance(app, Application):
        return app
    if isinstance(app, str | os.PathLike):
        path = Path(app).expanduser().resolve()
        if not path.exists():
            raise FileNotFoundError(f"there is no app at {path}: it must be a script, a notebook or a directory.")
        application = build_single_handler_application(str(path))
        _check(application)
        return application
    modify = _modifier_of(app)

    def guarded(doc: Document) -> None:
        try:
            modify(doc)
        except Exception as error:
            if not failed(doc, error):
                raise

    return Application(FunctionHandler(guarded))


def failure_of(application: Application) -> str | None:
    """Say what kept a script from making the last document; such a script leaves an empty one, and only a log entry.

    Args:
        application: The application.
    """
    for handler in application.handlers:
        if handler.failed:
            return f"{handler.error}\n{handler.error_detail}"
    return None


def _check(application: Application) -> None:
    failure = failure_of(application)
    if failure is not None:
        raise RuntimeError(failure)


def _modifier_of(app: Any) -> Callable[[Document], object]:
    if _is_servable(app):
        return _server_doc_of(app)
    if not callable(app):
        raise TypeError(
            f"an app is a function that takes a Document, an Application, the path of a script or a directory, or a "
            f"Panel object, not {app!r}."
        )
    if inspect.iscoroutinefunction(app):
        raise TypeError(
            f"{getattr(app, '__name__', app)} is asynchronous, and Bokeh awaits no such app: make its document in a "
            "plain function, and add_next_tick_callback(...) what has to be awaited."
        )
    if _takes_a_document(app):
        modify: Callable[[Document], object] = app
        return modify

    def modify_with_result(doc: Document) -> None:
        result = app()
        if not _is_servable(result):
            raise TypeError(
                f"{getattr(app, '__name__', app)} takes no Document, so it must return a Panel object, not {result!r}."
            )
        _server_doc_of(result)(doc)

    return modify_with_result


def _is_servable(app: Any) -> bool:
    """Say whether an object makes documents as Panel's do: panes, layouts, templates, and viewers."""
    return not isinstance(app, type) and (hasattr(app, "server_doc") or hasattr(app, "__panel__"))


def _server_doc_of(app: Any) -> Callable[[Document], object]:
    view = app if hasattr(app, "server_doc") else app.__panel__()
    server_doc: Callable[..., object] = view.server_doc
    return lambda doc: server_doc(doc)


def _takes_a_document(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # built in
        return True
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return any(parameter.kind in (*positional, inspect.Parameter.VAR_POSITIONAL) for parameter in parameters)
