"""What is particular to the store in a directory: processes, crashes, full disks, a map that grows."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import lmdb
import pytest

from featurestore.errors import OnlineStoreError
from featurestore.online import _environment
from featurestore.online import lmdb as lmdb_module
from featurestore.online.lmdb import LmdbOnlineStore
from featurestore.testing.online.records import read, read_meta, record
from tests.online.processes import run_python

KEYS = [b"%03d" % i for i in range(50)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "online"


@pytest.fixture
def store(path: Path) -> Iterator[LmdbOnlineStore]:
    store = LmdbOnlineStore(path)
    yield store
    store.close()


def in_child(action: Callable[[], None]) -> int:
    """The exit code of a forked child that does the action: 0 when it raised nothing."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            action()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


class TestSharing:
    def test_two_stores_on_one_directory_see_each_other(self, path: Path, store: LmdbOnlineStore) -> None:
        other = LmdbOnlineStore(path / ".." / "online")
        store.write("users", [(b"1", record(1))])
        assert read(other, "users", b"1") == [record(1)]
        store.close()
        assert read(other, "users", b"1") == [record(1)]
        other.close()
        again = LmdbOnlineStore(path)
        assert read(again, "users", b"1") == [record(1)]
        again.close()

    def test_a_store_that_is_let_go_gives_its_environment_back(self, path: Path) -> None:
        first = LmdbOnlineStore(path)
        first.write("users", [(b"1", record(1))])
        del first
        gc.collect()
        lmdb.open(str(path), max_dbs=2).close()  # py-lmdb refuses to open twice

    def test_a_directory_made_anew_under_an_open_store_is_a_new_store(self, path: Path, store: LmdbOnlineStore) -> None:
        store.write("users", [(b"1", record(1))])
        shutil.rmtree(path)
        anew = LmdbOnlineStore(path)
        assert anew.namespaces() == []
        anew.write("items", [(b"1", record(1))])
        assert anew.namespaces() == ["items"]
        assert store.namespaces() == ["users"]
        anew.close()


class TestProcesses:
    def test_another_process_reads_what_was_published_and_the_other_way_round(
        self, path: Path, store: LmdbOnlineStore
    ) -> None:
        store.replace("users", [(key, record(1)) for key in KEYS], meta=b"m")
        done = run_python(
            "store = LmdbOnlineStore(Path(sys.argv[1])); assert read(store, 'users', b'007') == [record(1)]\n"
            "store.replace('users', [(b'new', record(2))], meta=b'n')",
            path,
        )
        assert done.returncode == 0, done.stderr
        assert store.read([("users", (b"007", b"new"))]) == [(b"n", [None, record(2)])]

    def test_processes_that_race_let_the_greatest_stamp_win(self, path: Path, store: LmdbOnlineStore) -> None:
        code = (
            "store = LmdbOnlineStore(Path(sys.argv[1])); first = int(sys.argv[2])\n"
            "for i in range(first, 60, 3): store.write('users', [(b'k%d' % (i % 5), record(i)), (b'k', record(i))])"
        )
        racers = [threading.Thread(target=run_python, args=(code, path, first)) for first in range(3)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        assert read(store, "users", b"k", *(b"k%d" % i for i in range(5))) == [
            record(59), record(55), record(56), record(57), record(58), record(59)
        ]  # fmt: skip

    def test_a_process_that_grew_the_map_stops_nobody(self, path: Path) -> None:
        store = LmdbOnlineStore(path, map_size=1 << 20)
        store.write("users", [(b"1", record(1))])
        done = run_python(
            "store = LmdbOnlineStore(Path(sys.argv[1]))\n"
            "store.replace('items', ((b'%08d' % i, record(1, value=bytes(900))) for i in range(20_000)), meta=b'm')",
            path,
        )
        assert done.returncode == 0, done.stderr
        assert read(store, "users", b"1") == [record(1)]
        assert store.count("items") == 20_000
        store.write("users", [(b"2", record(1))])
        assert store.count("users") == 2
        store.close()

    def test_a_publisher_killed_halfway_leaves_the_old_and_its_space_is_used_again(
        self, path: Path, store: LmdbOnlineStore
    ) -> None:
        store.replace("users", [(key, record(1)) for key in KEYS], meta=b"old")
        done = run_python(
            "def items():\n"
            "    for i in range(200_000):\n"
            "        yield b'%08d' % i, record(2, value=bytes(200))\n"
            "    os.kill(os.getpid(), signal.SIGKILL)\n"
            "LmdbOnlineStore(Path(sys.argv[1])).replace('users', items(), meta=b'new')",
            path,
        )
        assert done.returncode == -signal.SIGKILL
        assert store.read([("users", KEYS)]) == [(b"old", [record(1)] * 50)]
        assert store.count("users") == 50
        assert store.replace("users", [(b"1", record(3))], meta=b"third") == 1
        assert store.read([("users", (b"1", b"00000001"))]) == [(b"third", [record(3), None])]

    def test_readers_that_were_killed_leave_room_for_others(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_environment, "_MAX_READERS", 3)
        store = LmdbOnlineStore(path)
        store.write("users", [(b"1", record(1))])
        done = run_python(
            "store = LmdbOnlineStore(Path(sys.argv[1]))\n"
            "readers = [store._environment().opened().env.begin() for _ in range(3)]\n"
            "os.kill(os.getpid(), signal.SIGKILL)",
            path,
        )
        assert done.returncode == -signal.SIGKILL
        assert read(store, "users", b"1") == [record(1)]
        store.close()


class TestFork:
    def test_a_child_reads_and_publishes_and_the_parent_goes_on(self, store: LmdbOnlineStore) -> None:
        def publish() -> None:
            assert read(store, "users", b"1") == [record(1)]
            store.write("users", [(b"2", record(2))])
            store.replace("items", [(b"1", record(3))], meta=b"m")

        store.write("users", [(b"1", record(1))])
        assert in_child(publish) == 0
        assert read(store, "users", b"1", b"2") == [record(1), record(2)]
        assert read(store, "items", b"1") == [record(3)]

    def test_threads_go_on_reading_and_writing_while_the_process_forks(self, store: LmdbOnlineStore) -> None:
        stop = threading.Event()
        failures: list[BaseException] = []

        def work(publish: bool) -> None:
            try:
                while not stop.is_set():
                    [(meta, records)] = store.read([("users", KEYS)])
                    assert (meta, records) == (b"m", [record(1)] * 50)
                    if publish:
                        store.write("items", [(b"1", record(1))])
            except BaseException as error:  # noqa: BLE001  the thread's end, reported below
                failures.append(error)

        def publish_in_child() -> None:
            store.write("users", [(b"000", record(1))])

        store.replace("users", [(key, record(1)) for key in KEYS], meta=b"m")
        workers = [threading.Thread(target=work, args=(publish,)) for publish in (False, False, True)]
        for worker in workers:
            worker.start()
        codes = [in_child(publish_in_child) for _ in range(10)]
        stop.set()
        for worker in workers:
            worker.join()
        assert failures == []
        assert codes == [0] * 10


class TestMap:
    def test_it_grows_while_readers_read(self, path: Path) -> None:
        store = LmdbOnlineStore(path, map_size=1 << 20)
        store.replace("users", [(key, record(1)) for key in KEYS], meta=b"m")
        items = ((b"%08d" % i, record(1, value=bytes(900))) for i in range(30_000))
        publisher = threading.Thread(target=store.replace, args=("items", items), kwargs={"meta": b"m"})
        publisher.start()
        while publisher.is_alive():
            assert store.read([("users", KEYS)]) == [(b"m", [record(1)] * 50)]
        assert store.count("items") == 30_000
        assert store._environment().opened().env.info()["map_size"] >= 32 << 20
        store.close()

    def test_a_store_takes_only_so_many_namespaces(
        self, store: LmdbOnlineStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lmdb_module, "MAX_NAMESPACES", 2)
        store.write("a", [])
        store.write("b", [])
        store.replace("a", [(b"1", record(1))], meta=b"m")  # a switch needs a slot more
        with pytest.raises(OnlineStoreError, match="holds 2 namespaces and takes no more; drop unused ones"):
            store.write("c", [])
        store.drop("b")
        store.write("c", [])
        assert store.namespaces() == ["a", "c"]

    def test_what_was_replaced_is_not_kept(self, path: Path, store: LmdbOnlineStore) -> None:
        for version in range(4):
            store.replace("users", [(key, record(version)) for key in KEYS], meta=b"m")
        store.close()
        with lmdb.open(str(path), max_dbs=10) as env, env.begin() as txn:
            kept = {name: txn.stat(env.open_db(name, txn=txn))["entries"] for name in env.dbs(txn)}
        assert sorted(kept.values()) == [0, 1, 50]  # a free slot, the catalog, the records

    def test_a_handle_opened_during_a_read_begins_the_read_again(self, path: Path, store: LmdbOnlineStore) -> None:
        store.write("users", [(b"1", record(1))])
        run_python("LmdbOnlineStore(Path(sys.argv[1])).write('items', [(b'1', record(2))], meta=b'i')", path)
        assert store.read([("users", (b"1",)), ("items", (b"1",))]) == [(None, [record(1)]), (b"i", [record(2)])]


class TestBadDirectories:
    def test_a_file_in_the_place_of_the_directory(self, tmp_path: Path) -> None:
        (tmp_path / "online").write_text("not a directory")
        with pytest.raises(OnlineStoreError, match=r"The online store at .*/online cannot be opened: File exists\."):
            LmdbOnlineStore(tmp_path / "online")

    def test_a_damaged_file(self, tmp_path: Path) -> None:
        (tmp_path / "data.mdb").write_bytes(b"z" * 9_000)
        with pytest.raises(OnlineStoreError, match=r"cannot be opened: .*; move the directory away and publish again"):
            LmdbOnlineStore(tmp_path)

    def test_a_failed_opening_leaves_nothing_open(self, tmp_path: Path) -> None:
        (tmp_path / "data.mdb").write_bytes(b"z" * 9_000)
        with pytest.raises(OnlineStoreError):
            LmdbOnlineStore(tmp_path)
        (tmp_path / "data.mdb").unlink()
        store = LmdbOnlineStore(tmp_path)
        store.write("users", [(b"1", record(1))])
        store.close()

    @pytest.mark.skipif(os.getuid() != 0, reason="only root can become a user without rights")
    def test_a_directory_without_rights(self, path: Path, store: LmdbOnlineStore) -> None:
        store.write("users", [(b"1", record(1))])
        for parent in (path.parent, path):
            parent.chmod(0o755)
        done = run_python(
            "os.setuid(65534)\ntry: LmdbOnlineStore(Path(sys.argv[1]))\nexcept OnlineStoreError as error: print(error)",
            path,
        )
        assert "cannot be opened: Permission denied; give this user the right to read and write" in done.stdout, done

    def test_a_full_disk_leaves_what_was_published(self, path: Path, store: LmdbOnlineStore) -> None:
        store.replace("users", [(key, record(1)) for key in KEYS], meta=b"old")
        size = (path / "data.mdb").stat().st_size
        done = run_python(
            "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)\n"
            "store = LmdbOnlineStore(Path(sys.argv[1]))\n"
            "items = [(b'%08d' % i, record(2, value=bytes(900))) for i in range(30_000)]\n"
            "for publish in (lambda: store.replace('users', items, meta=b'n'), lambda: store.write('users', items)):\n"
            "    try: publish()\n"
            "    except OnlineStoreError as error: print(error)\n"
            "assert read(store, 'users', b'007') == [record(1)]",
            path,
            size + (1 << 20),
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("cannot be written: the disk is full or failing") == 2, done
        assert store.read([("users", KEYS)]) == [(b"old", [record(1)] * 50)]

    def test_a_disk_that_fails_a_write_is_named(self, store: LmdbOnlineStore, monkeypatch: pytest.MonkeyPatch) -> None:
        def no_space(*args: object) -> None:
            raise lmdb.DiskError("mdb_txn_commit: No space left on device")

        monkeypatch.setattr(lmdb_module, "_put_entry", no_space)
        with pytest.raises(
            OnlineStoreError, match=r"the disk is full or failing \(No space left on device\); free some"
        ):
            store.write("users", [], meta=b"m")


class TestLongKeys:
    def test_of_two_keys_with_one_digest_neither_answers_for_the_other(
        self, store: LmdbOnlineStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lmdb_module, "_stored_key", lambda key: b"digest")
        store.write("users", [(b"a" * 600, record(1))])
        assert read(store, "users", b"a" * 600, b"b" * 600, b"") == [record(1), None, None]


class TestSnapshots:
    def test_metadata_is_of_the_same_instant_as_the_records(self, store: LmdbOnlineStore) -> None:
        for version in range(5):
            store.write("users", [(b"1", record(version))], meta=b"%d" % version)
            assert store.read([("users", (b"1",))]) == [(b"%d" % version, [record(version)])]
            store.write("items", [(b"1", record(version))])
            assert read_meta(store, "users") == b"%d" % version

    def test_a_writer_waits_for_a_replace_of_another_process(self, path: Path, store: LmdbOnlineStore) -> None:
        with _environment.acquire(path, 0).publishing(exclusive=True):
            writer = threading.Thread(target=store.write, args=("users", [(b"1", record(1))]))
            writer.start()
            writer.join(timeout=0.05)
            assert writer.is_alive()
            assert read(store, "users", b"1") == [None]
        writer.join(10)
        assert read(store, "users", b"1") == [record(1)]
        _environment.release(store._environment())
