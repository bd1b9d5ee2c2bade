"""How random tests run: `ci` is the same every time, `soak` looks much further (`make soak`)."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Shared machines stall: an example that was slow once says nothing about the code. The suites that ship are classes,
# and each engine or store under test is a subclass.
_FINE = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.differing_executors]

settings.register_profile(
    "ci", derandomize=True, deadline=None, max_examples=50, print_blob=True, suppress_health_check=_FINE
)
settings.register_profile("soak", deadline=None, max_examples=5_000, print_blob=True, suppress_health_check=_FINE)
settings.load_profile("ci")
