"""`featurestore init`."""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from featurestore.cli.output import JsonFlag, console, print_json
from featurestore.cli.templates import CONFIGURATION, DEFINITIONS, GITIGNORE, NEXT_STEPS
from featurestore.errors import InputError, OfflineStoreError

if TYPE_CHECKING:
    import polars as pl

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_CUSTOMERS = 20
_PURCHASES = 600
_DAYS = 30


def init(
    name: Annotated[str, typer.Argument(help="Name of the project and of its new folder.")],
    as_json: JsonFlag = False,
) -> None:
    """Make a small project that works at once. It has one view, one service, and data that ends now."""
    folder = Path(name)
    if not _NAME.fullmatch(folder.name):
        raise InputError(f"'{name}' is no name; use letters, digits, '-' and '_', and start with a letter.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists already and is not empty; choose another name, or remove it first.")
    try:
        files = _write_project(folder)
    except OSError as error:
        raise OfflineStoreError(f"{folder} cannot be written: {error.strerror or error}.") from error
    if as_json:
        print_json({"project": folder.name, "files": [str(file) for file in files]})
        return
    out = console()
    out.print(f"Made project [bold]{folder.name}[/]:")
    for file in files:
        out.print(f"  {file}")
    out.print(NEXT_STEPS.format(folder=folder), markup=False)


def _write_project(folder: Path) -> list[Path]:
    texts = {
        "featurestore.toml": CONFIGURATION.format(project=folder.name),
        "feature_defs/purchases.py": DEFINITIONS,
        ".gitignore": GITIGNORE,
    }
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    (folder / "data").mkdir(exist_ok=True)
    purchases = sample_purchases(datetime.now(UTC))
    purchases.write_parquet(folder / "data" / "purchases.parquet")
    _labels(purchases).write_parquet(folder / "data" / "labels.parquet")
    return [folder / path for path in (*texts, "data/purchases.parquet", "data/labels.parquet")]


def sample_purchases(now: datetime) -> pl.DataFrame:
    """Made-up purchases of the last 30 days, the last one a minute before `now`; the same ones every time."""
    import polars as pl

    dice = random.Random(7)
    span = timedelta(days=_DAYS)
    ages = sorted((dice.random() * span for _ in range(_PURCHASES - 1)), reverse=True)
    return pl.DataFrame(
        {
            "customer": [f"c{dice.randint(1, _CUSTOMERS):02}" for _ in range(_PURCHASES)],
            "bought_at": [now - age for age in [*ages, timedelta(minutes=1)]],
            "amount": [round(dice.lognormvariate(3, 0.8), 2) for _ in range(_PURCHASES)],
            "items": [dice.randint(1, 6) for _ in range(_PURCHASES)],
        },
        schema_overrides={"bought_at": pl.Datetime("us", "UTC")},
    )


def _labels(purchases: pl.DataFrame) -> pl.DataFrame:
    """A spine: of every fifth purchase the customer, an hour later, and whether another followed in a week."""
    import polars as pl

    week = timedelta(days=7)
    following = pl.col("bought_at").shift(-1).over("customer") - pl.col("bought_at")
    return (
        purchases.with_columns((following <= week).fill_null(value=False).alias("bought_again"))
        .filter(pl.col("bought_at") < pl.col("bought_at").max() - week)
        .gather_every(5)
        .select("customer", (pl.col("bought_at") + timedelta(hours=1)).alias("event_timestamp"), "bought_again")
    )
