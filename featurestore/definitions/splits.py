"""How rows are divided into train, validation and test: by time, by entity, or at random with a seed.

Each has a text form, which the command line takes and a saved dataset records: `time:14d,14d,gap=1d`,
`entity:carrier/origin,0.8/0.1/0.1,seed=7`, `random:0.8/0.1/0.1,seed=7`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import datetime, timedelta
from urllib.parse import quote, unquote

from featurestore.definitions.faults import Faults
from featurestore.errors import DefinitionError, InputError
from featurestore.timeline import (
    duration_us,
    format_duration,
    format_instant,
    instant_us,
    parse_duration,
    parse_instant,
)

_FORMS = "time:14d,14d,gap=1d; entity:carrier,0.8/0.1/0.1,seed=7; random:0.8/0.1/0.1,seed=7"
_NONE = timedelta(0)
_USUAL = (0.8, 0.1, 0.1)


@dataclass(frozen=True, slots=True)
class TimeSplit:
    """The last `test` before `end` tests, `validation` before that validates, all before trains; rows in a gap do not.

    `end` is excluded; without it, it stands just after the last row. Each part ends `gap` before the next one begins.
    `known_at` names a column of instants at which each row's label became known: a row is left out unless its label was
    known before the next part begins, and before the end when one is given. Rows without instant are left out.
    """

    _: KW_ONLY
    validation: timedelta
    test: timedelta
    gap: timedelta = _NONE
    end: datetime | None = None
    known_at: str | None = None

    def __post_init__(self) -> None:
        faults = Faults("TimeSplit")
        for what in ("validation", "test", "gap"):
            faults.duration(getattr(self, what), what, zero=True)
        faults.add_if(self.validation == self.test == _NONE, "validation and test are both zero; give one a length.")
        if self.end is not None:
            try:
                instant_us(self.end, "end")
            except InputError as error:
                faults.add(str(error))
        faults.add_if(self.known_at == "", "known_at is empty; name a column of instants, or leave it out.")
        faults.done()

    def __str__(self) -> str:
        parts = [format_duration(duration_us(self.validation)), format_duration(duration_us(self.test))]
        if self.gap:
            parts.append(f"gap={format_duration(duration_us(self.gap))}")
        if self.end is not None:
            parts.append(f"end={format_instant(instant_us(self.end, 'end'))}")
        if self.known_at is not None:
            parts.append(f"known_at={_escaped(self.known_at)}")
        return f"time:{','.join(parts)}"


@dataclass(frozen=True, slots=True)
class EntitySplit:
    """All rows with equal values of the `keys` columns fall into one part; `fractions` of the entities into each part.

    Decided by a hash of the key's values and the seed: the same on every machine, in any order of rows, whatever other
    entities there are. So the fractions are met in expectation, not exactly.
    """

    keys: Sequence[str]
    fractions: Sequence[float] = _USUAL
    seed: int = 0

    def __post_init__(self) -> None:
        faults = Faults("EntitySplit")
        object.__setattr__(self, "keys", (self.keys,) if isinstance(self.keys, str) else tuple(self.keys))
        faults.add_if(not self.keys or "" in self.keys, "keys is empty; name the columns that tell entities apart.")
        _check_shares(self, faults)

    def __str__(self) -> str:
        return f"entity:{'/'.join(map(_escaped, self.keys))},{_shares(self.fractions)},seed={self.seed}"


@dataclass(frozen=True, slots=True)
class RandomSplit:
    """`fractions` of the rows train, validate and test; rows with equal keys and instant stay together.

    Decided by a hash of the row's join keys and instant and the seed: the same on every machine and in any order of
    rows, whatever other rows there are. So the fractions are met in expectation, not exactly.
    """

    fractions: Sequence[float] = _USUAL
    seed: int = 0

    def __post_init__(self) -> None:
        _check_shares(self, Faults("RandomSplit"))

    def __str__(self) -> str:
        return f"random:{_shares(self.fractions)},seed={self.seed}"


Split = TimeSplit | EntitySplit | RandomSplit


def parse_split(text: str) -> Split:
    """The split that a text form means; raises InputError for any other text."""
    kind, _, rest = text.partition(":")
    first, *parts = rest.split(",")
    named = dict(part.split("=", 1) for part in parts if "=" in part)
    plain = [part for part in parts if "=" not in part]
    try:
        match kind, plain:
            case "time", [test] if named.keys() <= {"gap", "end", "known_at"}:
                return TimeSplit(
                    validation=_length(first),
                    test=_length(test),
                    gap=_length(named.get("gap", "0s")),
                    end=parse_instant(named["end"]) if "end" in named else None,
                    known_at=unquote(named["known_at"]) if "known_at" in named else None,
                )
            case "entity", [] | [_] if named.keys() <= {"seed"}:
                keys = tuple(unquote(key) for key in first.split("/"))
                shares = _fractions(plain[0]) if plain else _USUAL
                return EntitySplit(keys, shares, _seed(named))
            case "random", [] if named.keys() <= {"seed"}:
                return RandomSplit(_fractions(first), _seed(named))
    except DefinitionError as error:
        raise InputError(f"Split '{text}': {error.faults[0].message}") from error
    raise InputError(f"'{text}' is no split; write one like these: {_FORMS}.")


def _check_shares(split: EntitySplit | RandomSplit, faults: Faults) -> None:
    given = split.fractions
    fractions = tuple(given) if isinstance(given, Sequence) else ()
    numbers = len(fractions) == 3 and all(isinstance(part, int | float) for part in fractions)
    right = numbers and min(fractions) >= 0 and fractions[0] > 0 and abs(sum(fractions) - 1) < 1e-9
    faults.add_if(not right, f"fractions must be those of train, validation and test, and add up to 1, got {given!r}.")
    faults.add_if(type(split.seed) is not int, f"seed must be a whole number, got {split.seed!r}.")
    object.__setattr__(split, "fractions", tuple(map(float, fractions)) if right else fractions)
    faults.done()


def _shares(fractions: Sequence[float]) -> str:
    return "/".join(map(repr, fractions))


def _escaped(column: str) -> str:
    return quote(column, safe=" ")


def _length(text: str) -> timedelta:
    return _NONE if text == "0s" else parse_duration(text)


def _fractions(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split("/"))
    except ValueError as error:
        raise InputError(f"'{text}' are no fractions; write three that add up to 1, such as 0.8/0.1/0.1.") from error


def _seed(named: dict[str, str]) -> int:
    text = named.get("seed", "0")
    if not text.removeprefix("-").isdecimal():
        raise InputError(f"'{text}' is no seed; write a whole number.")
    return int(text)
