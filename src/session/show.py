"""Opening a session's page in a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from bokeh.util.browser import BrowserLike

__all__ = ["BrowserTarget", "open_page"]

BrowserTarget = Literal["same", "window", "tab"]


def open_page(url: str, browser: str | None, new: BrowserTarget, controller: BrowserLike | None) -> None:
    """Open a page in a browser.

    Args:
        url: The page.
        browser: The name of a browser as in the standard library's `webbrowser`; None takes the default, "none" opens
            nothing.
        new: "tab", "window" or "same".
        controller: An object like the `webbrowser` module, to use instead of looking a browser up.

    Raises:
        ValueError: `new` is none of the three.
        webbrowser.Error: There is no browser of that name, or none at all.
    """
    from bokeh.util.browser import NEW_PARAM, get_browser_controller

    if new not in list(NEW_PARAM):  # also where `new` cannot be hashed
        raise ValueError(f"new must be one of {', '.join(sorted(NEW_PARAM))}, not {new!r}.")
    if controller is None:
        controller = get_browser_controller(browser=browser)
    controller.open(url, new=NEW_PARAM[new])
