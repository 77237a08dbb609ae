"""The plot for the README: how many times faster than `bokeh.client`, and how far the limit is."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, cast

from bokeh.embed import file_html
from bokeh.models import ColumnDataSource, FactorRange, Range1d
from bokeh.plotting import figure
from bokeh.resources import CDN

from .report import Report, Result

_SERIES = (
    ("bokehwire, tornado", "tornado", "#3b6ea8"),
    ("bokehwire, aiohttp", "aiohttp", "#7fa7d1"),
    ("limit", "", "#c9c9c9"),
)
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
_ROW_HEIGHT = 46
# Far enough to the left of 1 to show what is slower.
_LEFT = 0.2


def write(made: Report, html: Path, png: Path) -> str:
    """Write the plot in both forms.

    Args:
        made: What to plot.
        html: The file for the interactive form, which loads BokehJS from the network.
        png: The file for the picture.

    Returns:
        What to tell the user about the picture.
    """
    html.write_text(file_html(drawing(made), CDN, title="bokehwire and bokeh.client"), encoding="utf-8")
    browser = next((name for name in _BROWSERS if shutil.which(name)), None)
    if browser is None or shutil.which("chromedriver") is None:
        return f"{png.name} is left as it is: it needs Chromium and chromedriver (Debian: chromium, chromium-driver)."
    _photograph(drawing(made), png, browser)
    return f"{png.name} is written."


def drawing(made: Report) -> Any:
    """The plot as a Bokeh figure."""
    rows = [row for row in made.rows if "bokeh.client" in row.contestants and _ours(row)]
    titles = [row.title.replace("`", "") for row in rows]
    factors = [(title, label) for title in reversed(titles) for label, _, _ in reversed(_SERIES)]
    # FactorRange, Range1d and the attributes of several axes at once are not typed as they are used.
    y_range: Any = FactorRange(factors=cast(Any, factors), group_padding=0.6)
    plot: Any = figure(
        y_range=y_range,
        x_axis_type="log",
        width=1100,
        height=_ROW_HEIGHT * len(rows) + 120,
        title="Times faster than bokeh.client, in one run",
        toolbar_location=None,
        tools="",
    )
    largest = 1.0
    for label, contestant, colour in _SERIES:
        found = [
            (title, faster) for title, row in zip(titles, rows, strict=True) if (faster := _faster(row, contestant))
        ]
        data = {
            "y": [(title, label) for title, _ in found],
            "right": [faster for _, faster in found],
            "text": [f" {faster:.1f}" for _, faster in found],
        }
        source = ColumnDataSource(data)
        plot.hbar(y="y", left=_LEFT, right="right", height=0.9, color=colour, source=source, legend_label=label)
        plot.text(x="right", y="y", text="text", text_font_size="11px", text_baseline="middle", source=source)
        largest = max([largest, *(faster for _, faster in found)])
    plot.x_range = Range1d(start=_LEFT, end=largest * 2)
    plot.yaxis.major_label_text_font_size = "0px"
    plot.yaxis.group_text_font_size = "12px"
    plot.yaxis.group_label_orientation = "horizontal"
    plot.yaxis.major_tick_line_color = None
    plot.ygrid.grid_line_color = None
    plot.legend.location = "bottom_right"
    versions = ", ".join(
        f"{name} {number}" for name, number in made.versions.items() if name in ("bokeh", "tornado", "aiohttp")
    )
    plot.xaxis.axis_label = f"{made.date}, Python {made.python}, {versions}"
    return plot


def _ours(row: Result) -> bool:
    return any(contestant in row.contestants for _, contestant, _ in _SERIES)


def _faster(row: Result, contestant: str) -> float | None:
    """How many times faster than bokeh.client a contestant is, or the limit, which has what Bokeh needs in it."""
    if not contestant:
        return row.limit_faster
    figures = row.contestants.get(contestant)
    return None if figures is None else figures.faster


def _photograph(plot: Any, png: Path, browser: str) -> None:
    from bokeh.io import export_png
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    options = ChromeOptions()
    options.binary_location = shutil.which(browser) or browser
    for argument in ("--headless=new", "--no-sandbox", "--hide-scrollbars", "--force-device-scale-factor=1"):
        options.add_argument(argument)
    driver = Chrome(options=options, service=ChromeService(shutil.which("chromedriver")))
    try:
        driver.set_window_size(1400, _ROW_HEIGHT * 40)
        export_png(plot, filename=str(png), webdriver=driver)
    finally:
        driver.quit()
