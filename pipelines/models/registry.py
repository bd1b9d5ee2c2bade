"""The model registry: each change is one transaction, by somebody, for a reason, from what was seen before.

Invariant: at most one version of a model is CHAMPION, and the alias `champion` names it, or nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from featurestore.errors import GateRefused, InputError, ModelFileError, PipelineError, UnknownNameError
from pipelines.ledger import Ledger, versions
from pipelines.ledger.records import CHAMPION_ALIAS, AliasMove, Attempt, ModelState, ModelVersion, Verdict
from pipelines.ledger.versions import AliasChange, Occasion
from pipelines.models.document import ModelDocument
from pipelines.models.files import checked_bytes, load_model
from pipelines.models.states import check_move


def _untold(_: ModelVersion) -> None:
    """Nobody is told."""


@dataclass(frozen=True, slots=True)
class ModelRegistry:
    """The models of the project at `root`; `trusted` are types that its files may name beside the usual ones.

    `quarantined` is told of each version that was put away, once it is.
    """

    root: Path
    ledger: Ledger
    trusted: tuple[str, ...]
    actor: str
    quarantined: Callable[[ModelVersion], None] = _untold

    def champion(self, model: str) -> ModelVersion | None:
        """The version that is live; None when none is."""
        version = self.ledger.alias(model, CHAMPION_ALIAS)
        return None if version is None else self.ledger.model(model, version)

    def get(self, model: str, version: int | str | None = None) -> ModelVersion:
        """A version by number or alias, by default the champion; raises UnknownNameError, PipelineError without one."""
        if isinstance(version, int):
            return self.ledger.model(model, version)
        found = self.ledger.alias(model, version or CHAMPION_ALIAS)
        if found is None:
            known = [f"{m.model}@{m.version}" for m in self.ledger.models(model)]
            if version is None:
                versions = f"approve one of its versions ({', '.join(known)})" if known else "run its pipeline"
                raise PipelineError(f"Model '{model}' has no champion yet; {versions} first.")
            raise UnknownNameError("model version", f"{model}@{version}", known)
        return self.ledger.model(model, found)

    def load(self, model: ModelVersion) -> object:
        """The fitted model; raises ModelFileError; a file that was altered is quarantined."""
        if model.state is ModelState.QUARANTINED:
            raise ModelFileError(f"Model {model.model}@{model.version} is quarantined, so it is not loaded.")
        try:
            return load_model(self.root / ModelDocument.of(model).path, model.digest, self.trusted)
        except ModelFileError as error:
            if error.altered:
                self.quarantine(model, str(error))
            raise

    def register(self, attempt: Attempt, model: ModelVersion) -> ModelVersion:
        """Add a CANDIDATE, and at once approve or reject it as its gate said; a first model waits for a person."""
        document = ModelDocument.of(model)
        with self.ledger.fenced(attempt) as connection:
            occasion = self._occasion(f"run {model.run} registered it")
            versions.insert_model(connection, model, occasion)
            match document.verdict:
                case Verdict.PASS if model.champion is not None:
                    return versions.set_state(connection, model, ModelState.APPROVED, self._occasion(document.summary))
                case Verdict.FAIL | Verdict.ERROR:
                    return versions.set_state(connection, model, ModelState.REJECTED, self._occasion(document.summary))
                case _:
                    return model

    def approve(self, model: ModelVersion, reason: str, actor: str | None = None) -> ModelVersion:
        """Let a person approve what its gate left open; raises GateRefused where an absolute bound was not met."""
        check_move(model, ModelState.APPROVED, "only a candidate waits for an approval.")
        document = ModelDocument.of(model)
        if not document.bounded or not self._open(document.verdict):
            raise GateRefused(
                f"Model {model.model}@{model.version} met no absolute bound ({document.summary}), so nobody can "
                "approve it. Declare AtLeast(...) in its model_gate and run again."
            )
        return self._moved(model, ModelState.APPROVED, self._occasion(reason, actor))

    @staticmethod
    def _open(verdict: Verdict) -> bool:
        return verdict in (Verdict.PASS, Verdict.INCONCLUSIVE)

    def verified(self, model: ModelVersion, reason: str) -> ModelVersion:
        """Note that the stored file answers as the model did in training."""
        check_move(model, ModelState.VERIFIED)
        return self._moved(model, ModelState.VERIFIED, self._occasion(reason))

    def reject(self, model: ModelVersion, reason: str, actor: str | None = None) -> ModelVersion:
        """Refuse a version that is not live."""
        check_move(model, ModelState.REJECTED)
        return self._moved(model, ModelState.REJECTED, self._occasion(reason, actor))

    def promote(self, model: ModelVersion, reason: str, actor: str | None = None) -> AliasMove:
        """Make a verified version the champion, if the champion is the one that its gate compared it with.

        Raises ConflictError when another one is, and ModelFileError for a file that was altered, which is quarantined.
        """
        check_move(model, ModelState.CHAMPION, "only a verified version is promoted.")
        self._usable(model)
        occasion = self._occasion(reason, actor)
        with self.ledger.writing() as connection:
            change = AliasChange(model.model, CHAMPION_ALIAS, model.champion, model.version)
            return self._crown(connection, model, change, occasion)

    def rollback(self, model: str, to: int | None = None, *, reason: str, actor: str | None = None) -> AliasMove:
        """Make an earlier champion the champion again, by default the one before; what moved.

        It is unfinished until who asked for it has told all others of it (`Ledger.finish_rollback`).
        Raises InputError when there is none, and ModelFileError for a file that was altered, which is quarantined.
        """
        occasion, champion = self._occasion(reason, actor), self.champion(model)
        target = self._earlier(model, champion, to)
        check_move(target, ModelState.CHAMPION, "only a version that was champion before can be rolled back to.")
        self._usable(target)
        with self.ledger.writing() as connection:
            expected = None if champion is None else champion.version
            change = AliasChange(model, CHAMPION_ALIAS, expected, target.version, rollback=True)
            move = self._crown(connection, target, change, occasion)
            versions.begin_rollback(connection, move)
            return move

    def quarantine(self, model: ModelVersion, reason: str) -> None:
        """Put a version away for good; in the place of a champion comes the last one before that is intact, or none."""
        if model.state is ModelState.QUARANTINED:
            return
        occasion = self._occasion(reason)
        with self.ledger.writing() as connection:
            current = versions.read_model(connection, model.model, model.version)
            if current.state is ModelState.QUARANTINED:
                return
            versions.set_state(connection, current, ModelState.QUARANTINED, occasion)
            if current.state is ModelState.CHAMPION:
                heir = self._heir(connection, current)
                to = None if heir is None else heir.version
                change = AliasChange(model.model, CHAMPION_ALIAS, current.version, to, rollback=True)
                versions.move_alias(connection, change, occasion)
                if heir is not None:
                    versions.set_state(connection, heir, ModelState.CHAMPION, occasion)
        self.quarantined(model)

    def _crown(self, connection: Connection, model: ModelVersion, change: AliasChange, occasion: Occasion) -> AliasMove:
        move = versions.move_alias(connection, change, occasion)
        if change.expected is not None:
            before = versions.read_model(connection, model.model, change.expected)
            versions.set_state(connection, before, ModelState.RETIRED, occasion)
        versions.set_state(connection, model, ModelState.CHAMPION, occasion)
        return move

    def _earlier(self, model: str, champion: ModelVersion | None, to: int | None) -> ModelVersion:
        if to is not None:
            return self.ledger.model(model, to)
        if champion is None:
            raise InputError(f"Model '{model}' has no champion to roll back from.")
        with self.ledger.reading() as connection:
            heir = None if connection is None else self._heir(connection, champion)
        if heir is None:
            raise InputError(f"Model '{model}' has no champion before version {champion.version} to roll back to.")
        return heir

    def _heir(self, connection: Connection, champion: ModelVersion) -> ModelVersion | None:
        """The last version below it that was champion, is retired, and whose file is intact."""
        for move in versions.read_alias_log(connection, champion.model):
            if move.alias == CHAMPION_ALIAS and move.from_version is not None and move.from_version < champion.version:
                found = versions.find_model(connection, champion.model, move.from_version)
                if found is not None and found.state is ModelState.RETIRED and self._intact(found):
                    return found
        return None

    def _intact(self, model: ModelVersion) -> bool:
        try:
            self._check_file(model)
        except ModelFileError:
            return False
        return True

    def _check_file(self, model: ModelVersion) -> None:
        checked_bytes(self.root / ModelDocument.of(model).path, model.digest)

    def _usable(self, model: ModelVersion) -> None:
        """Raise ModelFileError unless the file is the registered one; an altered one is quarantined."""
        try:
            self._check_file(model)
        except ModelFileError as error:
            if error.altered:
                self.quarantine(model, str(error))
            raise

    def _moved(self, model: ModelVersion, to: ModelState, occasion: Occasion) -> ModelVersion:
        with self.ledger.writing() as connection:
            return versions.set_state(connection, model, to, occasion)

    def _occasion(self, reason: str, actor: str | None = None) -> Occasion:
        if not reason.strip():
            raise InputError("The reason is empty; say in a few words why, for those who read the log.")
        return self.ledger.occasion(actor or self.actor, reason.strip())
