"""One LMDB environment per directory and process: shared, closed across a fork, grown when full.

LMDB's locks belong to the process, so an environment is opened once, whoever asks, and never used after a
fork. Closing the inherited one in a child would free the parent's reader slots; so it is closed in the parent
just before the fork and opened again by whoever uses it next, on either side. Closing and resizing end the
read transactions of other threads, which begin again (`recover`).
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypeVar

import lmdb

from featurestore.errors import OnlineStoreError
from featurestore.online._generations import (
    DATA_FILE,
    MOVED,
    live_folder,
    make_live,
    next_folder,
    others,
    remove_others,
    sync,
)

Result = TypeVar("Result")

MAP_SIZE = 4 << 30  # address space, not disk; doubled when it is full
MAX_NAMESPACES = 1000
ATTEMPTS = 50  # a resize or a fork of another thread may interrupt a reader; so often in a row none does

_MAX_READERS = 2048  # transactions of all processes at one instant
_CATALOG = b"catalog"
_SLOT_PREFIX = b"slot-"
CLOSED = "This online store is closed; open it again with open_online_store(...)."
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}  # LMDB reports a short write as EIO
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_DAMAGED = (lmdb.InvalidError, lmdb.CorruptedError, lmdb.VersionMismatchError, lmdb.PageNotFoundError)
_INTERRUPTED = (lmdb.BadDbiError, lmdb.BadRslotError, lmdb.BadTxnError, lmdb.InvalidParameterError)


class Entry(NamedTuple):
    """What the catalog says of a namespace in one snapshot; `database` is None when there is no such namespace."""

    snapshot: int
    raw: bytes | None
    database: lmdb._Database | None
    meta: bytes | None


@dataclass(slots=True)
class Opened:
    """An open environment with its handles; `entries` caches the catalog by namespace."""

    env: lmdb.Environment
    catalog: lmdb._Database
    folder: Path
    inode: int
    slots: dict[int, lmdb._Database] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)


Transaction: TypeAlias = "lmdb.Transaction[bytes]"  # generic in its stub only


class SharedEnvironment:
    """The environment in `path`, for all holders of this process; get one by `acquire`, give it back by `release`."""

    def __init__(self, path: Path, map_size: int) -> None:
        self.path = path
        self.holders = 0
        self._map_size = map_size
        self.current: Opened | None = None  # the open environment, for those who need no certainty
        self._writing = threading.Lock()  # held by the write transaction, a resize, the opening of a handle, a fork
        self._opening = threading.Lock()

    def opened(self) -> Opened:
        """The open environment, opened now when it is not; raises OnlineStoreError when it cannot be."""
        return self.current or self._open()

    def _open(self) -> Opened:
        with self._opening:
            if self.current is None:
                if not self.holders:
                    raise OnlineStoreError(CLOSED)
                try:
                    self.current = _open(self.path, self._map_size)
                except (lmdb.Error, OSError) as error:
                    raise self.failure("opened", error) from error
            return self.current

    def transact(self, action: Callable[[Opened, Transaction], Result]) -> Result:
        """The result of one committed write transaction; `action` runs again after the map has grown."""
        with self._writing:
            for _ in range(ATTEMPTS):
                opened = self.opened()
                try:
                    with opened.env.begin(write=True) as txn:
                        return action(opened, txn)
                except lmdb.MapFullError:
                    self._resize(opened, opened.env.info()["map_size"] * 2)
                except lmdb.MapResizedError:
                    self._resize(opened, 0)
                except (lmdb.Error, OSError) as error:
                    raise self.failure("written", error) from error
        raise OnlineStoreError(f"The online store at {self.path} cannot be written: its map keeps changing size.")

    def _resize(self, opened: Opened, size: int) -> None:
        try:
            opened.env.set_mapsize(size)
        except lmdb.Error as error:
            raise self.failure("grown", error) from error

    def recover(self, opened: Opened, error: lmdb.Error) -> None:
        """Set right what interrupted a read, so that it can begin again; raises OnlineStoreError when that can't be.

        A read is interrupted when this process resizes or closes the map, or uses a handle opened after the
        read began, and when another process has grown the map or left reader slots behind.
        """
        if isinstance(error, lmdb.ReadersFullError):
            opened.env.reader_check()
        elif isinstance(error, lmdb.MapResizedError):
            with self._writing:
                if self.current is opened:
                    self._resize(opened, 0)
        elif isinstance(error, _INTERRUPTED) or type(error) is lmdb.Error:
            with self._writing:
                pass  # whoever interrupted the read holds the lock until he is done
        else:
            raise self.failure("read", error) from error

    def open_slot(self, slot: int) -> None:
        """Open the handle of a slot; not inside a transaction of this thread.

        A handle opened in a read transaction does not outlive it in py-lmdb 3.0, so this waits for the writer.
        """

        def open_database(opened: Opened, txn: Transaction) -> tuple[Opened, lmdb._Database]:
            return opened, opened.env.open_db(slot_name(slot), txn=txn)

        opened, database = self.transact(open_database)
        opened.slots[slot] = database

    @contextmanager
    def publishing(self, *, exclusive: bool) -> Iterator[None]:
        """While inside, no `exclusive` publisher of any process or thread is inside too (nor any, when exclusive)."""
        if not self.holders:
            raise OnlineStoreError(CLOSED)
        try:
            lock = os.open(self.path / "publish.lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise self.failure("locked", error) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
            if others(self.path):
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._finish_compaction()
                fcntl.flock(lock, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
            self._leave_old()
            yield
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)  # a child forked meanwhile holds a copy of the descriptor
            os.close(lock)

    def is_elsewhere(self) -> bool:
        """Whether the files this environment has open are no longer those at its path, nor a generation that was left.

        A left one is no stranger: whoever uses it next moves on.
        """
        opened = self.current
        if opened is None:
            return False
        try:
            if opened.inode == (opened.folder / DATA_FILE).stat().st_ino:
                return False
        except OSError:
            pass
        with opened.env.begin() as txn:
            return txn.get(MOVED, None, opened.catalog) is None

    def leave(self, opened: Opened) -> None:
        """Close a generation that is not the live one any more; the next use opens the live one."""
        with self._writing:
            if self.current is opened:
                self.shut()

    def compact(self, copy: Callable[[Opened, Opened], None]) -> int:
        """Let `copy` write what is live to a new generation, leave the old one, and return the bytes that files shrank.

        The caller is the only publisher. Readers go on meanwhile, and move to the new generation when it is whole.
        """
        with self._writing:
            opened = self.opened()
            try:
                before = _size(opened.folder)
                folder = self._copied(opened, copy)
                make_live(folder)
                _mark(opened)
                self.shut()
                remove_others(self.path)
                return before - _size(folder)
            except (lmdb.Error, OSError) as error:
                raise self.failure("compacted", error) from error

    def _finish_compaction(self) -> None:
        """Do what a compaction that died left undone: mark the generations that are not live, and remove them."""
        with self._writing:
            try:
                for folder in others(self.path):
                    self._mark_old(folder)
                remove_others(self.path)
            except (lmdb.Error, OSError) as error:
                raise self.failure("compacted", error) from error

    def _mark_old(self, folder: Path) -> None:
        if self.current is not None and self.current.folder == folder:
            _mark(self.current)
            self.shut()
            return
        try:
            left = _open_generation(folder, self._map_size)
        except (lmdb.Error, OSError):
            return  # a copy that was never finished
        try:
            _mark(left)
        finally:
            left.env.close()

    def _leave_old(self) -> None:
        opened = self.current
        if opened is not None and opened.folder != live_folder(self.path):
            self.leave(opened)

    def _copied(self, opened: Opened, copy: Callable[[Opened, Opened], None]) -> Path:
        """The folder of the new generation, complete and on the disk; none is left when that fails."""
        folder = next_folder(self.path)
        try:
            new = _open_generation(folder, opened.env.info()["map_size"])
            try:
                copy(opened, new)
            finally:
                new.env.close()
            for written in (folder / DATA_FILE, folder, self.path):
                sync(written)
        except BaseException:
            shutil.rmtree(folder)
            raise
        return folder

    def shut(self) -> None:
        """Close the environment; the next use opens it again while there are holders."""
        opened, self.current = self.current, None
        if opened is not None:
            opened.env.close()

    def suspend(self) -> None:
        """Close the environment and keep everybody from opening it, until `resume`."""
        self._writing.acquire()
        self._opening.acquire()
        self.shut()

    def resume(self) -> None:
        """Let the environment be opened again."""
        self._opening.release()
        self._writing.release()

    def failure(self, verb: str, error: Exception) -> OnlineStoreError:
        """The OnlineStoreError that says in one sentence what went wrong and what to do."""
        code = getattr(error, "errno", None) or getattr(error, "code", None)
        reason = getattr(error, "strerror", None) or str(error).rpartition(": ")[2]
        if isinstance(error, lmdb.DiskError) or code in _FULL:
            remedy = f"the disk is full or failing ({reason}); free some space, what was published before stays live."
        elif code in _FORBIDDEN:
            remedy = f"{reason}; give this user the right to read and write the directory."
        elif isinstance(error, _DAMAGED):
            remedy = f"{reason}; move the directory away and publish again."
        else:
            remedy = f"{reason}."
        return OnlineStoreError(f"The online store at {self.path} cannot be {verb}: {remedy}")


def slot_name(slot: int) -> bytes:
    """The name of the database that a slot is; a slot holds the records of one namespace, or is free."""
    return _SLOT_PREFIX + b"%04d" % slot


def _size(folder: Path) -> int:
    return (folder / DATA_FILE).stat().st_size


def _mark(left: Opened) -> None:
    """Say in a generation that it was left: who has it open finds no namespace, but the mark."""
    with left.env.begin(write=True) as txn:
        txn.drop(left.catalog, delete=False)
        txn.put(MOVED, b"", db=left.catalog)


def _open(path: Path, map_size: int) -> Opened:
    """The live generation; one that is left while it is opened is let go again."""
    path.mkdir(parents=True, exist_ok=True)
    while True:
        folder = live_folder(path)
        opened = _open_generation(folder, map_size)
        if live_folder(path) == folder:
            return opened
        opened.env.close()


def _open_generation(folder: Path, map_size: int) -> Opened:
    env = lmdb.open(
        str(folder),
        map_size=map_size,
        max_dbs=MAX_NAMESPACES + 2,  # the catalog, and a free slot for the next switch
        max_readers=_MAX_READERS,
        max_spare_txns=1,
    )
    env.reader_check()
    with env.begin(write=True) as txn:
        catalog = env.open_db(_CATALOG, txn=txn)
        names = [name for name in env.dbs(txn) if name != _CATALOG]
        slots = {int(name.removeprefix(_SLOT_PREFIX)): env.open_db(name, txn=txn) for name in names}
    return Opened(env, catalog, folder, (folder / DATA_FILE).stat().st_ino, slots)


_ENVIRONMENTS: dict[Path, SharedEnvironment] = {}  # those whose files are the ones at their path
_LIVE: list[SharedEnvironment] = []  # all that have holders
_REGISTRY = threading.RLock()  # reentrant: a finalizer may release while its thread acquires


def acquire(path: Path, map_size: int) -> SharedEnvironment:
    """The environment in `path`, shared with its other holders in this process."""
    path = path.resolve()
    with _REGISTRY:
        environment = _ENVIRONMENTS.get(path)
        if environment is None or environment.is_elsewhere():
            environment = _ENVIRONMENTS[path] = SharedEnvironment(path, map_size)
            _LIVE.append(environment)
        environment.holders += 1
        return environment


def release(environment: SharedEnvironment) -> None:
    """Give an environment back; with its last holder it is closed."""
    with _REGISTRY:
        environment.holders -= 1
        if not environment.holders:
            environment.shut()
            _LIVE.remove(environment)
            if _ENVIRONMENTS.get(environment.path) is environment:
                del _ENVIRONMENTS[environment.path]


_suspended: list[SharedEnvironment] = []


def _before_fork() -> None:
    # Environments first, registry last: a writer whose finalizer waits for the registry must be able to end.
    while True:
        for environment in _LIVE[:]:
            if environment not in _suspended:
                environment.suspend()
                _suspended.append(environment)
        _REGISTRY.acquire()
        if all(environment in _suspended for environment in _LIVE):
            return
        _REGISTRY.release()


def _after_fork() -> None:
    while _suspended:
        _suspended.pop().resume()
    _REGISTRY.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
