"""Gold is a function of the deliveries: same bytes again, whole or in parts; late rows change no earlier instant."""

import shutil
from datetime import timedelta
from pathlib import Path

import pyarrow.compute as pc
import pytest

from feature_repo.contracts import lake
from feature_repo.contracts.base import DataInterval
from feature_repo.contracts.flight_delay import FLIGHT_DELAY
from feature_repo.errors import TransformError
from feature_repo.gold import build, load_silver
from feature_repo.microbatch import values_by_key
from feature_repo.transforms import compute, grid, open_engine
from feature_repo.use_cases.flight_delay import SOURCES, TRANSFORMS
from tests.feature_repo import flown, landed

TABLES = tuple(view.name for view in FLIGHT_DELAY.views)


@pytest.fixture
def installed(blizzard: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(blizzard, tmp_path / "data", symlinks=True))


def gold_digests(root: Path) -> dict[str, dict[str, str]]:
    tables = {name: lake.feature_view(root, name) for name in TABLES}
    tables |= {"population": lake.population(root, "flight_delay"), "labels": lake.labels(root, "flight_delay")}
    return {name: landed.digests(path) for name, path in tables.items()}


def test_a_rerun_writes_the_same_bytes(installed: Path) -> None:
    before = gold_digests(installed)
    build(TRANSFORMS, SOURCES, flown.BUILT, data_dir=installed)
    assert gold_digests(installed) == before


def test_an_interval_in_parts_that_end_within_a_day_has_the_same_bytes(installed: Path) -> None:
    before = gold_digests(installed)
    middle = flown.START + timedelta(hours=7)
    for start, end in ((flown.BUILT.start, middle), (middle, flown.BUILT.end), (flown.BUILT.start, middle)):
        build(TRANSFORMS, SOURCES, DataInterval(start=start, end=end), data_dir=installed)
    assert gold_digests(installed) == before


def test_many_instants_at_once_and_each_alone_have_the_same_rows(blizzard: Path) -> None:
    interval = DataInterval(start=flown.START + timedelta(hours=14), end=flown.START + timedelta(hours=18))
    connection = open_engine(2)
    load_silver(connection, TRANSFORMS, SOURCES, interval, blizzard)
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
        load_silver(connection, TRANSFORMS, SOURCES, DataInterval(start=flown.START, end=end), blizzard)
        found = compute(connection, TRANSFORMS, [instant])
        rows.append({view.name: values_by_key(view, found[view.name]) for view in FLIGHT_DELAY.views})
    assert rows[0] == rows[1]


def test_a_change_log_has_no_row_that_repeats_the_instant_before(blizzard: Path) -> None:
    for view in FLIGHT_DELAY.views:
        log = landed.read(lake.feature_view(blizzard, view.name)).sort_by([("instant", "ascending")])
        last: dict[tuple[str, ...], tuple[object, ...]] = {}
        names = [column.name for column in view.columns]
        for row in log.to_pylist():
            key, values = tuple(row[name] for name in view.join_keys), tuple(row[name] for name in names)
            assert row["available_at"] == row["instant"] + FLIGHT_DELAY.lag
            assert row["instant"].hour == 0 or last.get(key) != values, (view.name, row)
            last[key] = values


def test_cancelled_and_diverted_flights_are_labels_without_a_value(blizzard: Path) -> None:
    labels = landed.read(lake.labels(blizzard, "flight_delay")).to_pylist()
    outcomes = {row["outcome"] for row in labels}
    assert outcomes == {"arrived", "cancelled", "diverted"}
    assert all((row["label"] is None) == (row["outcome"] != "arrived") for row in labels)
    assert all(row["label"] == (row["delay_minutes"] >= 15) for row in labels if row["outcome"] == "arrived")


def test_an_interval_off_the_grid_is_refused(blizzard: Path) -> None:
    askew = DataInterval(start=flown.START + timedelta(minutes=1), end=flown.END)
    with pytest.raises(TransformError, match="on the grid"):
        build(TRANSFORMS, SOURCES, askew, data_dir=blizzard)
