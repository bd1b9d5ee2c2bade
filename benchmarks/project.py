"""Our own side: a project with its views materialized."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

from benchmarks.contest import REPOSITORY
from featurestore import FeatureStore
from featurestore.errors import FeatureStoreError

_SECONDS = "materialized_seconds"


def materialized(name: str, place: Path, end: datetime, threads: int) -> float:
    """Make the project of that name in `place`, next to its inputs; the seconds that materializing its views took.

    A project that is there is kept when the platform, as it is now, finds all its rows.
    """
    project = place / "project"
    if not _is_complete(project):
        shutil.rmtree(project, ignore_errors=True)
        shutil.copytree(REPOSITORY / "benchmarks" / "projects" / name, project)
        with (project / "featurestore.toml").open("a", encoding="utf-8") as configuration:
            configuration.write(f"[offline]\nthreads = {threads}\n")
        with FeatureStore(project) as store:
            store.apply()
            report = store.materialize(end)
        (project / _SECONDS).write_text(str(sum(view.seconds for view in report.views)), encoding="utf-8")
    return float((project / _SECONDS).read_text(encoding="utf-8"))


def _is_complete(project: Path) -> bool:
    if not (project / _SECONDS).exists():
        return False
    try:
        with FeatureStore(project) as store:
            return all(view.rows for view in store.status())
    except FeatureStoreError:  # an earlier form of the platform wrote it
        return False
