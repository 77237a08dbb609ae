"""How the deep profile splits its examples over the properties of the protocol: each runs about as long as its weight.

An example is one valid input that Hypothesis drew for one property: a value, a message, a sequence of frames, or for
the two connections a whole run of up to 50 steps. Inputs that Hypothesis discards do not count. A property whose
inputs run out ends early.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import is_hypothesis_test, settings

TOTAL = int(os.environ.get("BOKEHWIRE_EXAMPLES", "1000000"))

# Milliseconds that an example takes, measured together on one machine; only their ratios matter.
COSTS = {
    "TestTwoConnections": 11.5,
    "test_only_documented_outcomes": 4.6,
    "test_what_bokeh_takes_we_take_with_the_same_meaning": 4.5,
    "test_messages_with_content": 2.8,
    "test_server_info": 2.7,
    "test_what_we_write_bokeh_reads": 2.6,
    "test_raw_content_means_the_same": 2.5,
    "test_encoding_in_parts_gives_the_same": 2.4,
    "test_what_bokeh_writes_we_read": 2.2,
    "test_what_is_not_finite_is_refused_and_what_is_finite_is_not": 1.7,
    "test_what_is_written_reads_as_what_bokeh_would_write": 1.5,
    "test_raw_hides_nothing_wherever_it_is": 1.4,
    "test_one_among_many_that_look_alike": 1.4,
    "test_any_value_is_taken_or_refused_as_by_json": 1.4,
    "test_depth_is_found_without_decoding": 1.1,
    "test_noise": 0.8,
    "test_messages_without_content": 0.6,
    "test_depth_of_anything_is_a_number": 0.3,
}
# How many times as long as the others those run that have the most to find.
WEIGHTS = {
    "TestTwoConnections": 5,
    "test_only_documented_outcomes": 3,
    "test_what_bokeh_takes_we_take_with_the_same_meaning": 3,
}


def examples(total: int) -> dict[str, int]:
    """How many examples of a total each property gets."""
    parts = {name: WEIGHTS.get(name, 1) / cost for name, cost in COSTS.items()}
    shares = {name: int(total * part / sum(parts.values())) for name, part in parts.items()}
    most = max(parts, key=parts.__getitem__)
    shares[most] += total - sum(shares.values())
    return shares


def name_of(item: pytest.Item) -> str | None:
    """The name in COSTS of the property that a test is, if it is one."""
    function = getattr(item, "obj", None)
    if not is_hypothesis_test(function):
        return None
    return item.parent.name if item.name == "runTest" and item.parent is not None else item.name


def split(items: list[pytest.Item]) -> None:
    """Give each property its share of the examples.

    Raises:
        KeyError: A property has no entry in COSTS.
    """
    shares = examples(TOTAL)
    for item in items:
        name = name_of(item)
        if name is None or not isinstance(item, pytest.Function):
            continue
        share = settings(max_examples=max(1, shares[name]))
        if item.name == "runTest":
            item.cls.settings = share
        else:
            share(item.obj)
