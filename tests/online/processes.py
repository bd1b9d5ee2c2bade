"""Stores in interpreters of their own."""

from __future__ import annotations

import subprocess
import sys


def run_python(code: str, *args: object) -> subprocess.CompletedProcess[str]:
    """Run code in a new interpreter, with the store's imports, and wait for it."""
    prelude = (
        "import os, signal, sys; from pathlib import Path; from featurestore.online.lmdb import LmdbOnlineStore\n"
        "from featurestore.errors import OnlineStoreError\n"
        "record = lambda event, value=b'': event.to_bytes(8, 'big') + bytes(8) + value\n"
        "read = lambda store, namespace, *keys: store.read([(namespace, keys)])[0][1]\n"
    )
    command = [sys.executable, "-c", prelude + code, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
