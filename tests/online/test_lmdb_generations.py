"""A compacted LMDB store: what was deleted is in no file any more, and who has the old files open moves on."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from featurestore.online.lmdb import LmdbOnlineStore
from featurestore.testing.online.records import read, read_meta, record
from tests.online.processes import run_python


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "online"


@pytest.fixture
def store(path: Path) -> Iterator[LmdbOnlineStore]:
    store = LmdbOnlineStore(path)
    yield store
    store.close()


def test_no_byte_of_what_was_deleted_is_left_in_a_file(path: Path, store: LmdbOnlineStore) -> None:
    items = [(b"customer-%04d" % i, record(i, value=b"secret-%04d" % i * 50)) for i in range(2_000)]
    store.replace("users", items, meta=b"m")
    gone = [items[i][0] for i in range(0, 2_000, 7)]
    store.write("users", [(key, None) for key in gone], compare=False)
    assert gone[0] in bytes_below(path)  # LMDB clears no page
    assert store.compact() > 0
    left = bytes_below(path)
    assert [key for key in gone if key in left or key.replace(b"customer", b"secret") in left] == []
    assert [key for key, _ in items if key not in gone and key not in left] == []


def test_threads_and_processes_that_have_it_open_move_on(path: Path, store: LmdbOnlineStore) -> None:
    store.write("users", [(b"1", record(1))], meta=b"m")
    code = (
        "store = LmdbOnlineStore(Path(sys.argv[1]))\n"
        "seen = set()\n"
        "print('open', flush=True)\n"
        "while record(9) not in seen:\n"
        "    seen.update(read(store, 'users', b'1'))\n"
        "store.write('users', [(b'2', record(1))])\n"
        "print(sorted(seen) == [record(n) for n in (1, 2, 3, 9) if record(n) in seen], None in seen, flush=True)"
    )
    prelude = (
        "import sys; from pathlib import Path; from featurestore.online.lmdb import LmdbOnlineStore\n"
        "record = lambda event: event.to_bytes(8, 'big') + bytes(8)\n"
        "read = lambda store, namespace, *keys: store.read([(namespace, keys)])[0][1]\n"
    )
    reader = subprocess.Popen([sys.executable, "-c", prelude + code, str(path)], stdout=subprocess.PIPE, text=True)
    assert reader.stdout is not None
    assert reader.stdout.readline() == "open\n"
    stop = threading.Event()
    wrong: list[object] = []

    def look() -> None:
        while not stop.is_set():
            if read(store, "users", b"1")[0] is None:
                wrong.append("a record is gone")

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for event in (2, 3, 9):
        store.compact()
        store.write("users", [(b"1", record(event))])
    stop.set()
    for thread in threads:
        thread.join()
    assert reader.communicate(timeout=60)[0] == "True False\n"
    assert wrong == []
    assert read(store, "users", b"1", b"2") == [record(9), record(1)]


@pytest.mark.parametrize("killed_at", ["next_folder", "sync", "make_live", "_mark", "remove_others"])
def test_a_compaction_killed_anywhere_hides_nothing(path: Path, killed_at: str) -> None:
    code = (
        "store = LmdbOnlineStore(Path(sys.argv[1]))\n"
        "store.write('users', [(b'1', record(1))], meta=b'm')\n"
        "from featurestore.online import _environment\n"
        "original = getattr(_environment, sys.argv[2])\n"
        "def killing(*arguments):\n"
        "    if sys.argv[2] == 'next_folder': original(*arguments)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "setattr(_environment, sys.argv[2], killing)\n"
        "store.compact()"
    )
    assert run_python(code, path, killed_at).returncode == -signal.SIGKILL
    again = LmdbOnlineStore(path)
    assert (read(again, "users", b"1"), read_meta(again, "users")) == ([record(1)], b"m")
    again.write("users", [(b"1", record(2))])
    again.compact()
    assert read(again, "users", b"1") == [record(2)]
    assert len(list(path.rglob("data.mdb"))) == 1
    again.close()


def test_readers_of_a_generation_whose_compaction_was_killed_move_on_with_the_next_publish(
    path: Path, store: LmdbOnlineStore
) -> None:
    store.write("users", [(b"1", record(1))], meta=b"m")
    code = (
        "from featurestore.online import _environment\n"
        "_environment._mark = lambda opened: os.kill(os.getpid(), signal.SIGKILL)\n"
        "LmdbOnlineStore(Path(sys.argv[1])).compact()"
    )
    assert run_python(code, path).returncode == -signal.SIGKILL
    assert read(store, "users", b"1") == [record(1)]
    code = "LmdbOnlineStore(Path(sys.argv[1])).write('users', [(b'1', record(2)), (b'2', record(2))])"
    assert run_python(code, path).returncode == 0
    assert read(store, "users", b"1", b"2") == [record(2), record(2)]
    assert len(list(path.rglob("data.mdb"))) == 1


def bytes_below(path: Path) -> bytes:
    """All bytes of all files in a folder."""
    return b"".join(file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file())
