"""Every command is documented: in its own help, and in the table of docs/operations.md."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from featurestore.cli.app import app
from tests.repository.tree import ROOT

_ROW = re.compile(r"^\| `featurestore ([a-z]+(?: [a-z]+)*)", re.MULTILINE)


def _commands(group: TyperGroup, path: tuple[str, ...] = ()) -> Iterator[tuple[str, TyperCommand]]:
    for name, command in group.commands.items():
        match command:
            case TyperGroup():
                yield from _commands(command, (*path, name))
            case TyperCommand():
                yield " ".join((*path, name)), command


def _all_commands() -> dict[str, TyperCommand]:
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    return dict(_commands(group))


COMMANDS = _all_commands()


def test_the_table_of_commands_lists_each_command_once() -> None:
    table = _ROW.findall((ROOT / "docs" / "operations.md").read_text(encoding="utf-8"))
    assert sorted(table) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_explains_itself_and_its_parameters(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    unexplained = [parameter.name for parameter in command.params if not getattr(parameter, "help", None)]
    assert unexplained == []


@pytest.mark.parametrize("name", COMMANDS)
def test_what_a_command_does_fits_beside_its_name_in_a_list_of_80_columns(name: str) -> None:
    group = name.rpartition(" ")[0]
    widest = max(len(other.rpartition(" ")[2]) for other in COMMANDS if other.rpartition(" ")[0] == group)
    summary = COMMANDS[name].get_short_help_str(80 - len("  ") - widest - len("    "))
    assert summary.endswith(".")
    assert not summary.endswith("...")


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - {"init"}))
def test_a_command_can_answer_in_json(name: str) -> None:
    options = [option for parameter in COMMANDS[name].params for option in parameter.opts]
    assert "--json" in options
