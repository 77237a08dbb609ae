"""A realistic Bokeh app: measurements that stream in, controls, a report, and callbacks that can go wrong.

Run it with `bokeh serve --show dashboard.py`. How it is tested, test_dashboard.py shows.
"""

from __future__ import annotations

from bokeh.document import Document
from bokeh.io import curdoc
from bokeh.layouts import column, row
from bokeh.models import Button, CheckboxGroup, ColumnDataSource, Div, Select, Slider, TextInput
from bokeh.plotting import figure

SIGNALS = {"saw": lambda n: n % 10, "squares": lambda n: n * n % 50, "steps": lambda n: n // 5}
KEPT = 100  # rows
PERIOD = 500  # milliseconds between two measurements
SAVING = 2_000  # milliseconds that saving takes


def dashboard(document: Document) -> None:
    """Fill a document with the app."""
    source = ColumnDataSource(name="measurements", data={"n": [], "value": []})
    plot = figure(name="plot", title="Measurements", height=250)
    plot.line("n", "value", source=source)

    signal = Select(name="signal", title="Signal", options=list(SIGNALS), value="saw")
    gain = Slider(name="gain", title="Gain", start=1, end=10, value=1)
    alarm = TextInput(name="alarm", title="Alarm above", value="40")
    shown = CheckboxGroup(name="shown", labels=["Line", "Grid"], active=[0, 1])
    run = Button(name="run", label="Pause")
    save = Button(name="save", label="Save", disabled=True)
    status = Div(name="status", text="running")
    count = {"n": 0}

    def measure() -> None:
        value = SIGNALS[signal.value](count["n"]) * gain.value
        source.stream({"n": [count["n"]], "value": [value]}, KEPT)
        count["n"] += 1
        save.disabled = False
        if value > float(alarm.value):
            status.text = f"alarm: {value:g}"

    clock = {"callback": document.add_periodic_callback(measure, PERIOD)}

    def pause_or_go_on() -> None:
        if run.label == "Pause":
            document.remove_periodic_callback(clock["callback"])
            run.label, status.text = "Go on", "paused"
        else:
            clock["callback"] = document.add_periodic_callback(measure, PERIOD)
            run.label, status.text = "Pause", "running"

    def start_saving() -> None:
        save.disabled, status.text = True, "saving"
        document.add_timeout_callback(finish_saving, SAVING)

    def finish_saving() -> None:
        rows = len(source.data["n"])
        save.disabled, status.text = False, f"saved {rows} rows"

    def check_alarm(attr: str, old: str, new: str) -> None:
        try:
            float(new)
        except ValueError:
            raise ValueError(f"the alarm must be a number, not {new!r}") from None
        status.text = f"alarm above {new}"

    def clear(attr: str, old: str, new: str) -> None:
        source.data = {"n": [], "value": []}
        count["n"] = 0

    def show(attr: str, old: list[int], new: list[int]) -> None:
        plot.renderers[0].visible = 0 in new
        plot.grid.visible = 1 in new

    def sum_up(attr: str, old: list[int], new: list[int]) -> None:
        total = sum(source.data["value"][index] for index in new)
        status.text = f"{len(new)} selected, {total:g} in all"

    run.on_click(pause_or_go_on)
    save.on_click(start_saving)
    alarm.on_change("value", check_alarm)
    signal.on_change("value", clear)
    shown.on_change("active", show)
    source.selected.on_change("indices", sum_up)
    document.on_message("reset", lambda data: gain.update(value=1))
    document.title = "Dashboard"
    document.add_root(column(row(signal, gain, alarm), row(run, save, shown), status, plot))


if __name__.startswith("bokeh_app"):  # the name that Bokeh's server runs a script by
    dashboard(curdoc())
