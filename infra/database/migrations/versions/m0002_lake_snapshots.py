"""The versions of the lake's tables that became visible together, and what keeps old ones."""

import uuid

from alembic import op

revision, down_revision = "0002", "0001"

TABLES = """
CREATE TABLE lake_snapshots (
    table_group TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    versions TEXT NOT NULL,
    named_at_wall BIGINT NOT NULL,
    PRIMARY KEY (table_group, sequence)
);
CREATE TABLE lake_pins (
    holder TEXT NOT NULL,
    table_group TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    PRIMARY KEY (holder, table_group)
);
CREATE TABLE database_identity (
    database_id TEXT NOT NULL
)
"""


def upgrade() -> None:
    for statement in TABLES.split(";"):
        op.execute(statement)
    op.execute(f"INSERT INTO database_identity (database_id) VALUES ('{uuid.uuid4()}')")
