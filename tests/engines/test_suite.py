"""The suite itself: what it is made of, and that it can fail."""

from __future__ import annotations

from collections import Counter

from featurestore.testing.engines import OfflineEngineConformance


def test_no_rule_hides_another_of_the_same_name() -> None:
    rules = Counter(name for part in OfflineEngineConformance.__bases__ for name in vars(part) if "test" in name)
    assert [name for name, count in rules.items() if count > 1] == []
