"""Splits: worked out by hand, the same in any order of rows, entities never torn apart."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore import EntitySplit, RandomSplit, TimeSplit
from featurestore.definitions.splits import Split, parse_split
from featurestore.errors import DefinitionError, InputError
from featurestore.splitting import PARTS, hashes, places, split_frame
from tests.store.projects import DAY, day

HOUR = timedelta(hours=1)
KEYS = ["customer"]
AT = "event_timestamp"


def _times(*instants: datetime | None) -> pl.DataFrame:
    return pl.DataFrame({AT: list(instants)}, schema={AT: pl.Datetime("us", "UTC")})


def _parts(frame: pl.DataFrame, split: Split) -> list[str | None]:
    return [PARTS[place] if place >= 0 else None for place in places(frame.to_arrow(), split, KEYS, AT)]


def test_time_splits_into_the_last_rows_and_leaves_the_gaps_out() -> None:
    frame = _times(day(20), day(1), day(18), day(17), day(16), day(14), day(13), None, day(12, 23))
    split = TimeSplit(validation=2 * DAY, test=3 * DAY, gap=DAY, end=day(21))
    # tests [18, 21), validates [15, 17), trains before 14
    assert _parts(frame, split) == [
        "test", "train", "test", None, "validation", None, "train", None, "train",
    ]  # fmt: skip


def test_without_an_end_the_last_row_is_the_last_to_test() -> None:
    frame = _times(day(10), day(9, 1), day(9), day(8))
    assert _parts(frame, TimeSplit(validation=timedelta(0), test=DAY)) == ["test", "test", "train", "train"]
    assert _parts(frame, TimeSplit(validation=DAY, test=timedelta(0), gap=12 * HOUR)) == [
        "validation", "validation", None, "train",
    ]  # fmt: skip


def test_a_row_whose_label_came_too_late_is_left_out() -> None:
    known = [day(16), day(15), day(14), day(12), day(11), None, day(21)]
    frame = _times(day(13), day(13), day(13), day(10), day(9), day(8), day(19)).with_columns(
        arrived=pl.Series(known, dtype=pl.Datetime("us", "UTC"))
    )
    split = TimeSplit(validation=3 * DAY, test=5 * DAY, end=day(20), known_at="arrived")
    # validates [12, 15), tests [15, 20): a label known at 15 was not known before
    assert _parts(frame, split) == [None, None, "validation", None, "train", None, None]


def test_a_label_known_before_validation_trains() -> None:
    frame = _times(day(10), day(10), day(13), day(19)).with_columns(
        arrived=pl.Series([day(11), day(12), day(14), day(20)], dtype=pl.Datetime("us", "UTC"))
    )
    split = TimeSplit(validation=3 * DAY, test=5 * DAY, end=day(20), known_at="arrived")
    assert _parts(frame, split) == ["train", None, "validation", "test"]


def test_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(InputError, match=r"leaves no row to train on: the first row stands at 2024-01-09T00:00:00Z"):
        _parts(_times(day(10), day(9)), TimeSplit(validation=DAY, test=DAY))
    assert _parts(_times(), TimeSplit(validation=DAY, test=DAY)) == []
    late = _times(day(10), day(1)).with_columns(arrived=pl.Series([day(10), day(10)], dtype=pl.Datetime("us", "UTC")))
    with pytest.raises(InputError, match=r"before 2024-01-09T00:00:00.000001Z train, when 'arrived' is before"):
        _parts(late, TimeSplit(validation=timedelta(0), test=DAY, known_at="arrived"))


FRAMES = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c", "ä", "", None]), st.integers(-(10**15), 10**15)), max_size=30
).map(
    lambda rows: pl.DataFrame(
        {
            "customer": [key for key, _ in rows],
            AT: [datetime(2020, 1, 1, tzinfo=UTC) + timedelta(microseconds=us) for _, us in rows],
        },
        schema={"customer": pl.String, AT: pl.Datetime("us", "UTC")},
    )
)
SPLITS = st.one_of(
    st.builds(EntitySplit, st.just("customer"), st.just((0.5, 0.2, 0.3)), st.integers(-5, 5)),
    st.builds(RandomSplit, st.just((0.5, 0.2, 0.3)), st.integers(-5, 5)),
)


@given(FRAMES, SPLITS, st.randoms(use_true_random=False))
def test_a_row_falls_into_its_part_in_any_order_and_among_any_others(
    frame: pl.DataFrame, split: Split, luck: object
) -> None:
    order = list(range(frame.height))
    luck.shuffle(order)  # type: ignore[attr-defined]  # random.Random
    shuffled = frame[order] if order else frame
    together = dict(zip(shuffled.rows(), _parts(shuffled, split), strict=True))
    assert _parts(frame, split) == [together[row] for row in frame.rows()]
    for row in frame.rows():
        alone = pl.DataFrame([row], schema=frame.schema, orient="row")
        assert _parts(alone, split) == [together[row]]


@given(FRAMES, st.integers())
def test_an_entity_is_never_in_two_parts_and_no_row_is_lost(frame: pl.DataFrame, seed: int) -> None:
    parts = split_frame(frame, EntitySplit("customer", seed=seed), KEYS, AT)
    owners = [set(part["customer"].to_list()) for part in parts.values()]
    assert owners[0].isdisjoint(owners[1] | owners[2])
    assert owners[1].isdisjoint(owners[2])
    assert sum(part.height for part in parts.values()) == frame.height


def test_fractions_are_met_and_seeds_differ() -> None:
    frame = pl.DataFrame({"customer": range(100_000)}).with_columns(pl.lit(day(1)).alias(AT))
    shares = {seed: _parts(frame, EntitySplit("customer", (0.7, 0.2, 0.1), seed)) for seed in (1, 2)}
    for parts in shares.values():
        assert [round(parts.count(part) / 100_000, 2) for part in PARTS] == [0.7, 0.2, 0.1]
    both = sum(one == other == "test" for one, other in zip(shares[1], shares[2], strict=True))
    assert 0.008 < both / 100_000 < 0.012  # independent: a tenth of a tenth


def test_a_part_of_no_fraction_is_empty() -> None:
    frame = pl.DataFrame({"customer": range(1_000)}).with_columns(pl.lit(day(1)).alias(AT))
    parts = split_frame(frame, EntitySplit("customer", (0.5, 0.5, 0)), KEYS, AT)
    assert (parts["test"].height, parts["train"].height + parts["validation"].height) == (0, 1_000)
    assert _parts(frame, RandomSplit((1, 0, 0))) == ["train"] * 1_000


def _splitmix(state: int) -> int:
    """SplitMix64 as published, on Python's integers."""
    z = (state + 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


def _blake(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


def test_the_oracle_gives_the_published_numbers() -> None:
    states = [(1234567 + n * 0x9E3779B97F4A7C15) % 2**64 for n in range(3)]
    assert [_splitmix(state) for state in states] == [
        6457827717110365317, 3203168211198807973, 9817491932198370423,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("column", "bits"),
    [
        (pa.array([0, -1]), [_splitmix(0), _splitmix(2**64 - 1)]),
        (pa.array(["a", "ä"]), [_blake(b"a"), _blake("ä".encode())]),
        (pa.array([b"a"]), [_blake(b"a")]),
        (pa.array([day(1)], pa.timestamp("us", tz="UTC")), [_splitmix(1704067200000000)]),
        (pa.array([day(1)], pa.timestamp("s", tz="Europe/Berlin")), [_splitmix(1704067200000000)]),
        (pa.array([date(1970, 1, 3)]), [_splitmix(2)]),
        (pa.array([True, False]), [_splitmix(1), _splitmix(0)]),
        (pa.array([0.1, -0.0]), [_blake(b"0.1"), _blake(b"0.0")]),
        (pa.array([Decimal("1.50")]), [_blake(b"Decimal('1.50')")]),
        (pa.array([[1, 2]]), [_blake(b"[1, 2]")]),
        (pa.array([None], pa.string()), [0x6E756C6C]),
        (pa.array([None], pa.int64()), [0x6E756C6C]),
    ],
)
def test_the_hash_is_the_same_on_every_machine_and_release(column: pa.Array, bits: list[int]) -> None:
    expected = [_splitmix(_splitmix(_splitmix(7) ^ bit) ^ bit) for bit in bits]
    chunked = pa.chunked_array([column])
    assert hashes([chunked, chunked], len(column), seed=7).tolist() == expected


@pytest.mark.parametrize("kind", ["int8", "int32", "uint16", "uint64"])
def test_the_width_of_a_key_does_not_matter(kind: str) -> None:
    wide = hashes([pa.chunked_array([pa.array([0, 7, None], pa.int64())])], 3, seed=1)
    narrow = hashes([pa.chunked_array([pa.array([0, 7, None], kind)])], 3, seed=1)
    assert np.array_equal(wide, narrow)


def test_the_layout_of_a_text_does_not_matter() -> None:
    texts = ["a", None, "b", "a"]
    layouts = [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
    found = [hashes([pa.chunked_array([pa.array(texts, layout)])], 4, 1).tolist() for layout in layouts]
    assert found == [found[0]] * 4


FORMS = st.one_of(
    st.builds(
        TimeSplit,
        validation=st.timedeltas(timedelta(0), 1000 * DAY),
        test=st.timedeltas(timedelta(microseconds=1), 1000 * DAY),
        gap=st.timedeltas(timedelta(0), DAY),
        end=st.none() | st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
        known_at=st.none() | st.text(min_size=1),
    ),
    st.builds(EntitySplit, st.lists(st.text(min_size=1), min_size=1), st.just((0.6, 0.3, 0.1)), st.integers()),
    st.builds(RandomSplit, st.sampled_from([(1, 0, 0), (0.8, 0.1, 0.1), (1 / 3, 1 / 3, 1 / 3)]), st.integers()),
)


@given(FORMS)
def test_a_split_is_read_back_from_its_text(split: Split) -> None:
    assert parse_split(str(split)) == split


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time:14d", "is no split; write one like these: time:14d,14d,gap=1d"),
        ("time:14d,soon", "'soon' is no duration"),
        ("time:0s,0s", "validation and test are both zero"),
        ("time:1d,1d,gab=1d", "is no split"),
        ("chance:0.5", "is no split"),
        ("random:0.8/0.1", "fractions must be those of train, validation and test, and add up to 1, got (0.8, 0.1)"),
        ("random:0.8/0.1/x", "'0.8/0.1/x' are no fractions"),
        ("random:0.8/0.1/0.1,seed=x", "'x' is no seed"),
        ("entity:,0.8/0.1/0.1", "keys is empty"),
        ("", "is no split"),
    ],
)
def test_a_text_that_means_no_split_is_one_sentence(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_split(text)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_wrong_declaration_is_refused_when_made() -> None:
    with pytest.raises(DefinitionError, match="validation must be zero or positive, got -1 day"):
        TimeSplit(validation=-DAY, test=DAY)
    with pytest.raises(DefinitionError, match="has no time zone"):
        TimeSplit(validation=DAY, test=DAY, end=datetime(2024, 1, 1))  # noqa: DTZ001
    with pytest.raises(DefinitionError, match="seed must be a whole number, got True"):
        RandomSplit(seed=True)


def test_a_column_that_is_missing_is_named() -> None:
    with pytest.raises(InputError, match=r"no column 'arrived'. Columns: event_timestamp"):
        _parts(_times(day(1)), TimeSplit(validation=DAY, test=DAY, known_at="arrived"))
