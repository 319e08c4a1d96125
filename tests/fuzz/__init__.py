"""Generated inputs: ``make fuzz`` tries the same ones each time, for about a minute; ``make nightly`` many others."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "fuzz",
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "300")),
    derandomize="FUZZ_RANDOM" not in os.environ,  # a push must not fail for what it did not change
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
    print_blob=True,
)
settings.load_profile("fuzz")
