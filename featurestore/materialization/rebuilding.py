"""Filling the online store again from what is committed offline, after it was emptied or has lost records."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from featurestore.errors import FeatureStoreError
from featurestore.materialization.runner import Materializer
from featurestore.plan.views import table_name
from featurestore.registry.base import ViewVersion


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """One version of a view: the records published, None when nothing of it is committed; or what stopped it."""

    view: str
    version: int
    records: int | None
    seconds: float
    error: FeatureStoreError | None = None


def rebuild_versions(versions: Sequence[ViewVersion], materializer: Materializer) -> Iterator[Rebuilt]:
    """Publish each version anew as it is committed, in order; what stops one leaves the others running.

    Readers see the records that are there until the new ones are counted and switched to.
    """
    for version in versions:
        began = time.monotonic()
        records, error = None, None
        try:
            name = table_name(version.record)
            with materializer.tables.lease(name, materializer.lease_wait_s):
                snapshot = materializer.tables.snapshot(name)
                if snapshot is not None:
                    records = materializer.publisher.publish(version.record, snapshot, anew=True)
        except FeatureStoreError as failure:
            error = failure
        yield Rebuilt(version.view, version.version, records, time.monotonic() - began, error)
