"""Small catalogs for tests."""

from __future__ import annotations

from typing import Any

from featurestore.plan.catalog import (
    Catalog,
    FeatureRecord,
    Object,
    ParquetPlace,
    Projected,
    ServiceRecord,
    SourceRecord,
    ViewRecord,
)

WEATHER = SourceRecord(name="weather", place=ParquetPlace(path="weather.parquet"), event_timestamp="time_hour")


def feature(name: str, dtype: str = "Float64", **changes: Any) -> FeatureRecord:
    return FeatureRecord(**({"name": name, "dtype": dtype, "column": name, "stored": name} | changes))


def view(name: str = "origin_weather", *features: FeatureRecord, **changes: Any) -> ViewRecord:
    arguments: dict[str, Any] = {
        "entities": ("airport",),
        "keys": (("airport", "String"),),
        "source": WEATHER,
        "features": features or (feature("temp"), feature("wind")),
    }
    return ViewRecord(name=name, **(arguments | changes))


def service(name: str, *members: Projected) -> ServiceRecord:
    return ServiceRecord(name=name, members=members)


def projected(of: ViewRecord, *features: str, **aliases: str) -> Projected:
    keys = tuple((key, aliases.get(key, key)) for key, _ in of.keys)
    names = features or tuple(f.name for f in of.features)
    return Projected(view=of.name, features=names, keys=keys, prefix="_".join(aliases.values()))


def catalog(*records: Object, **versions: int) -> Catalog:
    kinds = {"ViewRecord": "view", "ServiceRecord": "service", "SourceRecord": "source", "OnDemandRecord": "on_demand",
             "EntityRecord": "entity"}  # fmt: skip
    return Catalog.of({(kinds[type(record).__name__], record.name): record for record in records}, versions)
