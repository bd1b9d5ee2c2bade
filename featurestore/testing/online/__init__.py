"""The rules that every online store must hold, as a suite. A store's test is one subclass with one fixture:

    class TestMyStore(OnlineStoreConformance):
        @pytest.fixture
        def store(self) -> Iterator[OnlineStore]:
            store = MyStore()
            yield store
            store.close()

The fixture gives an empty store. Each rule is a handful of records worked out by hand; the law at the end compares the
store with a dictionary over random histories.
"""

from __future__ import annotations

import pytest

_PARTS = ("compacting", "history", "keys", "publishing", "races", "records", "replacing")
# They are no test modules by name, so pytest must be told to explain their assertions.
pytest.register_assert_rewrite(*(f"{__name__}.{part}" for part in _PARTS))

from featurestore.testing.online.compacting import CompactRules  # noqa: E402  after the line above
from featurestore.testing.online.history import HistoryLaw  # noqa: E402
from featurestore.testing.online.keys import KeyRules  # noqa: E402
from featurestore.testing.online.publishing import CompareRules, ReadRules, WriteRules  # noqa: E402
from featurestore.testing.online.races import RaceRules  # noqa: E402
from featurestore.testing.online.replacing import NamespaceRules, ReplaceRules  # noqa: E402

__all__ = ["OnlineStoreConformance"]


class OnlineStoreConformance(
    ReadRules,
    WriteRules,
    CompareRules,
    KeyRules,
    ReplaceRules,
    NamespaceRules,
    CompactRules,
    RaceRules,
    HistoryLaw,
):
    """Subclass once per store, with a fixture `store`."""
