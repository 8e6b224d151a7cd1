"""Something that was made of a snapshot and is kept, such as a training set, keeps the snapshot with it."""

from infra.database import upsert, writing
from infra.database.schema import lake_pins
from infra.lake.snapshot import Lake, Snapshot


def pin(lake: Lake, snapshot: Snapshot, holder: str) -> None:
    """Have the snapshot stay for as long as `holder` is kept. It must be open, so that it cannot go meanwhile."""
    row = {"holder": holder, "table_group": snapshot.group, "sequence": snapshot.sequence}
    with writing(lake.database) as connection:
        upsert(connection, lake_pins, row)
