"""Entities: what features are about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from featurestore.definitions.faults import Faults, Location
from featurestore.dtypes import KEY_TYPES, DType


@dataclass(frozen=True, slots=True)
class Entity:
    """What features are about: named by one or more typed join keys, in the declared order.

    Join keys are integers, Bool, String, Bytes, Date or Timestamp.
    """

    name: str
    join_keys: Mapping[str, DType]
    description: str = ""
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    declared_at: Location | None = field(default=None, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        faults = Faults(f"Entity '{self.name}'")
        object.__setattr__(self, "declared_at", faults.site)
        faults.name(self.name)
        faults.texts(self.description, self.owner, self.tags)
        if not isinstance(self.join_keys, Mapping) or not self.join_keys:
            faults.add(f"join_keys must map one or more names to types, found {self.join_keys!r}.")
        else:
            object.__setattr__(self, "join_keys", dict(self.join_keys))
            for key, dtype in self.join_keys.items():
                faults.column(key, "join key")
                faults.dtype(dtype, f"join key '{key}'")
                faults.add_if(
                    isinstance(dtype, DType) and dtype.name not in KEY_TYPES,
                    f"join key '{key}' cannot be {dtype}: keys are integers, Bool, String, Bytes, Date or Timestamp.",
                )
        faults.done()
