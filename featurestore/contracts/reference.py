"""A contract's name, and back: no contract is stored but by the name under which it can be imported again."""

from __future__ import annotations

import importlib

from featurestore.contracts.model import ContractModel, as_contract
from featurestore.errors import InputError


def contract_reference(model: ContractModel) -> str:
    """`module:qualname` of the model; raises InputError when another process could not import it by that."""
    module, name = model.__module__, model.__qualname__
    if module == "__main__":
        raise InputError(
            f"Contract {name} is defined in the program that is run, where no other process finds it; "
            "move it to a module."
        )
    if "<locals>" in name:
        raise InputError(f"Contract {name} is defined inside a function; move it to the top of its module {module}.")
    return f"{module}:{name}"


def load_contract(reference: str) -> ContractModel:
    """The model of a reference as `contract_reference` wrote it; raises InputError when there is none."""
    module, separator, name = reference.partition(":")
    if not (separator and module and name):
        raise InputError(f"'{reference}' is no contract; write module:Class.")
    try:
        found: object = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise InputError(f"Contract {reference} cannot be loaded: {error}.") from error
    return as_contract(found)
