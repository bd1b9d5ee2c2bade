"""How the demo begins and how it ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo import __main__ as demo
from featurestore import FeatureStore
from featurestore.errors import SourceError
from tests.demo.conftest import REPOSITORY


def test_what_an_interrupted_run_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "featurestore.toml").write_text((REPOSITORY / "featurestore.toml").read_text())
    left = [tmp_path / "data" / name for name in ("registry.db", "offline/views/half", "online/data.mdb")]
    for file in left:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"half")
    flights = demo.prepare(tmp_path)
    assert flights.height == 336_776
    assert not any(file.exists() for file in left)
    with FeatureStore(tmp_path) as store:
        assert store.history() == ()


@pytest.mark.parametrize(
    ("stopped", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "Stopped. The next run begins anew."),
        (SourceError("No flights."), 2, "No flights."),
        (PermissionError(13, "Permission denied"), 2, "The demo cannot write its data"),
    ],
)
def test_a_stop_is_one_sentence_and_a_code(
    stopped: BaseException,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stop(root: Path) -> None:
        raise stopped

    monkeypatch.setattr(demo, "run", stop)
    assert demo.main() == code
    out, err = capsys.readouterr()
    assert said in out + err
