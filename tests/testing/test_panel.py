"""Panel apps, driven as Bokeh's are, in a process of their own: Panel changes Bokeh when it is imported."""

from __future__ import annotations

import sys

import pytest

SETTINGS = """
[pytest]
asyncio_default_fixture_loop_scope = function
timeout = 50
"""
APP = """
    import panel as pn

    def app():
        number = pn.widgets.IntSlider(label="Number", start=0, end=10, value=2)
        kind = pn.widgets.Select(label="Kind", options=["square", "double"])
        reset = pn.widgets.Button(label="Reset")
        reset.on_click(lambda event: number.param.update(value=0))

        def result(value, kind):
            return f"It is {value * value if kind == 'square' else 2 * value}."

        more = pn.Card(reset, title="More", collapsed=True)
        tabs = pn.Tabs(("Controls", pn.Column(number, kind)), ("More", more))
        return pn.Column(tabs, pn.bind(result, number, kind))
"""
TEST = """
    import panel as pn
    import pytest
    from app import app
    from bokehwire.testing import NotInteractive

    def result_is(page, text):
        page.wait_for(lambda: [html for html in page.find_all(type="HTML") if text in html.text])

    # Sessions share an object, and what is done to it.
    @pytest.fixture(params=[lambda: app, app, lambda: pn.Row(app)], ids=["function", "object", "function in an object"])
    def open_page(request, bokeh_app):
        return lambda **options: bokeh_app(request.param(), **options)

    def test_what_is_bound_follows_the_widgets(open_page):
        page = open_page()
        result_is(page, "It is 4.")
        page.set(page.find(label="Number"), value=3)
        result_is(page, "It is 9.")
        page.set(page.find(label="Kind"), value="double")
        result_is(page, "It is 6.")

    def test_what_a_person_could_not_enter_is_refused(open_page):
        page = open_page()
        with pytest.raises(ValueError, match="its end is 10"):
            page.set(page.find(label="Number"), value=11)
        with pytest.raises(ValueError, match="'square', 'double'"):
            page.set(page.find(label="Kind"), value="triple")

    def test_what_a_card_or_tabs_hide_is_not_reached(open_page):
        page = open_page(patience=0.1)
        reset = page.find(type="Button", label="Reset")
        with pytest.raises(NotInteractive, match="which is not in front"):
            page.click(reset)
        page.select(page.find(type="Tabs"), 1)
        with pytest.raises(NotInteractive, match="is in Card.* which is collapsed"):
            page.click(reset)

    def test_what_a_card_and_tabs_show_is_used(open_page):
        page = open_page()
        page.select(page.find(type="Tabs"), 1)
        page.set(page.find(type="Card"), collapsed=False)
        page.click(page.find(type="Button", label="Reset"))
        result_is(page, "It is 0.")
"""


# Where Panel should be installed and is not, this fails.
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="no release of Panel goes with this Bokeh")
def test_panel_apps_are_driven_as_bokehs_are(pytester: pytest.Pytester) -> None:
    pytester.makeini(SETTINGS)
    pytester.makepyfile(app=APP, test_it=TEST)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=12)
