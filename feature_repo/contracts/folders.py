"""What lies in a data folder beside the tables of the lake; the one place that spells its paths."""

from pathlib import Path


def landing(data_dir: Path, source: str) -> Path:
    """Deliveries as they come: `<YYYYMMDDTHHMMSSZ>.parquet`; no row in one was delivered at or after that time."""
    return data_dir / "landing" / source


def reference(data_dir: Path, owner: str, name: str) -> Path:
    """A small table that changes by hand: airports, aircraft; one Parquet file of the use case that declares it."""
    return data_dir / "references" / owner / f"{name}.parquet"


def parity_report(data_dir: Path, use_case: str) -> Path:
    """What the last parity run found: `compared`, `mismatched` and a few examples, as JSON."""
    return data_dir / "parity" / f"{use_case}.json"
