"""The registry's tables."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Integer, LargeBinary, MetaData, String, Table, Text

metadata = MetaData()

revisions = Table(
    "revisions",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("applied_at_us", BigInteger, nullable=False),
    Column("applied_by", String, nullable=False),
    Column("summary", Text, nullable=False),  # JSON list of lines
    Column("versions", Text, nullable=False),  # JSON object: the version of each view, removed ones included
)

objects = Table(
    "objects",  # every form an object ever had; the newest revision's form is live when it stands in `live`
    metadata,
    Column("kind", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("revision", Integer, ForeignKey("revisions.number"), primary_key=True),
    Column("version", Integer),  # of a view
    Column("meaning", String, nullable=False),
    Column("document", LargeBinary, nullable=False),
)

live = Table(
    "live",  # what is applied
    metadata,
    Column("kind", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("position", Integer, nullable=False),  # keeps the declared order
)

serving = Table(
    "serving",  # what answers retrievals and lookups
    metadata,
    Column("kind", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("held", Boolean, nullable=False),  # a view that was rolled back stays until somebody says otherwise
)

serving_log = Table(
    "serving_log",  # only ever appended to
    metadata,
    Column("number", Integer, primary_key=True),
    Column("at_us", BigInteger, nullable=False),
    Column("actor", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("kind", String, nullable=False),
    Column("name", String, nullable=False),
    Column("from_revision", Integer),  # null: it did not serve before
    Column("from_version", Integer),
    Column("to_revision", Integer),  # null: it serves no more
    Column("to_version", Integer),
)

datasets = Table(
    "datasets",
    metadata,
    Column("name", String, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("saved_at_us", BigInteger, nullable=False),
    Column("saved_by", String, nullable=False),
    Column("path", String, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("manifest", Text, nullable=False),  # JSON
)

models = Table(
    "models",
    metadata,
    Column("name", String, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("recorded_at_us", BigInteger, nullable=False),
    Column("recorded_by", String, nullable=False),
    Column("dataset", String),
    Column("dataset_version", Integer),
    Column("service", String),
    Column("revision", Integer, nullable=False),
    Column("views", Text, nullable=False),  # JSON object: the version of each view that it learned from
    Column("uri", String),
    Column("digest", String),
    Column("notes", Text, nullable=False),
)
