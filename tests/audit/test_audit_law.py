"""The law of the audit: whatever a healthy store serves, and whenever it publishes, no cell differs from history."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings

from featurestore.errors import NotPublishedError
from featurestore.testing.engines.tables import source_columns
from featurestore.timeline import to_datetime
from tests.store.projects import make_project, open_project
from tests.store.test_online_equals_offline import Story, definitions, stories

SERVICE = '\nservice = FeatureService("service", features=[view])\n'
SAMPLED = "\n[audit]\nsample = 1.0\n"


@given(story=stories())
@settings(max_examples=settings().max_examples // 3)
def test_a_healthy_store_has_no_difference(story: Story) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_project(root, definitions(story.view) + SERVICE).close()
        (root / "featurestore.toml").write_text('project = "shop"\n' + SAMPLED)
        pq.write_table(pa.table(source_columns(story.view.table)), root / "data" / "rows.parquet")
        with open_project(root) as store:
            store.apply()
            entities = story.keys.to_pylist() if story.view.table.keys else [{}]
            asked = 0
            for run in story.runs:
                run.of(store)
                for at_us in story.edges_us[::3]:
                    try:
                        store.get_online_features("service", entities, at=to_datetime(at_us))
                    except NotPublishedError:
                        continue
                    asked += len(entities)
            report = store.audit("service")
            assert (report.vectors, report.audited, report.differences) == (asked, asked, 0), report.features
