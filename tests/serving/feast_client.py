"""Asks our server with Feast's own client, as it comes from PyPI; prints what it was told. Run by Feast's interpreter.

Arguments: the server's URL, and a folder for the client's project. The project declares views and services of the names
that the server has, and no more: that is all a user of Feast's `remote` online store writes.
"""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path

import feast  # type: ignore[import-not-found]  # Feast lives in an environment of its own
from feast import types
from feast.value_type import ValueType  # type: ignore[import-not-found]

_CONFIGURATION = """\
project: shop
provider: local
registry: registry.db
offline_store: {{type: dask}}
online_store: {{type: remote, path: "{url}"}}
entity_key_serialization_version: 3
"""


def client(url: str, folder: Path) -> feast.FeatureStore:
    """Feast's store, with the shop's views declared."""
    (folder / "feature_store.yaml").write_text(_CONFIGURATION.format(url=url), encoding="utf-8")
    customer = feast.Entity(name="customer", join_keys=["customer"], value_type=ValueType.STRING)
    source = feast.FileSource(path=str(folder / "nothing.parquet"), timestamp_field="at")
    last = feast.FeatureView(
        name="last",
        entities=[customer],
        schema=[
            feast.Field(name="customer", dtype=types.String),
            feast.Field(name="amount", dtype=types.Float64),
            feast.Field(name="items", dtype=types.Int64),
            feast.Field(name="member", dtype=types.Bool),
            feast.Field(name="seen", dtype=types.UnixTimestamp),
            feast.Field(name="tags", dtype=types.Array(types.String)),
        ],
        source=source,
        ttl=timedelta(0),
    )
    store = feast.FeatureStore(repo_path=str(folder))
    store.apply([customer, last, feast.FeatureService(name="buyer", features=[last])])
    return store


def main() -> None:
    """Ask by features and by service, and read one view as the provider does."""
    store = client(sys.argv[1], Path(sys.argv[2]))
    rows = [{"customer": "a"}, {"customer": "b"}, {"customer": "nobody"}]
    names = ["last:amount", "last:items", "last:member", "last:tags"]
    view = store.get_feature_view("last")
    keys = [feast.protos.feast.types.EntityKey_pb2.EntityKey(
        join_keys=["customer"], entity_values=[feast.protos.feast.types.Value_pb2.Value(string_val=row["customer"])]
    ) for row in rows]  # fmt: skip
    read = store._get_provider().online_read(store.config, view, keys, ["amount", "items", "seen"])
    told = {
        "features": store.get_online_features(features=names, entity_rows=rows).to_dict(),
        "full_names": store.get_online_features(
            features=names[:1], entity_rows=rows[:1], full_feature_names=True
        ).to_dict(),
        "service": store.get_online_features(features=store.get_feature_service("buyer"), entity_rows=rows).to_dict(),
        "read": [{name: _scalar(value) for name, value in (values or {}).items()} for _, values in read],
    }
    print(json.dumps(told))


def _scalar(value: object) -> object:
    kind = value.WhichOneof("val")  # type: ignore[attr-defined]  # a protobuf message
    return None if kind is None else [kind, getattr(value, kind)]


if __name__ == "__main__":
    main()
