"""The log of served vectors, and of what models made of them: a note per request, written by a thread of its own.

Whether a request is logged is decided by its id, a random number drawn for it: those below the sampled share of all
numbers are. The note goes to a buffer of bounded size; when that is full the vectors are dropped and counted, and the
count stands in the next file. Serving never waits for a disk, and an error of the log is no error of serving.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from random import getrandbits
from typing import Any, NamedTuple

import pyarrow as pa

from featurestore.audit.records import SCORE, Definitions, FileFacts, LogFiles, vector_schema
from featurestore.errors import FeatureStoreError
from featurestore.online.result import OnlineFeatures
from featurestore.plan.catalog import Catalog
from featurestore.plan.lookup import LookupPlan
from featurestore.timeline import Clock, Status, present_us

log = logging.getLogger(__name__)
_ID_BITS = 64
_STATUS_NAMES = [status.name for status in Status]


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Where the log lies, the share of requests that is logged, the most vectors in memory, seconds between writes."""

    folder: Path
    sample: float
    buffer_rows: int
    flush_seconds: float


class Note(NamedTuple):
    """One logged request; answer and request are copies, for the caller may change what he was given.

    `scores` are what a model made of each of its vectors.
    """

    id: int
    served_us: int
    answer: OnlineFeatures
    request: list[list[object]]
    scores: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class Scorer:
    """The version of a model that scores vectors."""

    model: str
    version: int


class VectorLog:
    """The log of one store; flushed when it is closed, and at the end of the process.

    What a process has not written yet is lost when it is killed, and is the parent's own after a fork.
    """

    def __init__(self, settings: LogSettings, now_us: Clock = present_us) -> None:
        self.writer = _Writer(settings)
        self.now_us = now_us
        weakref.finalize(self, self.writer.close)

    def of(self, plan: LookupPlan, service: str, catalog: Catalog, scorer: Scorer | None = None) -> ServiceLog:
        """What logs the answers of a service's plan, as a catalog has it, with the scores of a model."""
        return ServiceLog(self, plan, Definitions.of(service, catalog), scorer)

    def flush(self) -> None:
        """Write what is in the buffer."""
        self.writer.flush()

    def close(self) -> None:
        """Write what is in the buffer and end the thread; a later note begins a new one."""
        self.writer.close()


class ServiceLog:
    """Logs the answers of one plan; safe for threads."""

    __slots__ = (
        "_now_us", "_put", "_request", "_threshold", "definitions", "dropped", "owner", "schema", "scorer", "views",
    )  # fmt: skip

    def __init__(self, log: VectorLog, plan: LookupPlan, definitions: Definitions, scorer: Scorer | None) -> None:
        self.definitions = definitions
        self.scorer = scorer
        self.schema = vector_schema(plan) if scorer is None else vector_schema(plan).append(SCORE)
        self.views = [view.reference for view in plan.views]
        self.dropped = 0  # vectors since the last file; guarded by the writer's lock
        self.owner = log  # which stays open while it is in use
        self._now_us = log.now_us
        self._put = log.writer.put
        self._request = [name for name, _ in plan.request]
        self._threshold = round(log.writer.settings.sample * 2**_ID_BITS)

    def __call__(self, answer: OnlineFeatures, request: Sequence[Mapping[str, object]] | None) -> None:
        """Log an answer, or not, as its id falls."""
        self.log(new_id(), answer, request)

    def log(
        self,
        number: int,
        answer: OnlineFeatures,
        request: Sequence[Mapping[str, object]] | None,
        scores: Sequence[float] = (),
    ) -> bool:
        """Log an answer, or not, as its id falls; whether it will be in the log, unless a disk refuses."""
        if number >= self._threshold:
            return False
        columns = [list(column) for column in answer.columns]
        copied = OnlineFeatures(answer.shape, columns, answer.origins, answer.publications, answer.at_us)
        given = [[row[name] for row in request or ()] for name in self._request]
        return self._put(self, Note(number, self._now_us(), copied, given, scores))

    def vectors(self, notes: Sequence[Note]) -> pa.Table:
        """The notes as vectors, a row for each entity; raises what pyarrow does for a value that fits no column."""
        answers = [note.answer for note in notes]
        sizes = [len(answer) for answer in answers]
        keys = len(self.schema.field("keys").type) if "keys" in self.schema.names else 0
        columns = _joined([answer.columns for answer in answers])
        times = _joined([[times for _, times in answer.origins] for answer in answers])
        statuses = _joined([[*answer.statuses.values()] for answer in answers])
        versions = _joined([[[p.version] * n for p in a.publications] for a, n in zip(answers, sizes, strict=True)])
        marks = _joined([[[p.watermark_us] * n for p in a.publications] for a, n in zip(answers, sizes, strict=True)])
        groups: dict[str, Sequence[Sequence[object]]] = {
            "keys": columns[:keys],
            "request": _joined([note.request for note in notes]),
            "features": columns[keys:],
            "statuses": [[_STATUS_NAMES[status] for status in found] for found in statuses],
            "event_timestamps": times,
            "table_versions": versions,
            "watermarks": marks,
        }
        plain: dict[str, list[object]] = {
            "id": [id_text(note.id) for note, size in zip(notes, sizes, strict=True) for _ in range(size)],
            "row": [row for size in sizes for row in range(size)],
            "served_at": [note.served_us for note, size in zip(notes, sizes, strict=True) for _ in range(size)],
            "asked_at": [answer.at_us for answer, size in zip(answers, sizes, strict=True) for _ in range(size)],
            SCORE.name: [score for note in notes for score in note.scores],
        }
        arrays = [
            pa.array(plain[field.name], field.type) if field.name in plain else _struct(groups[field.name], field)
            for field in self.schema
        ]
        return pa.Table.from_arrays(arrays, schema=self.schema)


def new_id() -> int:
    """A random number for a request."""
    return getrandbits(_ID_BITS)


def id_text(number: int) -> str:
    """The id as it stands in the log: 16 hexadecimal digits."""
    return f"{number:016x}"


def _struct(columns: Sequence[Sequence[object]], field: pa.Field) -> pa.Array:
    members = list(field.type)
    arrays = [pa.array(values, member.type) for values, member in zip(columns, members, strict=True)]
    return pa.StructArray.from_arrays(arrays, fields=members)


def _joined(parts: Sequence[Sequence[Sequence[Any]]]) -> list[list[Any]]:
    """Columns of several requests, one below the other."""
    return [list(chain.from_iterable(columns)) for columns in zip(*parts, strict=True)]


class _Writer:
    """The buffer and the thread that empties it; everything that is not one append happens on the thread."""

    def __init__(self, settings: LogSettings) -> None:
        self.settings = settings
        self.files = LogFiles(settings.folder)
        self._failure: str | None = None
        self._begin()
        _WRITERS.add(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()  # guards buffer, counts and thread; never held while anything is written
        self._writing = threading.Lock()  # one flush at a time, so that a file per flush holds what came before it
        self._buffer: deque[tuple[ServiceLog, Note]] = deque()
        self._rows = 0
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._process = f"{socket.gethostname()}:{os.getpid()}"
        self._dropping: set[ServiceLog] = set()

    def after_fork(self) -> None:
        """Begin anew in a child: what was noted and dropped before is the parent's to write."""
        for service in self._dropping:
            service.dropped = 0
        self._begin()

    def put(self, service: ServiceLog, note: Note) -> bool:
        """Take a note, or drop and count it when the buffer is full; whether it was taken."""
        rows = len(note.answer)
        limit = self.settings.buffer_rows
        with self._lock:
            taken = self._rows + rows <= limit
            if not taken:
                service.dropped += rows
                self._dropping.add(service)
            else:
                self._buffer.append((service, note))
                self._rows += rows
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, args=(self._wake,), name="audit-log", daemon=True)
                self._thread.start()
        if 2 * self._rows > limit:
            self._wake.set()
        return taken

    def _run(self, wake: threading.Event) -> None:
        while True:
            wake.wait(self.settings.flush_seconds)
            if self._wake is not wake:
                return  # closed: who closed it writes the rest
            wake.clear()
            self.flush()

    def flush(self) -> None:
        """Write what is in the buffer, a file for each service; what cannot be written is dropped and counted."""
        with self._writing:
            with self._lock:
                taken, self._buffer = self._buffer, deque()
                self._rows = 0
                dropping, self._dropping = self._dropping, set()
            notes: dict[ServiceLog, list[Note]] = {service: [] for service in dropping}
            for service, note in taken:
                notes.setdefault(service, []).append(note)
            for service, noted in notes.items():
                self._write(service, noted)

    def _write(self, service: ServiceLog, notes: list[Note]) -> None:
        with self._lock:
            dropped, service.dropped = service.dropped, 0
        kept, vectors = self._vectors(service, notes)
        dropped += sum(len(note.answer) for note in notes) - vectors.num_rows
        try:
            self.files.add(self._facts(service, kept, dropped), vectors)
            self._failure = None
        except FeatureStoreError as error:
            with self._lock:
                service.dropped += dropped + vectors.num_rows
                self._dropping.add(service)
            self._warn(service, error)

    def _vectors(self, service: ServiceLog, notes: list[Note]) -> tuple[list[Note], pa.Table]:
        """The notes that fit the columns, and their vectors."""
        if not notes:
            return [], service.schema.empty_table()
        try:
            return notes, service.vectors(notes)
        except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
            self._warn(service, error)
            if len(notes) == 1:
                return [], service.schema.empty_table()
        halves = [self._vectors(service, half) for half in (notes[: len(notes) // 2], notes[len(notes) // 2 :])]
        kept = [note for half, _ in halves for note in half]
        return kept, pa.concat_tables([vectors for _, vectors in halves])

    def _warn(self, service: ServiceLog, error: Exception) -> None:
        """Say it once, not with every flush."""
        if self._failure != str(error):
            log.warning("Served vectors of '%s' cannot be logged: %s", service.definitions.service, error)
        self._failure = str(error)

    def _facts(self, service: ServiceLog, notes: list[Note], dropped: int) -> FileFacts:
        versions: dict[str, set[int]] = {}
        tables = service.definitions.tables
        for note in notes:
            for view, publication in zip(service.views, note.answer.publications, strict=True):
                versions.setdefault(tables[view], set()).add(publication.version)
        served = [note.served_us for note in notes] or [present_us()]
        return FileFacts(
            service=service.definitions.service,
            definitions=self.files.keep(service.definitions),
            process=self._process,
            sample=self.settings.sample,
            first_us=min(served),
            last_us=max(served),
            dropped=dropped,
            versions={table: sorted(found) for table, found in versions.items()},
            model=None if service.scorer is None else service.scorer.model,
            model_version=None if service.scorer is None else service.scorer.version,
        )

    def close(self) -> None:
        """End the thread and write what is in the buffer."""
        with self._lock:
            self._thread, wake = None, self._wake
            self._wake = threading.Event()
        wake.set()
        self.flush()


_WRITERS: weakref.WeakSet[_Writer] = weakref.WeakSet()


def _after_fork() -> None:
    for writer in _WRITERS:
        writer.after_fork()


os.register_at_fork(after_in_child=_after_fork)
