"""Hypothesis profiles of the protocol's tests.

`quick` is the default. `deep` is chosen with BOKEHWIRE_HYPOTHESIS=deep or --hypothesis-profile=deep, and takes its
number of examples from BOKEHWIRE_EXAMPLES, a million if that is not set.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]

settings.register_profile("quick", max_examples=100, deadline=None, print_blob=True)
settings.register_profile(
    "deep",
    max_examples=int(os.environ.get("BOKEHWIRE_EXAMPLES", "1000000")),
    deadline=None,
    print_blob=True,
    suppress_health_check=_SLOW,
)
if "BOKEHWIRE_HYPOTHESIS" in os.environ:
    settings.load_profile(os.environ["BOKEHWIRE_HYPOTHESIS"])
