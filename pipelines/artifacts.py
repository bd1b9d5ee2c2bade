"""Files by their content: what steps leave, named by SHA-256, so that equal content is kept once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from featurestore.dataset import file_digest
from featurestore.errors import PipelineError
from featurestore.files import write_whole
from featurestore.timeline import Clock
from pipelines.ledger.records import Artifact


@dataclass(frozen=True, slots=True)
class Artifacts:
    """The artifacts of the project at `root`, in `folder` below it."""

    root: Path
    folder: Path
    now_us: Clock

    def keep(self, content: bytes, suffix: str) -> Artifact:
        """Keep bytes, under their digest and a suffix such as `.parquet`."""
        digest = hashlib.sha256(content).hexdigest()
        path = self.folder / "artifacts" / digest[:2] / f"{digest}{suffix}"
        if not path.is_file():
            self._write(path, lambda file: file.write(content))
        return Artifact(digest, str(path.relative_to(self.root)), len(content), self.now_us())

    def _write(self, path: Path, write: Callable[[IO[bytes]], object]) -> None:
        try:
            write_whole(path, write)
        except OSError as error:
            raise PipelineError(f"{path} cannot be written: {error.strerror or error}.") from error

    def path(self, artifact: Artifact) -> Path:
        """Where it lies."""
        return self.root / artifact.path

    def read(self, artifact: Artifact) -> bytes:
        """Its bytes, which are those that were kept; raises PipelineError when they are gone or others."""
        path = self.path(artifact)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise PipelineError(f"Artifact {path} cannot be read: {error.strerror or error}.") from error
        if hashlib.sha256(content).hexdigest() != artifact.digest:
            raise PipelineError(f"Artifact {path} was altered: its content has another SHA-256 than its name.")
        return content

    def intact(self, artifact: Artifact) -> bool:
        """Whether the file is there with the content that was kept."""
        path = self.path(artifact)
        return path.is_file() and file_digest(path) == artifact.digest
