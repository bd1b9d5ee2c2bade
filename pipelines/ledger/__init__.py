"""What was run, found, stored and promoted: tables in the registry's database, written in transactions."""

from pipelines.ledger.ledger import Ledger, open_ledger

__all__ = ["Ledger", "open_ledger"]
