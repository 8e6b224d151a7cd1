"""The tables as this code knows them: what the migrations have made of an empty database by their last one.

A `reason` is why something began and stays; its `outcome` is what came of it, and why.
"""

from typing import Any

from sqlalchemy import (
    REAL,
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    TextClause,
    text,
)
from sqlalchemy.types import TypeEngine

# The newest schema that this code reads and writes. A migration that older code cannot live with raises it.
BREAKING = 1

metadata = MetaData()


def required(
    name: str, kind: type[TypeEngine[Any]] | TypeEngine[Any] = Text, server_default: TextClause | None = None
) -> Column[Any]:
    return Column(name, kind, nullable=False, server_default=server_default)


# What SQLite calls the same 64 bits when it is asked.
REAL_NUMBER: TypeEngine[float] = Double().with_variant(REAL(), "sqlite")


schema_compatibility = Table("schema_compatibility", metadata, required("breaking", Integer))

incidents = Table(
    "incidents",
    metadata,
    Column("incident_id", Text, primary_key=True),
    required("use_case"),
    required("alert_group"),
    required("severity"),
    required("cause"),
    required("opened_at", BigInteger),
    required("opened_at_wall", BigInteger),
    required("state"),
    required("reason"),
    required("outcome", server_default=text("''")),
    Column("training_id", Text),
    Column("model_version", Text),
    required("updated_at", BigInteger),
)
inbox = Table(
    "inbox",
    metadata,
    Column("incident_id", Text, ForeignKey("incidents.incident_id"), primary_key=True),
    required("use_case"),
    required("requested_at", BigInteger),
    Column("claimed_by", Text),
)
trainings = Table(
    "trainings",
    metadata,
    Column("training_id", Text, primary_key=True),
    required("use_case"),
    required("state"),
    required("admitted_at", BigInteger),
    required("admitted_at_wall", BigInteger),
    Column("dataset_digest", Text),
    Column("run_id", Text),
    Column("model_version", Text),
    Column("gate", Text),
    required("reason"),
    required("outcome", server_default=text("''")),
)
Index(
    "one_open_training",
    trainings.c.use_case,
    unique=True,
    sqlite_where=text("state = 'open'"),
    postgresql_where=text("state = 'open'"),
)
releases = Table(
    "releases",
    metadata,
    Column("release_id", Text, primary_key=True),
    required("use_case"),
    required("model_version"),
    Column("training_id", Text),
    required("set_by"),
    required("alias_set_at_wall", BigInteger),
    Column("served_at_wall", BigInteger),
    required("reason"),
)
switches = Table(
    "switches",
    metadata,
    Column("use_case", Text, primary_key=True),
    required("paused", Integer),
    required("reason"),
    required("updated_at_wall", BigInteger),
)
quality = Table(
    "quality",
    metadata,
    required("use_case"),
    required("source"),
    required("interval_start", BigInteger),
    required("interval_end", BigInteger),
    required("num_rows", Integer),
    required("num_quarantined", Integer),
    required("num_warned", Integer),
    required("score", REAL_NUMBER),
    required("failed", Integer),
    required("details"),
    PrimaryKeyConstraint("use_case", "source", "interval_start", "interval_end"),
)
monitoring_results = Table(
    "monitoring_results",
    metadata,
    required("use_case"),
    required("window_start", BigInteger),
    required("window_end", BigInteger),
    required("result"),
    PrimaryKeyConstraint("use_case", "window_start", "window_end"),
)
# Which database this is, wherever it is copied to: what lies outside it says whose it is.
database_identity = Table("database_identity", metadata, required("database_id"))
# One row each time that a group's tables became visible together; the highest sequence is what readers open.
lake_snapshots = Table(
    "lake_snapshots",
    metadata,
    required("table_group"),
    required("sequence", BigInteger),
    required("versions"),  # JSON: the Delta version by table
    required("named_at_wall", BigInteger),
    PrimaryKeyConstraint("table_group", "sequence"),
)
# Snapshots that something kept was made of, and that stay for as long as it does.
lake_pins = Table(
    "lake_pins",
    metadata,
    required("holder"),
    required("table_group"),
    required("sequence", BigInteger),
    PrimaryKeyConstraint("holder", "table_group"),
)
