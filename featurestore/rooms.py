"""The rooms of a project's feature store, each opened when it is first used."""

from __future__ import annotations

import getpass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from featurestore.project.configuration import find_root, load_configuration
from featurestore.registry.open import open_registry
from featurestore.timeline import Clock

if TYPE_CHECKING:
    from featurestore.audit.auditor import Auditor
    from featurestore.audit.log import VectorLog
    from featurestore.contracts.quarantine import Quarantine
    from featurestore.engines.base import OfflineEngine
    from featurestore.materialization.pushing import Pusher
    from featurestore.materialization.runner import Materializer
    from featurestore.materialization.switching import Switcher
    from featurestore.offline.pushed import PushLog
    from featurestore.offline.tables import OfflineTables
    from featurestore.online.base import OnlineStore
    from featurestore.upkeep.erasing import Eraser


class Rooms:
    """What `featurestore.toml`, found in the folder or above it, names; `now_us` is the clock of all rooms."""

    def __init__(self, path: str | Path, *, now_us: Clock) -> None:
        self.root = find_root(Path(path).resolve())
        self.configuration = load_configuration(self.root)
        self.now_us = now_us
        self.registry = open_registry(self.configuration.registry.url, self.root, now_us)

    @property
    def actor(self) -> str:
        """Who acts, for the records."""
        return getpass.getuser()

    @cached_property
    def engine(self) -> OfflineEngine:
        """The engine that computes plans."""
        from featurestore.engines.open import open_engine

        offline = self.configuration.offline
        return open_engine(offline.engine, offline.memory_limit, offline.threads, self._offline_path / "spill")

    @cached_property
    def tables(self) -> OfflineTables:
        """The offline tables."""
        from featurestore.offline.tables import OfflineTables

        return OfflineTables(self._offline_path / "views")

    @cached_property
    def pushes(self) -> PushLog:
        """All that was pushed, in the columns of its sources."""
        from featurestore.offline.pushed import PushLog

        return PushLog(self._offline_path / "pushed")

    @cached_property
    def online(self) -> OnlineStore:
        """The online store."""
        from featurestore.online.open import open_online_store

        return open_online_store(self.configuration.online.url, self.root)

    @cached_property
    def served(self) -> VectorLog | None:
        """The log of the vectors that services serve; None while none are sampled."""
        from featurestore.audit.log import LogSettings, VectorLog

        audit = self.configuration.audit
        if not audit.sample:
            return None
        settings = LogSettings(self.root / audit.path, audit.sample, audit.buffer_rows, audit.flush_seconds)
        return VectorLog(settings, self.now_us)

    @cached_property
    def _auditor(self) -> Auditor:
        from featurestore.audit.auditor import Auditor
        from featurestore.audit.records import LogFiles
        from featurestore.project.functions import resolve_functions

        files = LogFiles(self.root / self.configuration.audit.path)
        definitions = self.configuration.definitions
        return Auditor(files, self.tables, self.engine, lambda steps: resolve_functions(steps, self.root, definitions))

    @cached_property
    def _eraser(self) -> Eraser:
        from featurestore.audit.records import LogFiles
        from featurestore.upkeep.erasing import Eraser
        from featurestore.upkeep.sources import SourceLooker

        return Eraser(
            root=self.root,
            registry=self.registry,
            tables=self.tables,
            pushes=self.pushes,
            publisher=self._materializer.publisher,
            log=LogFiles(self.root / self.configuration.audit.path),
            predictions=LogFiles(self.root / self.configuration.predictions.path),
            artifacts=self.root / self.configuration.pipelines.path,
            quarantine=self.quarantine,
            looker=SourceLooker(str(self.root), self.engine),
            now_us=self.now_us,
        )

    @cached_property
    def quarantine(self) -> Quarantine:
        """What contracts refused, and what people let through."""
        from featurestore.contracts.quarantine import Quarantine

        return Quarantine(self._offline_path / "quarantine")

    @cached_property
    def _switcher(self) -> Switcher:
        from featurestore.materialization.switching import Switcher

        return Switcher(self.registry, self.tables, self._materializer.publisher, self.pushes, self.actor)

    @cached_property
    def _materializer(self) -> Materializer:
        from featurestore.materialization.judging import Judge
        from featurestore.materialization.publishing import Publisher
        from featurestore.materialization.replaying import Replayer
        from featurestore.materialization.runner import Materializer
        from featurestore.project.contracts import ContractLoader
        from featurestore.statistics.recording import Recorder

        load_contract = ContractLoader(self.root, self.configuration.definitions)
        judge = Judge(str(self.root), self.engine, self.quarantine, load_contract, self.now_us)
        recorder = Recorder(self.tables.directory, self.configuration.offline.threads)
        publisher = Publisher(self.configuration.project, self.engine, self.online, recorder)
        return Materializer(self.engine, self.tables, judge, publisher, Replayer(judge, self.pushes))

    @cached_property
    def _pusher(self) -> Pusher:
        from featurestore.materialization.pushing import Pusher

        return Pusher(self.tables, self._materializer.replayer, self._materializer.publisher)

    def close(self) -> None:
        """Release the engine, the online store and the registry, and write what is still to be logged."""
        if (served := self.__dict__.get("served")) is not None:
            served.close()
        for room in ("engine", "online", "registry"):
            if room in self.__dict__:
                self.__dict__[room].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _offline_path(self) -> Path:
        return self.root / self.configuration.offline.path
