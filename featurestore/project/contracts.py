"""Contracts by the name under which they were applied, from the project's own files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from featurestore.errors import InputError
from featurestore.plan.catalog import ContractRecord
from featurestore.project.loading import importable

if TYPE_CHECKING:
    from featurestore.contracts.model import ContractModel


@dataclass(frozen=True, slots=True)
class ContractLoader:
    """Loads applied contracts of one project; definitions stand in `folder` below `root`."""

    root: Path
    folder: str

    def __call__(self, record: ContractRecord) -> ContractModel:
        """The contract as it was applied; raises InputError when its code is gone or means something else now."""
        from featurestore.contracts.digest import contract_digest  # pandera is slow to import, and may not be needed
        from featurestore.contracts.reference import load_contract

        with importable(self.root, self.folder):
            contract = load_contract(record.reference)
            digest = contract_digest(contract)
        if digest != record.digest:
            raise InputError(
                f"Contract {record.reference} has changed since it was applied; run `featurestore plan` and `apply` "
                "first, so that what is checked is what is recorded."
            )
        return contract
