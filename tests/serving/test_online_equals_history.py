"""The law of a feature store through HTTP: what is served, in JSON and in Arrow, is what history says."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
from hypothesis import given, settings

from featurestore import Client
from featurestore.arrow import arrow_type
from featurestore.dtypes import DType, String, from_json, parse, to_json
from featurestore.plan.nodes import Column
from featurestore.store import FeatureStore
from featurestore.testing.engines.tables import ViewTable, array, assert_same
from featurestore.testing.engines.values import EXTREMES
from featurestore.testing.strategies import ViewCase
from featurestore.timeline import instant_us
from serving.exchange import ARROW
from tests.serving.servers import Asker, running, serving
from tests.store.lookups import Entities
from tests.store.projects import NOW, day, make_project
from tests.store.test_online_equals_offline import (
    Story,
    assert_lookups_equal_history,
    definitions,
    history,
    stories,
    write_rows,
)
from tests.store.test_windows_property import (
    Project,
    assert_online_is_history,
    materialize,
    opened,
    projects,
)

_EXAMPLES = settings.default.max_examples  # type: ignore[union-attr]  # a profile is loaded


class _Served:
    """Lookups over HTTP, in the columns of history."""

    def __init__(self, store: FeatureStore) -> None:
        self._ask: Asker = serving(store)
        catalog = store.catalog()
        self._types = {f.name: parse(f.dtype) for view in catalog.views.values() for f in view.outputs}

    def json(self, _: FeatureStore, features: Sequence[str], entities: Entities, at: datetime) -> pa.Table:
        return from_document(self._asked(features, entities, at).json(), self._types)

    def arrow(self, _: FeatureStore, features: Sequence[str], entities: Entities, at: datetime) -> pa.Table:
        answer = self._asked(features, entities, at, accept=ARROW.decode())
        table = pa.ipc.open_stream(answer.content).read_all()
        names = [name for feature in self._types for name in (feature, f"{feature}__status")]
        return table.select(names).replace_schema_metadata(None)

    def _asked(self, features: Sequence[str], entities: Entities, at: datetime, **headers: str) -> httpx.Response:
        answer = self._ask("POST", "/v1/features", json=question(features, entities, at), headers=headers)
        assert answer.status_code == 200, answer.text
        return answer


def question(features: Sequence[str], entities: Entities, at: datetime) -> dict[str, object]:
    """The body of a request."""
    rows = [{name: to_json(value) for name, value in row.items()} for row in entities]  # type: ignore[arg-type]  # values of keys
    return {"features": list(features), "entities": rows, "at": at.isoformat()}


def from_document(answer: Any, types: dict[str, DType]) -> pa.Table:
    """The features and statuses of an answer in JSON."""
    cells = {}
    for name, dtype in types.items():
        found = answer["features"][name]
        cells[name] = pa.array([from_json(dtype, value) for value in found["values"]], arrow_type(dtype))
        cells[f"{name}__status"] = pa.array(found["statuses"], pa.string())
    return pa.table(cells)


@settings(max_examples=_EXAMPLES // 5)
@given(stories())
def test_what_is_served_is_what_history_says(story: Story) -> None:
    with tempfile.TemporaryDirectory() as folder, make_project(Path(folder), definitions(story.view)) as store:
        write_rows(Path(folder), story.view)
        store.apply()
        for run in story.runs:
            run.of(store)
        served = _Served(store)
        assert_lookups_equal_history(store, story, served.json)
        assert_lookups_equal_history(store, story, served.arrow)


@settings(max_examples=_EXAMPLES // 10)
@given(projects())
def test_what_is_served_of_windows_is_what_history_says(project: Project) -> None:
    with opened(project) as store:
        for run, end in enumerate(project.ends):
            materialize(store, project, end, project.start if run == 0 else None)
        served, last = _Served(store), project.ends[-1]
        for look_up in (served.json, served.arrow):
            assert_online_is_history(store, [last, last + 1, last + 7], look_up)


def test_a_server_process_gives_the_extremes_of_every_type_back(tmp_path: Path) -> None:
    longest = max(len(values) for _, values in EXTREMES)
    keys = [f"k{place}" for place in range(longest + 1)]
    columns = tuple(Column(f"f{place}", dtype) for place, (dtype, _) in enumerate(EXTREMES))
    cells = {
        c.name: array([*v, *[None] * (len(keys) - len(v))], c.dtype)
        for c, (_, v) in zip(columns, EXTREMES, strict=True)
    }
    happened = [instant_us(day(2), "at")] * len(keys)
    table = ViewTable((Column("k", String),), columns, {"k": array(keys, String), **cells}, happened)
    view = ViewCase(table)
    with make_project(tmp_path, definitions(view)) as store:
        write_rows(tmp_path, view)
        store.apply()
        store.materialize(NOW)
        spine = pa.table({"k": [*keys, "nobody"], "t": [NOW] * (len(keys) + 1)})
        expected = history(store, spine)
    entities = [{"k": key} for key in (*keys, "nobody")]
    with running(tmp_path) as server:
        answer = server.features(**question(["view:*"], entities, NOW))
        with Client(server.url) as client:
            served = client.get_online_features(["view:*"], entities, at=NOW)
    assert_same(from_document(answer.json(), {column.name: column.dtype for column in columns}), expected)
    names = [column.name for column in columns]
    assert_same(served.to_arrow().select(names), expected.select(names))
