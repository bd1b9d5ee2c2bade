"""The rules that every offline engine must hold, as a suite. An engine's test is one subclass with one fixture:

    class TestMyEngine(OfflineEngineConformance):
        @pytest.fixture
        def engine(self) -> Iterator[OfflineEngine]:
            engine = MyEngine()
            yield engine
            engine.close()

Every rule is a tiny table worked out by hand. `featurestore.testing.agreement` adds the laws, over random tables.
"""

from __future__ import annotations

import pytest

_PARTS = (
    "keys", "markers", "materialization", "partial", "point_in_time", "ranges", "source_faults", "sources", "spines",
    "sql", "suite", "tables", "values", "window_functions", "window_sources", "window_steps", "windows",
)  # fmt: skip
# They are no test modules by name, so pytest must be told to explain their assertions.
pytest.register_assert_rewrite(*(f"{__name__}.{part}" for part in _PARTS))

from featurestore.testing.engines.keys import KeyRules  # noqa: E402  after the line above
from featurestore.testing.engines.markers import (  # noqa: E402
    CurrentMarkerRules,
    EventMarkerRules,
    KnownMarkerRules,
    MarkerRules,
    MarkerStartRules,
)
from featurestore.testing.engines.materialization import CurrentRules, ExtractRules  # noqa: E402
from featurestore.testing.engines.partial import (  # noqa: E402
    ExcludingRules,
    OnlyRules,
    OnlyWindowsRules,
    OriginRules,
    PushedRules,
)
from featurestore.testing.engines.point_in_time import JoinRules, PointInTimeRules, TieRules  # noqa: E402
from featurestore.testing.engines.ranges import RangeRules, WindowRangeRules  # noqa: E402
from featurestore.testing.engines.source_faults import SourceFaultRules  # noqa: E402
from featurestore.testing.engines.sources import FileRules, FrameRules, QueryRules  # noqa: E402
from featurestore.testing.engines.spines import InstantRules, SpineOriginRules, SpineRules  # noqa: E402
from featurestore.testing.engines.sql import DescriptionRules, SqlRules  # noqa: E402
from featurestore.testing.engines.values import DeclaredTypeRules, ValueRules  # noqa: E402
from featurestore.testing.engines.window_functions import WindowFunctionRules  # noqa: E402
from featurestore.testing.engines.window_sources import (  # noqa: E402
    EventIdRules,
    KnownEventRules,
    WindowJoinRules,
    WindowStartRules,
)
from featurestore.testing.engines.window_steps import (  # noqa: E402
    ChangedStepsRules,
    CurrentWindowsRules,
    ViewStepsRules,
)
from featurestore.testing.engines.windows import MaskRules, WindowRules, WindowStatusRules  # noqa: E402

__all__ = ["OfflineEngineConformance"]


class OfflineEngineConformance(
    PointInTimeRules,
    TieRules,
    JoinRules,
    KeyRules,
    SpineRules,
    InstantRules,
    SpineOriginRules,
    ValueRules,
    DeclaredTypeRules,
    FileRules,
    FrameRules,
    QueryRules,
    SourceFaultRules,
    ExtractRules,
    CurrentRules,
    MarkerRules,
    KnownMarkerRules,
    MarkerStartRules,
    CurrentMarkerRules,
    EventMarkerRules,
    DescriptionRules,
    SqlRules,
    WindowRules,
    WindowStatusRules,
    MaskRules,
    EventIdRules,
    KnownEventRules,
    WindowStartRules,
    WindowJoinRules,
    WindowFunctionRules,
    CurrentWindowsRules,
    ChangedStepsRules,
    ViewStepsRules,
    OnlyRules,
    OnlyWindowsRules,
    ExcludingRules,
    OriginRules,
    PushedRules,
    RangeRules,
    WindowRangeRules,
):
    """Subclass once per engine, with a fixture `engine`."""
