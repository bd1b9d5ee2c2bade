"""How random tests run: `ci` is the same every time, `soak` looks much further (`make soak`)."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Shared machines stall: an example that was slow once says nothing about the code.
_SLOW_IS_FINE = [HealthCheck.too_slow, HealthCheck.data_too_large]

settings.register_profile(
    "ci", derandomize=True, deadline=None, max_examples=50, print_blob=True, suppress_health_check=_SLOW_IS_FINE
)
settings.register_profile(
    "soak", deadline=None, max_examples=5_000, print_blob=True, suppress_health_check=_SLOW_IS_FINE
)
settings.load_profile("ci")
