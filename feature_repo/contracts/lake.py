"""Where the lake keeps what: the one place that spells its paths, so that layers meet in files, not in imports.

Every table is a folder of `day=YYYY-MM-DD/part.parquet`, the day taken in UTC from the column named here.
"""

from pathlib import Path

PARTITION_FILE = "part.parquet"


def landing(data_dir: Path, source: str) -> Path:
    """Deliveries as they come: `<YYYYMMDDTHHMMSSZ>.parquet`; no row in one was delivered at or after that time."""
    return data_dir / "landing" / source


def bronze(data_dir: Path, source: str) -> Path:
    """As delivered, by day of `delivered_at`."""
    return data_dir / "lake" / "bronze" / source


def silver(data_dir: Path, source: str) -> Path:
    """Clean and without repeats, by day of `delivered_at`."""
    return data_dir / "lake" / "silver" / source


def quarantine(data_dir: Path, source: str) -> Path:
    """Rows that broke a rule, with `rule` and `reason`, by day of `delivered_at`."""
    return data_dir / "lake" / "quarantine" / source


def reference(data_dir: Path, owner: str, name: str) -> Path:
    """A small table that changes by hand: airports, aircraft; one Parquet file of the use case that declares it."""
    return data_dir / "lake" / "reference" / owner / f"{name}.parquet"


def feature_view(data_dir: Path, view: str) -> Path:
    """Rows that changed, by day of `available_at`: keys, `instant`, `available_at`, columns; gone means all null."""
    return data_dir / "lake" / "gold" / view


def population(data_dir: Path, use_case: str) -> Path:
    """What could be asked: the request's fields and `prediction_time`, by day of `prediction_time`."""
    return data_dir / "lake" / "gold" / f"{use_case}__population"


def labels(data_dir: Path, use_case: str) -> Path:
    """What came of it: key fields, `label` (null: there will be none), `outcome`, `known_at`, by day of `known_at`."""
    return data_dir / "lake" / "gold" / f"{use_case}__labels"


def parity_report(data_dir: Path, use_case: str) -> Path:
    """What the last parity run found: `compared`, `mismatched` and a few examples, as JSON."""
    return data_dir / "parity" / f"{use_case}.json"
