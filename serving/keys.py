"""API keys: who may ask for what. A key is shown once, when it is made; the registry's database keeps its digest.

A key reads `fs_<id>_<secret>`: the id finds its record, the secret is 256 random bits. Because the secret is random and
that long, a plain SHA-256 of it at rest gives nothing away, and checking one costs a microsecond.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, MetaData, Row, String, Table, Text, insert, select, update

from featurestore.errors import InputError, UnknownNameError
from featurestore.registry.database import Database
from featurestore.timeline import Clock, format_instant
from serving.routes import Scope

GRANTED = (Scope.FEATURES_READ, Scope.PREDICT, Scope.PUSH, Scope.ADMIN)
_PREFIX = "fs"
_SECRET_BYTES = 32
_ID_BYTES = 6
_LAST_US = 253_402_300_799_999_999  # of the year 9999, the last that can be shown
_NOBODY = hashlib.sha256(b"no such key").hexdigest()

metadata = MetaData()
_keys = Table(
    "api_keys",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("digest", String, nullable=False),  # SHA-256 of the secret, hexadecimal
    Column("scopes", Text, nullable=False),  # JSON list
    Column("views", Text),  # JSON list of the views and services that it is limited to; null: all
    Column("created_at_us", BigInteger, nullable=False),
    Column("created_by", String, nullable=False),
    Column("expires_at_us", BigInteger),
    Column("revoked_at_us", BigInteger),
)


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key, without its secret. `views` None: all; times are microseconds, None: never."""

    id: str
    name: str
    scopes: frozenset[str]
    views: frozenset[str] | None
    created_at_us: int
    created_by: str
    expires_at_us: int | None
    revoked_at_us: int | None
    digest: str

    def __repr__(self) -> str:
        """The key without its digest."""
        return f"Key(id={self.id!r}, name={self.name!r})"

    def permits(self, scope: Scope) -> bool:
        """Whether the key holds a scope; `admin` holds all, those of routes that are added later as well."""
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def state(self, now_us: int) -> str:
        """`active`, `expired` or `revoked`."""
        if self.revoked_at_us is not None:
            return "revoked"
        return "expired" if self.expires_at_us is not None and now_us >= self.expires_at_us else "active"


class Keys:
    """The keys of one project, in its registry's database; `now_us` is the clock of their records."""

    def __init__(self, database: Database, now_us: Clock) -> None:
        self._database = database
        self._now_us = now_us

    def create(
        self,
        name: str,
        scopes: Collection[str],
        created_by: str,
        *,
        views: Iterable[str] | None = None,
        expires_at_us: int | None = None,
    ) -> tuple[Key, str]:
        """Make a key, and return its record and the key itself, which cannot be had again.

        Raises InputError for an unknown scope, none at all, an empty name, and an expiry that is not ahead.
        """
        _check(name, scopes)
        now = self._now_us()
        if expires_at_us is not None and expires_at_us <= now:
            raise InputError(f"A key that expires at {format_instant(expires_at_us)} is expired; give a later instant.")
        if expires_at_us is not None and expires_at_us > _LAST_US:
            raise InputError("A key cannot expire after the year 9999; leave its expiry out to make it good for ever.")
        identity, secret = secrets.token_hex(_ID_BYTES), secrets.token_urlsafe(_SECRET_BYTES)
        limited = None if views is None else sorted(set(views))
        with self._database.writing(metadata) as connection:
            connection.execute(
                insert(_keys).values(
                    id=identity,
                    name=name,
                    digest=_digest(secret),
                    scopes=json.dumps(sorted(scopes)),
                    views=None if limited is None else json.dumps(limited),
                    created_at_us=now,
                    created_by=created_by,
                    expires_at_us=expires_at_us,
                )
            )
        return self._record(identity), f"{_PREFIX}_{identity}_{secret}"

    def all(self) -> tuple[Key, ...]:
        """Every key ever made, oldest first."""
        with self._database.reading(_keys.name) as connection:
            if connection is None:
                return ()
            return tuple(_key(row) for row in connection.execute(select(_keys).order_by(_keys.c.created_at_us)))

    def revoke(self, identity: str) -> Key:
        """Make a key useless from now on; raises UnknownNameError. A second call changes nothing."""
        self._record(identity)
        with self._database.writing(metadata) as connection:
            connection.execute(
                update(_keys)
                .where(_keys.c.id == identity, _keys.c.revoked_at_us.is_(None))
                .values(revoked_at_us=self._now_us())
            )
        return self._record(identity)

    def _record(self, identity: str) -> Key:
        known = {key.id: key for key in self.all()}
        if identity not in known:
            raise UnknownNameError("key", identity, known)
        return known[identity]


def find_key(keys: Mapping[str, Key], given: str) -> Key | None:
    """The record of a key that somebody presents, whatever its state; None for one that was never made.

    Takes as long for an unknown id as for a wrong secret.
    """
    prefix, _, rest = given.partition("_")
    identity, _, secret = rest.partition("_")
    key = keys.get(identity) if prefix == _PREFIX else None
    expected = _NOBODY if key is None else key.digest
    return key if hmac.compare_digest(_digest(secret), expected) else None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def _check(name: str, scopes: Collection[str]) -> None:
    if not name.strip():
        raise InputError("A key needs a name, so that people know whose it is.")
    unknown = sorted(set(scopes) - {scope.value for scope in GRANTED})
    if unknown or not scopes:
        found = f"'{unknown[0]}' is no scope" if unknown else "A key needs one scope or more"
        raise InputError(f"{found}. Scopes: {', '.join(GRANTED)}.")


def _key(row: Row[tuple[object, ...]]) -> Key:
    return Key(
        id=row.id,
        name=row.name,
        scopes=frozenset(json.loads(row.scopes)),
        views=None if row.views is None else frozenset(json.loads(row.views)),
        created_at_us=row.created_at_us,
        created_by=row.created_by,
        expires_at_us=row.expires_at_us,
        revoked_at_us=row.revoked_at_us,
        digest=row.digest,
    )
