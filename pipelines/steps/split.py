"""Split: which rows of a dataset train, validate and test."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec
import polars as pl

from featurestore.dataset import Dataset
from featurestore.definitions import Split
from featurestore.errors import InputError
from featurestore.splitting import counts, places, split_by


class Divided(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows fell into each part; `sha256` is the digest of which row into which."""

    split: str
    rows: dict[str, int]
    sha256: str


@dataclass(frozen=True, slots=True)
class Parts:
    """The rows of each part, each in the dataset's order."""

    train: pl.DataFrame
    validation: pl.DataFrame
    test: pl.DataFrame


def split(dataset: Dataset, how: Split) -> tuple[Divided, Parts]:
    """Divide a dataset; raises InputError for a split that does not fit, or leaves no rows to train or to test on."""
    frame, manifest = dataset.to_polars(), dataset.manifest
    found = places(frame.to_arrow(), how, manifest.keys, manifest.timestamp)
    rows = dict(counts(found))
    for part in ("train", "test"):
        if not rows[part]:
            raise InputError(
                f"Split '{how}' of dataset {dataset.reference} ({dataset.rows:,} rows) leaves none to {part} on; give "
                "another split, or wait for more labels."
            )
    divided = Divided(split=str(how), rows=rows, sha256=hashlib.sha256(found.tobytes()).hexdigest())
    return divided, Parts(**split_by(frame, found))
