"""The committed files of this repository."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("featurestore", "pipelines", "serving")


@cache
def committed_files() -> tuple[Path, ...]:
    """Absolute paths of the files that git tracks and that still exist, in git's order."""
    # A checkout that belongs to another user is refused otherwise, as in many CI containers.
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return tuple(path for name in listing.split("\0") if name and (path := ROOT / name).is_file())


def committed_python() -> tuple[Path, ...]:
    """The Python files among the committed ones."""
    return tuple(path for path in committed_files() if path.suffix == ".py")


def shown(path: Path) -> str:
    """A path as a message shows it: from the root of the repository."""
    return path.relative_to(ROOT).as_posix()
