"""A real server of the project, started for as long as the demo asks it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import httpx
import polars as pl

from demo.days import KEYS
from featurestore.errors import ServerError, ServerUnavailableError
from featurestore.timeline import format_instant, instant_us

_START_SECONDS = 60.0  # the first request waits for the worker
_STOP_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Told:
    """What a server answered: the version of the model, and a probability for each departure."""

    version: int
    probabilities: tuple[float, ...]


@contextmanager
def serving(root: Path) -> Iterator[str]:
    """The URL of `featurestore serve` on a free port, which is stopped in the end.

    Raises ServerUnavailableError when it does not start.
    """
    program = Path(sys.executable).with_name("featurestore")
    log = root / "data" / "serve.log"
    with log.open("w") as said:
        command = [str(program), "-C", str(root), "serve", "--port", "0", "--json"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True)
    with process:
        try:
            yield _url(process, log)
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def predict(url: str, model: str, due: pl.DataFrame, at: datetime) -> Told:
    """What the model says of flights that are due, as the store knows them at an instant, in one request."""
    columns = due.select(*KEYS).to_dict(as_series=False)
    departures = [format_instant(instant_us(value, "sched_dep")) for value in due["sched_dep"]]
    question = {
        "entities": columns,
        "request": {"sched_dep": departures},
        "at": format_instant(instant_us(at, "at")),
    }
    try:
        answer = httpx.post(f"{url}/v1/models/{model}/predict", json=question, timeout=_START_SECONDS)
        answer.raise_for_status()
    except httpx.HTTPStatusError as error:
        raise ServerError(f"The server answered {error.response.status_code}: {error.response.text}") from error
    except httpx.HTTPError as error:
        raise ServerUnavailableError(f"The server at {url} does not answer: {error}.") from error
    told = answer.json()
    return Told(told["version"], tuple(told["predictions"]["scores"]))


def _url(process: subprocess.Popen[str], log: Path) -> str:
    """What the server says when its socket is open: one JSON document."""
    assert process.stdout is not None, "it was started with a pipe"
    said = ""
    for line in process.stdout:
        said += line
        if line == "}\n":
            return str(json.loads(said)["url"])
    raise ServerUnavailableError(f"The server did not start; {log} says why.")
