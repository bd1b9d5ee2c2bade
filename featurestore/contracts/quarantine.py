"""The quarantine: what gates refused, with the reasons, and what people released from it.

A directory with one Parquet file per refusal: the refused rows as they were, a column `__reasons`, and everything
else in the file's metadata. A release is a small JSON file beside it. Files appear whole or not at all, and are named
by their content, so a refusal seen again is the entry that is there.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from featurestore.contracts.gate import content_columns
from featurestore.contracts.verdict import Outcome, Policy, Reason, Verdict
from featurestore.contracts.waiver import Waiver, row_digests
from featurestore.errors import InputError, OfflineStoreError, UnknownNameError
from featurestore.files import write_whole

_METADATA = b"featurestore.quarantine"
_ID = re.compile(r"[0-9a-f]{16}")
_ID_LENGTH = 16

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Entry:
    """One refusal: a chunk of `rows` rows of which `refused_rows` lie in the quarantine, with the reasons.

    `at_us` is when it was first seen; `waiver` is its release, None while nobody let it through.
    """

    id: str
    view: str
    table: str
    start_us: int | None
    end_us: int | None
    policy: Policy
    outcome: Outcome
    contract: str | None
    chunk: str | None
    rows: int
    refused_rows: int
    reasons: tuple[Reason, ...]
    at_us: int
    waiver: Waiver | None = None


class Quarantine:
    """The refusals of a project in one directory, which is made when the first arrives.

    Safe with several writers: every file is written beside its place, synced and renamed. Raises OfflineStoreError
    when the directory or a file cannot be read or written.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def keep(self, verdict: Verdict, at_us: int) -> Entry:
        """The entry of a verdict that refused or dropped rows; the one that is there when it was seen before."""
        if verdict.outcome is Outcome.PASSED:
            raise InputError(f"Nothing to quarantine: {verdict.summary}")
        entry = _entry(verdict, at_us)
        path = self._rows_path(entry.id)
        if path.exists():
            try:
                return self._read(path)
            except OfflineStoreError:
                pass  # broken since: its content is at hand, and is its name
        metadata = {**(verdict.refused.schema.metadata or {}), _METADATA: msgspec.json.encode(entry)}
        rows = verdict.refused.replace_schema_metadata(metadata)
        self._write(path, lambda file: pq.write_table(rows, file))
        return dataclasses.replace(entry, waiver=self._waiver(entry.id))

    def list(self) -> tuple[Entry, ...]:
        """All entries, the oldest first."""
        entries = (self._read(path) for path in self._directory.glob("*.parquet"))
        return tuple(sorted(entries, key=lambda entry: (entry.at_us, entry.id)))

    def show(self, entry_id: str) -> tuple[Entry, pa.Table]:
        """An entry and its rows with their `__reasons`; raises UnknownNameError when there is none."""
        path = self._rows_path(entry_id)
        if not (_ID.fullmatch(entry_id) and path.exists()):
            raise UnknownNameError("quarantine entry", entry_id, (entry.id for entry in self.list()))
        entry = self._read(path)
        return entry, _readable(path, lambda: pq.ParquetFile(path).read())

    def release(self, entry_id: str, actor: str, reason: str, at_us: int) -> Waiver:
        """The waiver that lets an entry through: its rows wherever the view meets them, its checks for its interval.

        The next materialization of the interval takes them in. A waiver holds under the contract that refused; the
        first release of an entry stands. Raises InputError without actor or reason, and when nothing in the entry can
        be let through: a row without key or event time, or of another type, fits nowhere.
        """
        entry, rows = self.show(entry_id)
        if entry.waiver is not None:
            return entry.waiver
        if not (actor.strip() and reason.strip()):
            raise InputError(f"Quarantine entry {entry_id}: a release needs who lets it through, and why.")
        if entry.contract is None or not any(found.waivable for found in entry.reasons):
            raise InputError(
                f"Quarantine entry {entry_id} of view '{entry.view}' cannot be released: "
                f'{"; ".join(map(str, entry.reasons))}. Correct the source, or declare on_refusal="drop" on the view.'
            )
        columns = content_columns(rows)
        waiver = Waiver(
            entry=entry_id,
            view=entry.view,
            contract=entry.contract,
            start_us=entry.start_us,
            end_us=entry.end_us,
            chunk=entry.chunk,
            columns=columns,
            rows=frozenset(row_digests(rows, columns)),
            checks=frozenset(found.name for found in entry.reasons if found.waivable and not found.row_wise),
            actor=actor.strip(),
            reason=reason.strip(),
            released_us=at_us,
        )
        self._write(
            self._waiver_path(entry_id), lambda file: file.write(msgspec.json.encode(waiver, order="deterministic"))
        )
        return waiver

    def rewrite(self, entry: Entry, rows: pa.Table) -> None:
        """Leave these of an entry's rows, and no examples in its reasons; without rows the entry and its release go."""
        if not rows.num_rows:
            self.remove(entry.id)
            return
        path = self._rows_path(entry.id)
        reasons = tuple(dataclasses.replace(reason, example=None) for reason in entry.reasons)
        told = dataclasses.replace(entry, refused_rows=rows.num_rows, reasons=reasons, waiver=None)
        metadata = {**(rows.schema.metadata or {}), _METADATA: msgspec.json.encode(told)}
        described = rows.replace_schema_metadata(metadata)
        self._write(path, lambda file: pq.write_table(described, file))

    def remove(self, entry_id: str) -> None:
        """Remove an entry and its release."""
        self._rows_path(entry_id).unlink(missing_ok=True)
        self._waiver_path(entry_id).unlink(missing_ok=True)

    def waivers(self, view: str) -> tuple[Waiver, ...]:
        """All releases for a view, the oldest first: what `Gate.check` takes."""
        found = (self._waiver(path.name.partition(".")[0]) for path in self._directory.glob("*.waiver.json"))
        mine = [waiver for waiver in found if waiver is not None and waiver.view == view]
        return tuple(sorted(mine, key=lambda waiver: (waiver.released_us, waiver.entry)))

    def _rows_path(self, entry_id: str) -> Path:
        return self._directory / f"{entry_id}.parquet"

    def _waiver_path(self, entry_id: str) -> Path:
        return self._directory / f"{entry_id}.waiver.json"

    def _read(self, path: Path) -> Entry:
        metadata = _readable(path, lambda: pq.read_schema(path).metadata[_METADATA])
        entry = _readable(path, lambda: msgspec.json.decode(metadata, type=Entry))
        return dataclasses.replace(entry, waiver=self._waiver(entry.id))

    def _waiver(self, entry_id: str) -> Waiver | None:
        path = self._waiver_path(entry_id)
        if not path.exists():
            return None
        return _readable(path, lambda: msgspec.json.decode(path.read_bytes(), type=Waiver))

    def _write(self, path: Path, write: Callable[[IO[bytes]], Any]) -> None:
        """Write a file so that it is there whole or not at all, even when the machine stops."""
        try:
            write_whole(path, write)
        except OSError as error:
            raise OfflineStoreError(f"Quarantine file {path} cannot be written: {error}.") from error


def _readable(path: Path, read: Callable[[], Found]) -> Found:
    try:
        return read()
    except (OSError, pa.ArrowException, KeyError, TypeError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise OfflineStoreError(
            f"Quarantine file {path} cannot be read: {error}. Move it away and materialize again: what is refused is "
            "written anew, and what was released has to be released again."
        ) from error


def _entry(verdict: Verdict, at_us: int) -> Entry:
    """The entry of a verdict; its id is a digest of what was refused, where and why, not of when."""
    occasion = verdict.occasion
    where = [verdict.view, occasion.start_us, occasion.end_us, verdict.chunk]
    why = [verdict.contract, verdict.policy, verdict.outcome, [reason.name for reason in verdict.reasons]]
    what = sorted(row_digests(verdict.refused, content_columns(verdict.refused)))
    return Entry(
        id=hashlib.sha256(msgspec.json.encode([where, why, what])).hexdigest()[:_ID_LENGTH],
        view=verdict.view,
        table=occasion.table,
        start_us=occasion.start_us,
        end_us=occasion.end_us,
        policy=verdict.policy,
        outcome=verdict.outcome,
        contract=verdict.contract,
        chunk=verdict.chunk,
        rows=verdict.rows,
        refused_rows=verdict.refused_rows,
        reasons=verdict.reasons,
        at_us=at_us,
    )
