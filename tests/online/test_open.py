"""Which store a URL opens."""

from __future__ import annotations

from pathlib import Path

import pytest

from featurestore.errors import ConfigurationError
from featurestore.online.lmdb import LmdbOnlineStore
from featurestore.online.open import open_online_store
from featurestore.testing.online.records import read, record
from featurestore.urls import without_secrets


def test_an_lmdb_url_is_a_directory_below_the_root(tmp_path: Path) -> None:
    store = open_online_store("lmdb://data/online", tmp_path)
    assert isinstance(store, LmdbOnlineStore)
    store.close()
    assert (tmp_path / "data" / "online" / "data.mdb").is_file()


def test_an_lmdb_url_may_be_absolute(tmp_path: Path) -> None:
    open_online_store(f"lmdb://{tmp_path}/elsewhere", Path("/nowhere")).close()
    assert (tmp_path / "elsewhere" / "data.mdb").is_file()


def test_a_memory_url_is_shared_under_one_root_only(tmp_path: Path) -> None:
    store = open_online_store("memory://", tmp_path)
    store.write("users", [(b"1", record(1))])
    same, other = open_online_store("memory://", tmp_path / "."), open_online_store("memory://", tmp_path / "other")
    assert read(same, "users", b"1") == [record(1)]
    assert read(other, "users", b"1") == [None]
    store.close()
    assert read(same, "users", b"1") == [record(1)]
    same.close()
    assert open_online_store("memory://", tmp_path).namespaces() == []


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "dynamodb://table",
            "The online store 'dynamodb://table' is not known; there are lmdb://<directory>, memory://, redis://",
        ),
        ("data/online", "The online store 'data/online' is not known"),
        ("", "The online store '' is not known"),
        ("lmdb://", "The online store 'lmdb://' names no directory; write lmdb://data/online"),
    ],
)
def test_another_url_is_refused_with_what_there_is(url: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        open_online_store(url, tmp_path)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://ann:s3cret@host:1/2?timeout=1", "redis://host:1/2"),
        ("redis+cluster://:s3@cret@a:1,b:2", "redis+cluster://a:1,b:2"),
        ("unix://:s3cret@/run/redis.sock?db=1", "unix:///run/redis.sock"),
        ("redis://:s3?cret@host:1", "redis://..."),
        ("rediss://:s3cret@host?ca=a@b.pem", "rediss://..."),
        ("lmdb://data/a@b?c", "lmdb://data/a@b?c"),
        ("redis:/:s3cret@host:1/0", "...@host:1/0"),
        ("data/online", "data/online"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert without_secrets(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "redys://ann:s3cret@host",
        "redis://ann:s3cret@host:x",
        "redis://:s3cret@h?tiemout=1",
        "redis://:?s3cret@h",
        "redis://:?s3cret=@h",
    ],
)
def test_no_refusal_shows_a_password(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        open_online_store(url, tmp_path)
    assert "s3cret" not in str(refused.value)
