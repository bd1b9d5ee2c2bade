"""Definition files and configuration: loaded together, all faults at once."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from featurestore.engines.duckdb import DuckDbEngine
from featurestore.errors import ConfigurationError, DefinitionError
from featurestore.plan.catalog import Catalog
from featurestore.project.cataloging import declared_catalog
from featurestore.project.configuration import find_root, load_configuration
from featurestore.project.loading import load_declarations

HEAD = """\
from datetime import timedelta
from featurestore import *
"""
CUSTOMER = """\
customer = Entity("customer", join_keys={"customer": String})
purchases = ParquetSource("purchases", path="p.parquet", event_timestamp="at")
"""
VIEW = 'last = FeatureView("last", entities=[customer], source=purchases, features=[Feature("amount", Float64)])\n'


def write(root: Path, **files: str) -> Path:
    (root / "feature_defs").mkdir(exist_ok=True)
    for name, text in files.items():
        (root / "feature_defs" / f"{name}.py").write_text(text)
    return root


def declared(root: Path) -> Catalog:
    return declared_catalog(load_declarations(root, "feature_defs"), root, DuckDbEngine())


def faults(root: Path) -> list[str]:
    with pytest.raises(DefinitionError) as caught:
        declared(root)
    return [str(fault) for fault in caught.value.faults]


def test_files_may_import_each_other_and_each_object_counts_once(tmp_path: Path) -> None:
    write(tmp_path, a=HEAD + CUSTOMER, b=HEAD + "from feature_defs.a import customer, purchases\n" + VIEW)
    catalog = declared(tmp_path)
    assert (list(catalog.entities), list(catalog.sources), list(catalog.views)) == (
        ["customer"],
        ["purchases"],
        ["last"],
    )


def test_what_a_view_refers_to_is_declared_with_it(tmp_path: Path) -> None:
    inside = 'FeatureView("last", entities=[Entity("c", join_keys={"c": Int64})], features=[Feature("a", Int64)],\n'
    inside += '    source=CsvSource("s", path="s.csv", event_timestamp="t"))\n'
    write(tmp_path, a=HEAD + "view = " + inside)
    catalog = declared(tmp_path)
    assert (list(catalog.entities), list(catalog.sources)) == (["c"], ["s"])


def test_faults_of_all_files_are_reported_at_once_with_file_and_line(tmp_path: Path) -> None:
    write(
        tmp_path,
        a=HEAD + 'bad = Entity("a b", join_keys={"a": String})\nworse = Entity("x", join_keys={"a": Float64})\n',
        b=HEAD + "def broken(:\n",
        c=HEAD + "missing_name\n",
        d=HEAD + "from feature_defs.a import nothing\n",
    )
    found = faults(tmp_path)
    assert [fault.split(": ")[0] for fault in found] == [
        "feature_defs/a.py:3",
        "feature_defs/a.py:4",
        "feature_defs/b.py:3",
        "feature_defs/c.py:3",
        "feature_defs/d.py:3",
    ]
    assert "invalid syntax" in found[2]
    assert "'missing_name' is not declared" in found[3]
    assert "cannot import name 'nothing'" in found[4]


def test_two_views_of_one_name_are_refused_with_both_places(tmp_path: Path) -> None:
    other = VIEW.replace("amount", "items")
    write(tmp_path, a=HEAD + CUSTOMER + VIEW, b=HEAD + "from feature_defs.a import customer, purchases\n" + other)
    assert faults(tmp_path) == ["feature_defs/b.py:4: 'last' is declared at feature_defs/a.py:5 too; rename one."]


def test_a_view_and_an_on_demand_view_may_not_share_a_name(tmp_path: Path) -> None:
    twin = "import polars as pl\n"
    twin += (
        'twin = OnDemandFeatureView("last", inputs=[RequestSource("r", {"x": Int64})], features={"y": pl.col("x")})\n'
    )
    write(tmp_path, a=HEAD + CUSTOMER + VIEW + twin)
    assert "is declared at feature_defs/a.py:5 too" in faults(tmp_path)[0]


def test_a_service_may_not_have_the_name_of_a_view(tmp_path: Path) -> None:
    write(tmp_path, a=HEAD + CUSTOMER + VIEW + 'service = FeatureService("last", features=[last])\n')
    assert "'last' is declared at feature_defs/a.py:5 too; rename one." in faults(tmp_path)[0]


def test_sql_that_cannot_be_used_is_a_fault_of_its_declaration(tmp_path: Path) -> None:
    random_rows = 'rows = SqlSource("rows", sql="SELECT *, random() AS r FROM purchases", inputs=[purchases], '
    write(tmp_path, a=HEAD + CUSTOMER + random_rows + 'event_timestamp="at")\n')
    [fault] = faults(tmp_path)
    assert fault.startswith("feature_defs/a.py:5: source 'rows': ")
    assert "random" in fault


def test_a_reload_forgets_what_was_loaded_before(tmp_path: Path) -> None:
    write(tmp_path, a=HEAD + CUSTOMER + VIEW)
    load_declarations(tmp_path, "feature_defs")
    write(tmp_path, a=HEAD + CUSTOMER)
    names = [declaration.name for declaration in load_declarations(tmp_path, "feature_defs")]
    assert names == ["customer", "purchases"]


def test_a_file_that_is_no_text_is_a_fault(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "feature_defs" / "a.py").write_bytes(b"\xff\xfe\x00bad")
    assert faults(tmp_path)[0].startswith("feature_defs/a.py")


def test_a_folder_without_definitions_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not exist; create it"):
        load_declarations(tmp_path, "feature_defs")
    write(tmp_path)
    with pytest.raises(ConfigurationError, match="holds no Python file"):
        load_declarations(tmp_path, "feature_defs")


def configured(root: Path, text: str) -> Path:
    (root / "featurestore.toml").write_text(text)
    return root


def test_the_root_is_found_from_a_folder_below_it(tmp_path: Path) -> None:
    configured(tmp_path, 'project = "shop"')
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert find_root(tmp_path / "a" / "b") == tmp_path
    with pytest.raises(ConfigurationError, match="featurestore init"):
        find_root(Path("/"))


def test_every_key_is_overridden_by_the_environment(tmp_path: Path) -> None:
    configured(tmp_path, 'project = "shop"\n[online]\nurl = "lmdb://a"\n')
    environment = {"FEATURESTORE_ONLINE__URL": "memory://", "FEATURESTORE_OFFLINE__THREADS": "3", "HOME": "x"}
    configuration = load_configuration(tmp_path, environment)
    assert (configuration.online.url, configuration.offline.threads) == ("memory://", 3)
    assert load_configuration(tmp_path, {"FEATURESTORE_PROJECT": "other"}).project == "other"
    with pytest.raises(
        ConfigurationError, match=r"overridden by FEATURESTORE_SERVING__PORT: serving\.port: .* found '0x'"
    ):
        load_configuration(tmp_path, {"FEATURESTORE_SERVING__PORT": "0x"})


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        (
            "FEATURESTORE_ONLINE_URL",
            "^FEATURESTORE_ONLINE_URL is no .*; write FEATURESTORE_ONLINE__URL, with two under",
        ),
        ("FEATURESTORE_ONLNE__URL", "^FEATURESTORE_ONLNE__URL: there is no setting 'onlne'. Settings: online.url, "),
        (
            "FEATURESTORE_ONLINE__ULR",
            "^FEATURESTORE_ONLINE__ULR: there is no setting 'online.ulr'. Settings: online.url",
        ),
    ],
)
def test_a_variable_that_sets_nothing_is_told_by_its_name(tmp_path: Path, variable: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load_configuration(configured(tmp_path, 'project = "shop"'), {variable: "memory://"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("project = ", "is no TOML"),
        ("", "'project' is missing"),
        ('project = "a b"', "project: .*found 'a b'"),
        ('project = "a"\n[onlin]\nurl = "x"', r"toml: there is no setting 'onlin'\. Settings: .* and \d+ more\.$"),
        (
            'project = "a"\n[offline]\npath = "s3://bucket/x"',
            "offline.path: .*object stores are not built yet, found 's3",
        ),
        ('project = "a"\n[online]\nulr = "x"', "no setting 'online.ulr'. Settings: online.url"),
        ('project = "a"\n[offline]\nengine = "spark"', "offline.engine: .*found 'spark'"),
        ('project = "a"\n[offline]\nmemory_limit = "lots"', "such as 4GB, found 'lots'"),
        (
            'project = "shop"\n[serving]\ncors_origins = ["shop.example"]',
            "an origin is a scheme and a host, as in https",
        ),
    ],
)
def test_a_wrong_configuration_names_the_key_and_the_remedy(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load_configuration(configured(tmp_path, text), {})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"import sys; sys.exit(0)", "bad.py:1: SystemExit: 0"),
        (b"x = 1\x00", "bad.py: invalid syntax: source code string cannot contain null bytes."),
        (b"x = '\xff'", "bad.py:1: invalid syntax: (unicode error)"),
        (None, "bad.py: the file cannot be read: No such file or directory; grant rights, or remove it."),
    ],
)
def test_a_file_that_ends_the_process_or_cannot_be_read_is_a_fault(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    write(tmp_path, a=HEAD + CUSTOMER)
    bad = tmp_path / "feature_defs" / "bad.py"
    if content is None:
        bad.symlink_to(tmp_path / "gone.py")
    else:
        bad.write_bytes(content)
    [fault] = faults(tmp_path)
    assert fault.startswith(f"feature_defs/{message}")


def test_an_argument_that_is_misspelt_is_told_with_those_there_are(tmp_path: Path) -> None:
    [fault] = faults(write(tmp_path, a=HEAD + CUSTOMER + VIEW.replace("entities=", "entites=")))
    assert fault.startswith("feature_defs/a.py:5: FeatureView has no argument 'entites'. Arguments: entities, ")


def test_what_definition_files_print_stays_off_stdout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(declared(write(tmp_path, a=HEAD + CUSTOMER + 'print("hello")\n')).entities) == ["customer"]
    assert capsys.readouterr() == ("", "hello\n")


def test_a_service_that_names_a_removed_view_is_told_its_name_and_place(tmp_path: Path) -> None:
    service = 'buyer = FeatureService("buyer", features=[last])\n'
    assert list(declared(write(tmp_path, a=HEAD + CUSTOMER + VIEW + service)).services) == ["buyer"]
    [fault] = faults(write(tmp_path, a=HEAD + CUSTOMER + service))
    assert fault.startswith("feature_defs/a.py:5: 'last' is not declared; declare it above, import it, or take it out")


@pytest.mark.parametrize("folder", ["/tmp", "../elsewhere", ".", "feature-defs", ""])
def test_definitions_stand_in_a_folder_of_the_project(tmp_path: Path, folder: str) -> None:
    (tmp_path / "featurestore.toml").write_text(f'project = "shop"\ndefinitions = "{folder}"\n')
    with pytest.raises(ConfigurationError, match=f"definitions: name a folder below the project .* found '{folder}'"):
        load_configuration(tmp_path, {})


def test_an_edit_within_one_second_that_keeps_the_size_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    for name in ("last", "next"):
        write(tmp_path, a=HEAD + CUSTOMER + VIEW.replace('"last"', f'"{name}"'))
        os.utime(tmp_path / "feature_defs" / "a.py", (1, 1))
        assert list(declared(tmp_path).views) == [name]


def test_views_that_read_each_other_are_a_cycle_named_in_order(tmp_path: Path) -> None:
    pl.DataFrame({"customer": ["a"], "at": [datetime(2024, 1, 1, tzinfo=UTC)], "amount": [1.0]}).write_parquet(
        tmp_path / "p.parquet"
    )
    views = (
        "day = timedelta(days=1)\n"
        'a0 = FeatureView("a", entities=[customer], source=purchases, every=day, features=[TOTAL])\n'
        'b = FeatureView("b", entities=[customer], source=a0, every=day, features=[TOTAL])\n'
        'a = FeatureView("a", entities=[customer], source=b, every=day, features=[TOTAL])\n'
    ).replace("TOTAL", 'Aggregation("amount", "sum", window=day, name="amount")')
    write(tmp_path, a=HEAD + CUSTOMER + views)
    assert faults(tmp_path) == [
        "feature_defs/a.py:8: views form a cycle: 'a' -> 'b' -> 'a'. A view cannot be computed from itself; break the "
        "chain or rename one."
    ]
