"""Telling a person: an event as JSON, to the webhook and the command that `[alerts]` names."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

from featurestore.project.configuration import Alerts


def call_person(alerts: Alerts, root: Path, event: Mapping[str, object]) -> str:
    """Who was told, in words; raises OSError when one of those who should be could not be.

    The command runs in the project's folder. The webhook is told when it answers with a 2xx.
    """
    told = []
    if alerts.webhook is not None:
        _post(alerts.webhook, alerts.timeout_seconds, event)
        told.append("the webhook was told")
    if alerts.command is not None:
        _run(alerts.command, alerts.timeout_seconds, root, event)
        told.append(f"'{shlex.split(alerts.command)[0]}' was run")
    return " and ".join(told) or "nobody is told, for [alerts] names neither a webhook nor a command"


def _post(url: str, timeout_s: float, event: Mapping[str, object]) -> None:
    import httpx

    try:
        httpx.post(url, json=event, timeout=timeout_s).raise_for_status()
    except httpx.HTTPError as error:
        raise ConnectionError(f"the webhook {httpx.URL(url).host}: {error}") from error


def _run(command: str, timeout_s: float, root: Path, event: Mapping[str, object]) -> None:
    try:
        ended = subprocess.run(
            shlex.split(command),
            input=json.dumps(event),
            text=True,
            capture_output=True,
            timeout=timeout_s,
            check=False,
            cwd=root,
        )
    except (subprocess.TimeoutExpired, ValueError, IndexError) as error:
        raise OSError(f"the command {command!r}: {error}") from error
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise OSError(f"the command {command!r} ended with {ended.returncode}: {last}")
