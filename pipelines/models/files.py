"""Model files: skops archives, read only when their SHA-256 is the registered one and all their types are trusted.

skops builds what a file names, so the list of types is the platform's, never the file's. Without an entry of its own
in `[pipelines] trusted_types` a project trusts what skops does, and what scikit-learn's tree ensembles are made of.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

from featurestore.errors import ModelFileError

SUFFIX = ".skops"
TRUSTED = (
    "numpy.dtype",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
)


def model_bytes(model: object) -> bytes:
    """The model as a skops archive; raises ModelFileError for what skops cannot store."""
    import skops.io

    try:
        content: bytes = skops.io.dumps(model)
    except Exception as error:
        raise ModelFileError(f"The model {type(model).__name__} cannot be stored with skops: {error}.") from error
    return content


def load_model(path: Path, digest: str, trusted: Sequence[str] = ()) -> object:
    """The model in a file whose SHA-256 is `digest`; `trusted` are types beside `TRUSTED`.

    The file is read once: what was checked is what is parsed. Raises ModelFileError when it is gone, altered, no skops
    archive, or names other types.
    """
    content = checked_bytes(path, digest)
    check_types(content, trusted)
    return _parsed(content, trusted)


def checked_bytes(path: Path, digest: str) -> bytes:
    """The content of a file whose SHA-256 is `digest`; raises ModelFileError when it is gone or another one."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"Model file {path.name} cannot be read: {error.strerror or error}.") from error
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise ModelFileError(
            f"Model file {path.name} is not the one that was registered: its SHA-256 is {found[:12]}..., not "
            f"{digest[:12]}.... It was not opened.",
            altered=True,
        )
    return content


def check_types(content: bytes, trusted: Sequence[str] = ()) -> None:
    """Raise ModelFileError when a skops archive names a type that is not trusted."""
    import skops.io

    try:
        named = skops.io.get_untrusted_types(data=content)
    except (BadZipFile, KeyError, ValueError, TypeError, AttributeError) as error:
        raise ModelFileError(f"The model is no skops archive: {error}.") from error
    if unknown := sorted(set(named) - {*TRUSTED, *trusted}):
        raise ModelFileError(
            f"The model holds types that this platform does not trust: {', '.join(unknown)}. Read their code, then add "
            "them to trusted_types under [pipelines] in featurestore.toml."
        )


def _parsed(content: bytes, trusted: Sequence[str]) -> object:
    import skops.io

    try:
        return skops.io.loads(content, trusted=[*TRUSTED, *trusted])
    except Exception as error:
        raise ModelFileError(f"The model cannot be built from its file: {type(error).__name__}: {error}.") from error
