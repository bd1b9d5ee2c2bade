"""The ledger's tables, beside those of the registry. Logs and results are only ever appended to."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

runs = Table(
    "pipeline_runs",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("pipeline", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("state", String, nullable=False),
    Column("trigger", String, nullable=False),  # what started it
    Column("actor", String, nullable=False),
    Column("as_of_us", BigInteger, nullable=False),  # the instant whose knowledge it learns from
    Column("created_at_us", BigInteger, nullable=False),
    Column("ended_at_us", BigInteger),
    Column("parameters", Text, nullable=False),  # JSON: what was set for this run
    Column("code", Text, nullable=False),  # JSON: git commit, whether it was dirty, lock digest
    Column("outcome", Text, nullable=False),  # one sentence
    Index("pipeline_runs_of", "pipeline", "number"),
    sqlite_autoincrement=True,
)

attempts = Table(
    "pipeline_attempts",
    metadata,
    Column("number", Integer, primary_key=True),  # the fence: only the newest attempt in a lane may write
    Column("run", Integer, ForeignKey("pipeline_runs.number"), nullable=False),
    Column("lane", String, nullable=False),
    Column("started_at_us", BigInteger, nullable=False),
    Column("ended_at_us", BigInteger),
    Column("process", String, nullable=False),
    Column("error", Text),
    Index("pipeline_attempts_in", "lane", "number"),
    sqlite_autoincrement=True,
)

steps = Table(
    "pipeline_steps",
    metadata,
    Column("number", Integer, primary_key=True),  # the order in which they ended
    Column("attempt", Integer, ForeignKey("pipeline_attempts.number"), nullable=False),
    Column("name", String, nullable=False),
    Column("run", Integer, ForeignKey("pipeline_runs.number"), nullable=False),
    Column("pipeline", String, nullable=False),
    Column("state", String, nullable=False),
    Column("component", String, nullable=False),  # digest of the code
    Column("fingerprint", String, nullable=False),  # digest of component, inputs and parameters
    Column("started_at_us", BigInteger, nullable=False),
    Column("ended_at_us", BigInteger, nullable=False),
    Column("duration_us", BigInteger, nullable=False),  # by a steady clock
    Column("parameters", Text, nullable=False),  # JSON
    Column("result", Text, nullable=False),  # JSON
    Column("reused_from", Integer),  # the run whose result it is
    Column("error", Text),
    Index("pipeline_steps_like", "pipeline", "name", "fingerprint"),
    UniqueConstraint("attempt", "name"),
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("digest", String, primary_key=True),  # SHA-256 of the bytes
    Column("path", String, nullable=False),  # from the project
    Column("bytes", BigInteger, nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
)

step_artifacts = Table(
    "step_artifacts",
    metadata,
    Column("attempt", Integer, primary_key=True),
    Column("step", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("digest", String, ForeignKey("artifacts.digest"), nullable=False),
)

gate_results = Table(
    "gate_results",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("run", Integer, ForeignKey("pipeline_runs.number"), nullable=False),
    Column("pipeline", String, nullable=False),
    Column("gate", String, nullable=False),
    Column("verdict", String, nullable=False),
    Column("policy", String, nullable=False),  # digest of the declared checks
    Column("at_us", BigInteger, nullable=False),
    Column("summary", Text, nullable=False),
    Column("document", Text, nullable=False),  # JSON: checks, statistics, versions of data, failing rows
    sqlite_autoincrement=True,
)

notices = Table(
    "run_notices",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("run", Integer, ForeignKey("pipeline_runs.number"), nullable=False),
    Column("to", String, nullable=False),  # alert or mlflow
    Column("gate", Integer, ForeignKey("gate_results.number")),  # the result that an alert is about
    Column("at_us", BigInteger, nullable=False),
    Column("done", Boolean, nullable=False),
    Column("text", Text, nullable=False),
    Index("run_notices_of", "run"),
    sqlite_autoincrement=True,
)

observations = Table(
    "trigger_observations",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("pipeline", String, nullable=False),
    Column("trigger", String, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("decision", String, nullable=False),
    Column("run", Integer),
    Column("reason", Text, nullable=False),
    Column("document", Text, nullable=False),  # JSON: what was observed
    Index("trigger_observations_of", "pipeline", "number"),
    sqlite_autoincrement=True,
)

model_versions = Table(
    "model_versions",
    metadata,
    Column("model", String, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("state", String, nullable=False),
    Column("run", Integer, nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
    Column("digest", String, nullable=False),  # SHA-256 of the model's file
    Column("champion", Integer),  # the version that the gate compared with
    Column("document", Text, nullable=False),  # JSON: the rest of ModelDocument
)

state_log = Table(
    "model_state_log",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("model", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("from_state", String),
    Column("to_state", String, nullable=False),
    Column("actor", String, nullable=False),
    Column("reason", Text, nullable=False),
    sqlite_autoincrement=True,
)

aliases = Table(
    "model_aliases",
    metadata,
    Column("model", String, primary_key=True),
    Column("alias", String, primary_key=True),
    Column("version", Integer, nullable=False),
)

alias_log = Table(
    "model_alias_log",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("model", String, nullable=False),
    Column("alias", String, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("from_version", Integer),
    Column("to_version", Integer),
    Column("actor", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("rollback", Boolean, nullable=False),
    sqlite_autoincrement=True,
)

rollbacks = Table(
    "model_rollbacks",
    metadata,
    Column("move", Integer, ForeignKey("model_alias_log.number"), primary_key=True),
    Column("finished_at_us", BigInteger),  # when its pages were written and others were told; null: not yet
)

trigger_memory = Table(
    "trigger_memory",
    metadata,
    Column("pipeline", String, primary_key=True),
    Column("trigger", String, primary_key=True),
    Column("observation", Integer, nullable=False),  # the newest of the trigger
    Column("seen_us", BigInteger, nullable=False),  # when the same was last seen
    Column("times", Integer, nullable=False),  # how often
    Column("document", Text, nullable=False),  # JSON: what was seen then
)

trigger_plans = Table(
    "trigger_plans",
    metadata,
    Column("digest", String, primary_key=True),  # of the definition files; one row
    Column("document", Text, nullable=False),  # JSON: what the pipelines' triggers need to be evaluated
)

run_bases = Table(
    "run_bases",
    metadata,
    Column("run", Integer, ForeignKey("pipeline_runs.number"), primary_key=True),
    Column("data", String, nullable=False),  # digest of the versions of data that it began with
    Column("definition", String, nullable=False),  # digest of the definition files
    Column("views", Text, nullable=False),  # JSON: version, rows and watermark of each view's table
)

view_tables = Table(
    "view_tables",
    metadata,
    Column("name", String, primary_key=True),  # of an offline table, as last looked at
    Column("version", Integer, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("watermark_us", BigInteger),
)

materializations = Table(
    "view_materializations",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("view", String, nullable=False),
    Column("due_us", BigInteger, nullable=False),  # the time of its schedule
    Column("started_at_us", BigInteger, nullable=False),
    Column("ended_at_us", BigInteger),
    Column("state", String, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("watermark_us", BigInteger),
    Column("reason", Text, nullable=False),
    Index("view_materializations_of", "view", "number"),
    sqlite_autoincrement=True,
)
