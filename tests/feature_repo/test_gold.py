"""Gold is a function of the deliveries: same bytes again, whole or in parts; late rows change no earlier instant."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from feature_repo.contracts.base import DataInterval
from feature_repo.contracts.flight_delay import FLIGHT_DELAY
from feature_repo.errors import TransformError
from feature_repo.gold import build, load_silver
from feature_repo.landing import write_delivery
from feature_repo.microbatch import values_by_key
from feature_repo.transforms import compute, grid, open_engine
from feature_repo.use_cases.flight_delay import SOURCES, TRANSFORMS
from infra.lake import Snapshot, source_group, use_case_group, view_table
from tests.feature_repo import flown, landed

TABLES = tuple(view.name for view in FLIGHT_DELAY.views)
TIME_OF = {"population": "prediction_time", "labels": "known_at"}  # of the others: `instant`
# The feed's first days: the weather begins at 07:00, no flight is over before noon, at night nothing is asked.
NEW_YEAR = DataInterval(start=datetime(2013, 1, 1, tzinfo=UTC), end=datetime(2013, 1, 4, tzinfo=UTC))


@pytest.fixture
def installed(blizzard: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(blizzard, tmp_path / "data", symlinks=True))


def gold_tables(root: Path) -> dict[str, pa.Table]:
    """Each table's rows, in order."""
    views = {name: landed.gold(root, view_table(name)) for name in TABLES}
    return views | {"population": landed.gold(root, "population"), "labels": landed.gold(root, "labels")}


def silver_of(root: Path) -> dict[str, Snapshot]:
    return {source.name: landed.snapshot(root, source_group(source.name)) for source in SOURCES}


def test_a_rerun_writes_the_same_bytes(installed: Path) -> None:
    before = gold_tables(installed)
    build(TRANSFORMS, SOURCES, flown.BUILT, lake=landed.lake_of(installed))
    assert gold_tables(installed) == before


def test_an_interval_in_parts_that_end_within_a_day_has_the_same_bytes(installed: Path) -> None:
    before = gold_tables(installed)
    middle = flown.START + timedelta(hours=7)
    for start, end in ((flown.BUILT.start, middle), (middle, flown.BUILT.end), (flown.BUILT.start, middle)):
        build(TRANSFORMS, SOURCES, DataInterval(start=start, end=end), lake=landed.lake_of(installed))
    assert gold_tables(installed) == before


def test_the_first_days_hour_by_hour_have_the_same_bytes_as_at_once(tmp_path: Path, year: dict[str, pa.Table]) -> None:
    landed.set_up(tmp_path)
    delivered = DataInterval(start=NEW_YEAR.start - timedelta(days=1), end=NEW_YEAR.end)
    for name, rows in year.items():
        write_delivery(tmp_path, name, delivered.end, landed.between(rows, delivered.start, delivered.end))
        landed.ingest(tmp_path, name, delivered)
    written: dict[str, list[int]] = {}
    for start in grid(NEW_YEAR, flown.HOUR):
        hour = DataInterval(start=start, end=start + flown.HOUR)
        for name, num_rows in build(TRANSFORMS, SOURCES, hour, lake=landed.lake_of(tmp_path)).items():
            written.setdefault(name, []).append(num_rows)
    by_hour = gold_tables(tmp_path)
    at_once = build(TRANSFORMS, SOURCES, NEW_YEAR, lake=landed.lake_of(tmp_path))
    assert gold_tables(tmp_path) == by_hour
    assert at_once == {name: sum(numbers) for name, numbers in written.items()}
    assert 0 in written["labels"]
    assert all(rows.num_rows for rows in by_hour.values())


def test_before_anything_is_delivered_a_build_writes_nothing_and_says_so(tmp_path: Path) -> None:
    assert set(build(TRANSFORMS, SOURCES, NEW_YEAR, lake=landed.lake_of(tmp_path)).values()) == {0}
    assert not any(rows.num_rows for rows in gold_tables(tmp_path).values())


def test_rows_that_went_are_removed_and_those_of_other_intervals_of_the_day_stay(installed: Path) -> None:
    hour = DataInterval(start=flown.START + 13 * flown.HOUR, end=flown.START + 14 * flown.HOUR)
    rows = gold_tables(installed)
    landed.forget(installed, *(source_group(source.name) for source in SOURCES))
    assert set(build(TRANSFORMS, SOURCES, hour, lake=landed.lake_of(installed)).values()) == {0}
    for name, left in gold_tables(installed).items():
        times = rows[name][TIME_OF.get(name, "instant")]
        others = pc.or_(
            pc.less(times, pa.scalar(hour.start, times.type)), pc.greater_equal(times, pa.scalar(hour.end, times.type))
        )
        assert left.equals(rows[name].filter(others)), name
        assert left.num_rows < rows[name].num_rows, name
    assert set(build(TRANSFORMS, SOURCES, flown.BUILT, lake=landed.lake_of(installed)).values()) == {0}
    assert not any(rows.num_rows for rows in gold_tables(installed).values())


def test_rows_that_went_are_removed_though_they_were_available_days_later(installed: Path) -> None:
    hour = DataInterval(start=flown.START, end=flown.START + flown.HOUR)
    slow = replace(TRANSFORMS, contract=replace(FLIGHT_DELAY, lag=timedelta(days=2)))
    landed.forget(installed, use_case_group("flight_delay"))
    assert all(build(slow, SOURCES, hour, lake=landed.lake_of(installed))[name] for name in TABLES)
    landed.forget(installed, *(source_group(source.name) for source in SOURCES))
    build(slow, SOURCES, hour, lake=landed.lake_of(installed))
    assert not any(rows.num_rows for rows in gold_tables(installed).values())


def test_many_instants_at_once_and_each_alone_have_the_same_rows(blizzard: Path) -> None:
    interval = DataInterval(start=flown.START + timedelta(hours=14), end=flown.START + timedelta(hours=18))
    connection = open_engine(2)
    load_silver(connection, TRANSFORMS, SOURCES, interval, silver_of(blizzard))
    together = compute(connection, TRANSFORMS, list(grid(interval, FLIGHT_DELAY.step)))
    for instant in grid(interval, FLIGHT_DELAY.step):
        alone = compute(connection, TRANSFORMS, [instant])
        for view in FLIGHT_DELAY.views:
            rows = together[view.name]
            ours = rows.filter(pc.equal(rows["instant"], alone[view.name]["instant"][0]))
            assert values_by_key(view, ours) == values_by_key(view, alone[view.name])


def test_what_is_delivered_later_changes_no_earlier_instant(blizzard: Path) -> None:
    instant = flown.START + timedelta(hours=20)
    rows = []
    for end in (instant, flown.END):
        connection = open_engine(2)
        load_silver(connection, TRANSFORMS, SOURCES, DataInterval(start=flown.START, end=end), silver_of(blizzard))
        found = compute(connection, TRANSFORMS, [instant])
        rows.append({view.name: values_by_key(view, found[view.name]) for view in FLIGHT_DELAY.views})
    assert rows[0] == rows[1]


def test_a_change_log_has_no_row_that_repeats_the_instant_before(blizzard: Path) -> None:
    for view in FLIGHT_DELAY.views:
        log = landed.gold(blizzard, view_table(view.name)).sort_by([("instant", "ascending")])
        last: dict[tuple[str, ...], tuple[object, ...]] = {}
        names = [column.name for column in view.columns]
        for row in log.to_pylist():
            key, values = tuple(row[name] for name in view.join_keys), tuple(row[name] for name in names)
            assert row["available_at"] == row["instant"] + FLIGHT_DELAY.lag
            assert row["instant"].hour == 0 or last.get(key) != values, (view.name, row)
            last[key] = values


def test_cancelled_and_diverted_flights_are_labels_without_a_value(blizzard: Path) -> None:
    labels = landed.gold(blizzard, "labels").to_pylist()
    outcomes = {row["outcome"] for row in labels}
    assert outcomes == {"arrived", "cancelled", "diverted"}
    assert all((row["label"] is None) == (row["outcome"] != "arrived") for row in labels)
    assert all(row["label"] == (row["delay_minutes"] >= 15) for row in labels if row["outcome"] == "arrived")


def test_an_interval_off_the_grid_is_refused(blizzard: Path) -> None:
    askew = DataInterval(start=flown.START + timedelta(minutes=1), end=flown.END)
    with pytest.raises(TransformError, match="on the grid"):
        build(TRANSFORMS, SOURCES, askew, lake=landed.lake_of(blizzard))
