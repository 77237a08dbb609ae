"""What the README and the example show of testing an app, as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "testing"
SETTINGS = """
[pytest]
asyncio_default_fixture_loop_scope = function
filterwarnings = error
timeout = 50
"""


def test_the_readmes_test_passes(pytester: pytest.Pytester) -> None:
    programs = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    app = programs[0]
    (test,) = (program for program in programs if "def test_the_button_counts" in program)
    pytester.makeini(SETTINGS)
    pytester.path.joinpath("app.py").write_text(app)
    pytester.path.joinpath("test_app.py").write_text(test)
    result = pytester.runpytest_subprocess("--bokeh-transport=in-process,tornado,aiohttp")
    result.assert_outcomes(passed=3)


@pytest.mark.parametrize("transport", ["in-process", "tornado", "aiohttp"])
def test_the_examples_tests_pass_over(pytester: pytest.Pytester, transport: str) -> None:
    pytester.makeini(SETTINGS)
    for file in EXAMPLE.glob("*.py"):
        pytester.path.joinpath(file.name).write_text(file.read_text())
    result = pytester.runpytest_subprocess(f"--bokeh-transport={transport}")
    result.assert_outcomes(passed=15)
