"""The lake: Delta tables in groups that become visible together, opened at their named versions, read only.

Every layer reads through `Lake.open`; only `feature_repo` writes tables.
"""

from infra.lake.errors import LakeError
from infra.lake.groups import BRONZE, LABELS, POPULATION, QUARANTINE, SILVER, source_group, use_case_group, view_table
from infra.lake.snapshot import DAY, DAY_OF_FILE, Lake, Snapshot, days_between

__all__ = [
    "BRONZE",
    "DAY",
    "DAY_OF_FILE",
    "LABELS",
    "POPULATION",
    "QUARANTINE",
    "SILVER",
    "Lake",
    "LakeError",
    "Snapshot",
    "days_between",
    "source_group",
    "use_case_group",
    "view_table",
]
