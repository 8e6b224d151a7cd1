"""The real year of flights, read once, and an installation that has two days of it on its landing folder."""

from pathlib import Path

import pyarrow as pa
import pytest

from feature_repo import nycflights
from tests.feature_repo import flown, landed


@pytest.fixture(scope="session")
def year() -> dict[str, pa.Table]:
    return dict(nycflights.feed())


@pytest.fixture(scope="session")
def two_days(year: dict[str, pa.Table]) -> dict[str, pa.Table]:
    interval = landed.TWO_DAYS
    return {name: landed.between(rows, interval.start, interval.end) for name, rows in year.items()}


@pytest.fixture
def installation(tmp_path: Path, two_days: dict[str, pa.Table]) -> Path:
    landed.set_up(tmp_path)
    for name, rows in two_days.items():
        landed.land(tmp_path, name, rows)
    return tmp_path


@pytest.fixture(scope="session")
def blizzard(year: dict[str, pa.Table], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Days of hourly deliveries with late rows, ingested and built. Read it; whoever writes copies it first."""
    return flown.make(tmp_path_factory.mktemp("blizzard"), year)
