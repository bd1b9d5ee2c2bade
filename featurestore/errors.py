"""Every error a user can meet, in one tree.

FeatureStoreError
├── DefinitionError          a declaration is wrong (all faults of a set of files at once)
├── ConfigurationError       featurestore.toml or its environment is wrong
├── UnknownNameError         a feature, view, service, source, dataset ... that does not exist
├── NotServingError          a service, view or feature that is applied and waits for a new version of a view
├── InputError               what a caller handed in is wrong (spine, entities, instants, SQL)
│   └── TooFewRowsError      there are no rows, or too few, to learn from yet
├── SourceError              a source cannot be read, or does not look as declared
├── GateRefused              a contract or another gate said no (exit code 1)
├── PipelineError            a step of a training pipeline cannot be done
│   └── ModelFileError       a stored model is not the file that was registered, or holds what is not trusted
├── MaterializationError     an interval that cannot be materialized as asked
├── RegistryError            the registry cannot be read or written
│   └── ConflictError        somebody else changed it since it was planned
├── OfflineStoreError        the offline tables cannot be read or written
│   ├── NotCommittedError    nothing was committed yet at that instant
│   └── VersionGoneError     a version of a table whose files were removed since
├── OnlineStoreError         the online store cannot be read or written
│   ├── NotPublishedError    nothing was published for that view, or not for that instant
│   └── RecordsLostError     the online store has lost what was published there
└── ServerError              a feature server answered with an error of its own
    ├── AccessRefusedError       no key, a wrong one, or one without the scope
    └── ServerUnavailableError   no answer in time; try again

A message says what, where, what was found, and the remedy.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar


class FeatureStoreError(Exception):
    """Root of the tree; `exit_code` is what the command line ends with (1 refused by a gate, 2 wrong input)."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong in a declaration; `file` and `line` say where it was declared."""

    message: str
    file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        line = "" if self.line is None else f":{self.line}"
        where = f"{self.file}{line}: " if self.file else ""
        return f"{where}{self.message}"


class DefinitionError(FeatureStoreError):
    """Declarations are wrong; `faults` holds every fault found, not only the first."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class ConfigurationError(FeatureStoreError):
    """The configuration file, or a variable that overrides it, is missing or wrong."""


class UnknownNameError(FeatureStoreError):
    """A name that does not exist; `available` lists those that do, close ones first."""

    def __init__(self, kind: str, name: str, available: Iterable[str], where: str = "") -> None:
        self.kind = kind
        self.name = name
        self.available = closest_first(name, available)
        declared = "; run `featurestore apply` if it is declared" if kind in ("service", "view") else ""
        listing = ", ".join(self.available[:10]) or f"none{declared}"
        more = f" and {len(self.available) - 10} more" if len(self.available) > 10 else ""
        place = f" in {where}" if where else ""
        super().__init__(f"There is no {kind} '{name}'{place}. Available: {listing}{more}.")


class NotServingError(FeatureStoreError):
    """What was asked for is applied, and waits for a new version of a view to be built."""


class InputError(FeatureStoreError):
    """What a caller handed in is wrong: a spine, entities, request data, an instant, a query."""


class TooFewRowsError(InputError):
    """There are no rows, or too few, to learn from yet: more have to come, or less has to be asked for."""


class SourceError(FeatureStoreError):
    """A source is missing, unreadable, or does not have the declared columns and types."""


class GateRefused(FeatureStoreError):
    """A gate refused to publish; what was live stays live."""

    exit_code = 1


class PipelineError(FeatureStoreError):
    """A step of a training pipeline cannot be done: the estimator does not fit, or gives what is no score."""


class ModelFileError(PipelineError):
    """A stored model is gone, is not the file that was registered, or holds types that are not trusted.

    `altered`: the file is there, and its content is another one.
    """

    def __init__(self, message: str, *, altered: bool = False) -> None:
        self.altered = altered
        super().__init__(message)


class MaterializationError(FeatureStoreError):
    """An interval cannot be materialized as asked."""


class RegistryError(FeatureStoreError):
    """The registry cannot be read or written."""


class ConflictError(RegistryError):
    """The registry changed after the plan was made; plan again."""


class OfflineStoreError(FeatureStoreError):
    """The offline tables cannot be read or written."""


class NotCommittedError(OfflineStoreError):
    """Nothing was committed yet at the instant asked for; the first commit came at `since_us`."""

    def __init__(self, message: str, since_us: int) -> None:
        self.since_us = since_us
        super().__init__(message)


class VersionGoneError(OfflineStoreError):
    """A version of an offline table was there and is no more: its files were swept, erased, or the table dropped."""


class OnlineStoreError(FeatureStoreError):
    """The online store cannot be read or written."""


class NotPublishedError(OnlineStoreError):
    """Nothing is published online for that view, or not for the instant asked for.

    `since_us` is the first instant that can be asked for, None when nothing was published.
    """

    def __init__(self, message: str, since_us: int | None = None) -> None:
        self.since_us = since_us
        super().__init__(message)


class RecordsLostError(OnlineStoreError):
    """The online store has lost a part of what was published; `featurestore online rebuild` fills it again."""


def closest_first(name: str, available: Iterable[str]) -> tuple[str, ...]:
    """The available names, those most like `name` first, the rest in alphabetical order."""
    names = sorted(set(available))
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return (*close, *(n for n in names if n not in close))


class ServerError(FeatureStoreError):
    """A feature server answered with an error of its own, or with what is no answer."""


class AccessRefusedError(ServerError):
    """The key is missing, unknown, expired or revoked, or lacks what the call needs."""


class ServerUnavailableError(ServerError):
    """The feature server does not answer in time, or asks to come again."""


E = TypeVar("E", bound=FeatureStoreError)


def told(kind: type[E], message: str) -> E:
    """An error of that type as another process told it: its message, without the attributes of where it arose."""
    error = kind.__new__(kind)
    error.args = (message,)
    return error
