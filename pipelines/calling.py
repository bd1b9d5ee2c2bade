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

    No words have the webhook's path or the command's arguments: both may hold secrets, and words are kept and shown.
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
    except httpx.HTTPStatusError as error:
        answered = f"{error.response.status_code} {error.response.reason_phrase}"
        raise ConnectionError(f"the webhook at {httpx.URL(url).host} answered {answered}") from None
    except httpx.HTTPError as error:
        raise ConnectionError(f"the webhook at {httpx.URL(url).host}: {error}") from None


def _run(command: str, timeout_s: float, root: Path, event: Mapping[str, object]) -> None:
    try:
        words = shlex.split(command)
        program = words[0]
    except (ValueError, IndexError) as error:
        raise OSError(f"[alerts] command is none: {error}") from None
    try:
        ended = subprocess.run(
            words,
            input=json.dumps(event),
            text=True,
            capture_output=True,
            timeout=timeout_s,
            check=False,
            cwd=root,
        )
    except subprocess.TimeoutExpired:
        raise OSError(f"the command '{program}' did not end within {timeout_s:g} s") from None
    except OSError as error:
        raise OSError(f"the command '{program}' cannot be run: {error.strerror}") from None
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise OSError(f"the command '{program}' ended with {ended.returncode}: {last}")
