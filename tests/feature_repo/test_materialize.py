"""What the gold of an earlier contract brings to the online store."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from feature_repo.contracts.flight_delay import FLIGHT_DELAY
from feature_repo.feast_stores import empty_change_log
from feature_repo.materialize import materialize
from feature_repo.online_store import OnlineStore
from infra.lake import view_table
from tests.feature_repo.landed import lake_of, write_gold

INSTANT = datetime(2013, 2, 4, tzinfo=UTC)


def test_a_column_that_was_declared_since_is_absent(tmp_path: Path) -> None:
    view = FLIGHT_DELAY.views[0]
    (*others, newest) = view.columns
    keys = dict.fromkeys(view.join_keys, "EWR")
    values = {column.name: 1 for column in others}
    row = {**keys, **values, "instant": INSTANT, "available_at": INSTANT + FLIGHT_DELAY.lag}
    log = pa.Table.from_pylist([row], schema=empty_change_log(view).schema).drop_columns([newest.name])
    write_gold(tmp_path, view_table(view.name), log, "available_at")
    store = OnlineStore(tmp_path / "online_store.db", FLIGHT_DELAY)

    materialize(FLIGHT_DELAY, store, lake=lake_of(tmp_path), now=INSTANT + FLIGHT_DELAY.lag)

    _, held = store.contents()
    ((_, found),) = held[view.name].items()
    assert [*found.values] == [1] * len(others) + [None]
