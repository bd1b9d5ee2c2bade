"""Who may do something alone: a lease that is taken or left, never waited for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from featurestore.errors import ConflictError
from featurestore.offline.lease import lease


@contextmanager
def held(leases: Path, name: str) -> Iterator[bool]:
    """Whether the lease of that name is ours for the block; False when another process or thread has it."""
    with ExitStack() as stack:
        try:
            stack.enter_context(lease(leases, name))
        except ConflictError:
            yield False
            return
        yield True
