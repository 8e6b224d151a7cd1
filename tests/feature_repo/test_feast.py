"""Feast's own SDK and ours agree: the registry, the bytes online, the point-in-time join, and parity on top of it."""

import json
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pytest
from feast import FeatureStore
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value as FeastValue

from feature_repo import offline, parity
from feature_repo.contracts.base import ColumnType, FeatureViewContract, Value
from feature_repo.contracts.flight_delay import FLIGHT_DELAY
from feature_repo.contracts.prediction_log import DDL
from feature_repo.errors import ParityError
from feature_repo.feast_layout import decode_key, decode_value, encode_key, encode_value
from feature_repo.feast_stores import ARROW_TYPES
from feature_repo.gold import build
from feature_repo.landing import write_delivery
from feature_repo.materialize import materialize, rows_at
from feature_repo.online_store import Key, OnlineStore, Row
from feature_repo.transforms import PRELUDE
from feature_repo.use_cases.flight_delay import SOURCES, TRANSFORMS
from infra.clock import to_microseconds
from infra.lake import source_group, view_table
from infra.settings import Settings, child_environment
from tests.feature_repo import flown, landed

NOW = flown.START + timedelta(hours=20, minutes=30)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(blizzard: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Registered by `feast apply`, its online store as of NOW."""
    root = Path(shutil.copytree(blizzard, tmp_path_factory.mktemp("feast") / "data", symlinks=True))
    environment = child_environment(Settings(data_dir=root))
    command = [str(Path(sys.executable).parent / "feast"), "-f", "feature_repo/feature_store.yaml", "apply"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, timeout=300)
    materialize(FLIGHT_DELAY, OnlineStore(root / "online_store.db", FLIGHT_DELAY), lake=landed.lake_of(root), now=NOW)
    return root


@pytest.fixture(scope="module")
def feast(installed: Path) -> FeatureStore:
    return landed.feast_of(installed)


def requests(root: Path) -> pa.Table:
    return landed.gold(root, "population")


@pytest.mark.parametrize("keys", [{"origin": "JFK"}, {"origin": "LGA", "carrier": "ÜA"}], ids=["one", "two"])
def test_entity_keys_are_feasts_bytes(keys: dict[str, str]) -> None:
    message = EntityKey(join_keys=list(keys), entity_values=[FeastValue(string_val=value) for value in keys.values()])
    ours = encode_key(list(keys), list(keys.values()))
    assert ours == serialize_entity_key(message, 3)
    assert decode_key(ours) == keys


@pytest.mark.parametrize(
    ("type_", "value", "message"),
    [
        (ColumnType.FLOAT32, 0.0, FeastValue(float_val=0.0)),
        (ColumnType.FLOAT32, -12.5, FeastValue(float_val=-12.5)),
        (ColumnType.INT64, 0, FeastValue(int64_val=0)),
        (ColumnType.INT64, 1_360_345_123, FeastValue(int64_val=1_360_345_123)),
        (ColumnType.INT64, -1, FeastValue(int64_val=-1)),
        (ColumnType.STRING, "", FeastValue(string_val="")),
        (ColumnType.STRING, "é" * 200, FeastValue(string_val="é" * 200)),
        (ColumnType.FLOAT32, None, FeastValue()),
    ],
)
def test_values_are_feasts_bytes(type_: ColumnType, value: float | int | str | None, message: FeastValue) -> None:
    assert encode_value(type_, value) == message.SerializeToString()
    assert decode_value(message.SerializeToString()) == value


def ask(feast: FeatureStore, view: FeatureViewContract, keys: list[dict[str, str]]) -> list[tuple[object, ...]]:
    references = [f"{view.name}:{column.name}" for column in view.columns]
    found = feast.get_online_features(features=references, entity_rows=keys).to_dict()
    return list(zip(*(found[column.name] for column in view.columns), strict=True))


@pytest.mark.parametrize("view", FLIGHT_DELAY.views, ids=lambda view: view.name)
def test_feasts_sdk_reads_what_we_wrote(feast: FeatureStore, installed: Path, view: FeatureViewContract) -> None:
    rows = rows_at(view, landed.gold_of(installed), NOW)
    keys = [dict(zip(view.join_keys, key, strict=True)) for key in rows]
    assert len(rows) > 0
    assert ask(feast, view, keys) == [row.values for row in rows.values()]
    unknown = [dict.fromkeys(view.join_keys, "???")]
    assert ask(feast, view, unknown) == [(None,) * len(view.columns)]


def test_rows_that_feast_wrote_are_read_back(feast: FeatureStore, installed: Path, tmp_path: Path) -> None:
    view = next(view for view in FLIGHT_DELAY.views if view.name == "aircraft")
    values = {column.name: [float(index)] for index, column in enumerate(view.columns)} | {"aircraft_back_at": [7]}
    frame = pd.DataFrame({"tail_number": ["N0FEAST"], "available_at": [pd.Timestamp(NOW)], **values})
    feast.write_to_online_store("aircraft", frame)
    store = OnlineStore(installed / "online_store.db", FLIGHT_DELAY)
    row = store.rows(view).pop(("N0FEAST",))
    assert row.values == tuple(value for (value,) in values.values())
    assert row.available_at == NOW
    store.connection.execute(
        "DELETE FROM flywheel_aircraft WHERE entity_key = ?", (encode_key(["tail_number"], ["N0FEAST"]),)
    )


def asof(root: Path, view: FeatureViewContract, rows: pa.Table) -> list[tuple[object, ...]]:
    """The newest row at or before a row's time and younger than the time-to-live, by DuckDB's own ASOF join."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.register("asked", rows.append_column("number", pa.array(range(rows.num_rows))))
    files = [str(path) for path in landed.gold_of(root).files(view_table(view.name))]
    keys = " AND ".join(f"asked.{key} = log.{key}" for key in view.join_keys)
    ttl = f"to_microseconds({view.ttl // timedelta(microseconds=1)})"
    alive = f"prediction_time < log.available_at + {ttl}"
    picked = ", ".join(f"CASE WHEN {alive} THEN log.{column.name} END" for column in view.columns)
    return connection.execute(
        f"SELECT {picked} FROM asked ASOF LEFT JOIN read_parquet({files!r}) AS log "
        f"ON {keys} AND asked.prediction_time >= log.available_at ORDER BY number"
    ).fetchall()


def test_asking_once_for_equal_rows_gives_what_asking_for_every_row_gives(feast: FeatureStore, installed: Path) -> None:
    rows = requests(installed)
    rows = rows.rename_columns([offline.AS_OF if name == "prediction_time" else name for name in rows.column_names])
    keys = ["carrier", "destination", "origin", "tail_number", offline.AS_OF]
    entities = rows.select(keys).append_column("number", pa.array(range(rows.num_rows)))
    service = feast.get_feature_service(FLIGHT_DELAY.feature_service)
    plain = feast.get_historical_features(entity_df=entities.to_pandas(), features=service).to_arrow().sort_by("number")
    joined = offline.historical_features(feast, FLIGHT_DELAY, rows)
    assert rows["tail_number"].null_count > 0
    assert joined.column_names == [column.name for column in FLIGHT_DELAY.view_columns]
    for column in FLIGHT_DELAY.view_columns:
        assert joined[column.name].equals(offline.typed(column, plain[column.name])), column.name


def test_feasts_point_in_time_join_equals_an_independent_one(feast: FeatureStore, installed: Path) -> None:
    rows = requests(installed)
    later = rows.slice(0, 50).to_pandas()
    later["prediction_time"] = pd.Timestamp(flown.END) + FLIGHT_DELAY.views[0].ttl + timedelta(days=1)
    edge = rows.slice(0, 50).to_pandas()
    edge["prediction_time"] = (
        pd.Timestamp(flown.END - flown.HOUR + FLIGHT_DELAY.lag) + FLIGHT_DELAY.views[0].ttl - flown.HOUR / 2
    )
    frames = [pa.Table.from_pandas(frame, schema=rows.schema) for frame in (later, edge)]
    rows = pa.concat_tables([rows, *frames])
    asked = rows.rename_columns([offline.AS_OF if name == "prediction_time" else name for name in rows.column_names])
    joined = offline.historical_features(feast, FLIGHT_DELAY, asked)
    for view in FLIGHT_DELAY.views:
        columns = [joined[column.name].to_pylist() for column in view.columns]
        assert list(zip(*columns, strict=True)) == asof(installed, view, rows), view.name
    expired = joined.slice(rows.num_rows - 100, 50)
    assert all(column.null_count == 50 for column in expired.columns)


def test_no_rows_and_rows_without_keys_are_joined_to_no_features(feast: FeatureStore, installed: Path) -> None:
    rows = requests(installed)
    rows = rows.rename_columns([offline.AS_OF if name == "prediction_time" else name for name in rows.column_names])
    keys = sorted({key for view in FLIGHT_DELAY.views for key in view.join_keys})
    nameless = pa.table({**{key: pa.nulls(3, pa.string()) for key in keys}, offline.AS_OF: rows[offline.AS_OF][:3]})
    types = [ARROW_TYPES[column.type] for column in FLIGHT_DELAY.view_columns]
    for asked in (rows.slice(0, 0), nameless):
        joined = offline.historical_features(feast, FLIGHT_DELAY, asked)
        assert joined.schema.types == types
        assert [column.null_count for column in joined.columns] == [asked.num_rows] * len(types)
        assert joined.num_rows == asked.num_rows


def test_a_view_that_never_had_a_row_is_joined_as_absent(year: dict[str, pa.Table], tmp_path: Path) -> None:
    landed.set_up(tmp_path)
    write_delivery(tmp_path, "flights", flown.END, landed.between(year["flights"], flown.KNOWN_FROM, flown.END))
    landed.ingest(tmp_path, "flights", flown.DELIVERED)
    assert build(TRANSFORMS, SOURCES, flown.BUILT, lake=landed.lake_of(tmp_path))["origin_weather"] == 0
    settings = Settings(data_dir=tmp_path)
    offline.apply(settings)
    rows = requests(tmp_path)
    rows = rows.rename_columns([offline.AS_OF if name == "prediction_time" else name for name in rows.column_names])
    joined = offline.historical_features(landed.feast_of(settings.root), FLIGHT_DELAY, rows)
    weather = next(view for view in FLIGHT_DELAY.views if view.name == "origin_weather")
    assert all(joined[column.name].null_count == rows.num_rows for column in weather.columns)
    assert joined["origin_departures_today"].null_count < rows.num_rows


def test_reads_go_on_while_a_view_is_materialized(feast: FeatureStore, installed: Path) -> None:
    view, stop, answers = FLIGHT_DELAY.views[0], threading.Event(), []
    store = OnlineStore(installed / "online_store.db", FLIGHT_DELAY)
    _, held = store.contents()

    def read_on() -> None:
        with closing(sqlite3.connect(f"file:{store.path}?mode=ro", uri=True)) as connection:
            while not stop.is_set():
                query = 'SELECT count(*) FROM "flywheel_origin_traffic"'
                answers.append(connection.execute(query).fetchone()[0])

    store.connection.execute("BEGIN IMMEDIATE")
    reader = threading.Thread(target=read_on)
    reader.start()
    store.connection.execute('DELETE FROM "flywheel_origin_traffic"')
    assert ask(feast, view, [{"origin": "JFK"}]) == [held[view.name][("JFK",)].values]
    while len(answers) < 10:
        assert reader.is_alive()
    store.connection.execute("ROLLBACK")
    stop.set()
    reader.join()
    assert set(answers) == {len(held[view.name]) * len(view.columns)}


def write_log(path: Path, root: Path, hours: int) -> None:
    """What a service would have logged: each flight's vector from the online store at its prediction time."""
    path.unlink(missing_ok=True)
    playing = flown.play(root, flown.START, 1)
    asked = sorted(requests(root).to_pylist(), key=lambda row: row["prediction_time"])
    with closing(sqlite3.connect(path)) as log:
        log.executescript(DDL)
        for hour in range(hours):
            served = flown.START + hour * flown.HOUR + FLIGHT_DELAY.lag
            _, contents = playing.store.contents()
            for row in asked:
                if served <= row["prediction_time"] < served + flown.HOUR:
                    log.execute(INSERT, logged(row, playing.watermark, contents))
            playing.clock.instant += flown.HOUR  # type: ignore[attr-defined]
            assert playing.advance()
        log.commit()


INSERT = (
    "INSERT INTO predictions (prediction_id, use_case, idempotency_key, requested_at, logged_at, replayed, "
    "model_version, feature_service, as_of, request, vector, probability, decision, degraded, answer) "
    "VALUES (?, 'flight_delay', ?, ?, 0, 0, '1', 'flight_delay_v1', ?, ?, ?, 0.5, 0, '[]', '{}')"
)


def logged(
    row: dict[str, Any], as_of: datetime | None, contents: Mapping[str, Mapping[Key, Row]]
) -> tuple[object, ...]:
    assert as_of is not None
    request = {field.name: row[field.name] for field in FLIGHT_DELAY.request}
    features: dict[str, Value] = {}
    for view in FLIGHT_DELAY.views:
        held = contents[view.name].get(tuple(request[key] for key in view.join_keys))
        values = held.values if held else (None,) * len(view.columns)
        features |= dict(zip((column.name for column in view.columns), values, strict=True))
    vector = {**features, **FLIGHT_DELAY.request_features(request, features)}
    identity = f"{row['carrier']}{row['flight']}{row['origin']}{row['scheduled_departure']}"
    moment = to_microseconds(row["prediction_time"])
    in_order = [vector[column.name] for column in FLIGHT_DELAY.vector]
    return identity, identity, moment, to_microseconds(as_of), json.dumps(request, default=str), json.dumps(in_order)


@pytest.fixture(scope="module")
def log(installed: Path, blizzard: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = Path(shutil.copytree(blizzard, tmp_path_factory.mktemp("played") / "data", symlinks=True))
    write_log(root / "predictions.db", root, 20)
    return root / "predictions.db"


def test_logged_vectors_equal_the_offline_ones_bit_for_bit(feast: FeatureStore, log: Path) -> None:
    answers = parity.sample(FLIGHT_DELAY, log, before=flown.END, number=400, seed=1)
    report = parity.compare(FLIGHT_DELAY, feast, answers)
    assert (report.compared, report.mismatched, report.behind, report.examples) == (400, 0, 0, ())


def test_an_answer_from_an_older_instant_is_behind_and_no_mismatch(feast: FeatureStore, log: Path) -> None:
    answers = parity.sample(FLIGHT_DELAY, log, before=flown.END, number=50, seed=2)
    late = [replace(answer, requested_at=answer.requested_at + 2 * flown.HOUR) for answer in answers]
    report = parity.compare(FLIGHT_DELAY, feast, late)
    assert (report.compared, report.mismatched, report.behind) == (50, 0, 50)


def test_answers_without_features_are_compared_and_counted(feast: FeatureStore, log: Path) -> None:
    answers = parity.sample(FLIGHT_DELAY, log, before=flown.END, number=5, seed=3)
    nothing: dict[str, Value] = {column.name: None for column in FLIGHT_DELAY.view_columns}
    vectors = [{**nothing, **FLIGHT_DELAY.request_features(answer.request, nothing)} for answer in answers]
    featureless = [
        replace(answer, as_of=None, vector=[vector[column.name] for column in FLIGHT_DELAY.vector])
        for answer, vector in zip(answers, vectors, strict=True)
    ]
    report = parity.compare(FLIGHT_DELAY, feast, featureless)
    assert (report.compared, report.mismatched, report.featureless) == (5, 0, 5)
    with_features = [replace(answer, as_of=None) for answer in answers]
    assert parity.compare(FLIGHT_DELAY, feast, with_features).mismatched == 5


def test_a_log_without_a_table_is_none(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "predictions.db")) as made:
        made.execute("PRAGMA journal_mode = WAL")
    with pytest.raises(ParityError, match=r"no prediction log .* serve some requests first"):
        parity.sample(FLIGHT_DELAY, tmp_path / "predictions.db", before=flown.END, number=5, seed=0)


def test_a_log_that_holds_no_answer_yet_is_nothing_to_compare(feast: FeatureStore, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "predictions.db")) as made:
        made.executescript(DDL)
    answers = parity.sample(FLIGHT_DELAY, tmp_path / "predictions.db", before=flown.END, number=5, seed=0)
    assert answers == []
    with pytest.raises(ParityError, match="no logged answer whose features gold covers; serve, build, then run"):
        parity.compare(FLIGHT_DELAY, feast, answers)


def test_a_leak_of_one_grid_step_is_found(installed: Path, blizzard: Path, log: Path, tmp_path: Path) -> None:
    leaking = Path(shutil.copytree(blizzard, tmp_path / "data", symlinks=True))
    names = (PRELUDE, *TRANSFORMS.statements)
    texts = {name: TRANSFORMS.sql(name).replace("<= instant", "<= instant + INTERVAL 1 HOUR") for name in names}
    build(replace(TRANSFORMS, texts=texts), SOURCES, flown.BUILT, lake=landed.lake_of(leaking))
    settings = Settings(data_dir=leaking)
    offline.apply(settings)
    answers = parity.sample(FLIGHT_DELAY, log, before=flown.END, number=200, seed=1)
    report = parity.compare(FLIGHT_DELAY, landed.feast_of(settings.root), answers)
    assert report.mismatched > 0
    assert 0 < len(report.examples) <= parity.MAX_EXAMPLES


def test_feasts_user_interface_answers(installed: Path) -> None:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).parent / "feast"), "-f", "feature_repo/feature_store.yaml", "ui"]
    address = ["--host", "127.0.0.1", "--port", str(port)]
    environment = child_environment(Settings(data_dir=installed))
    server = subprocess.Popen([*command, *address], cwd=ROOT, env=environment, stdout=-3, stderr=-3)
    try:
        assert "Feast" in wait_for(f"http://127.0.0.1:{port}/", server)
    finally:
        server.terminate()
        server.wait(30)


def wait_for(url: str, server: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            server.poll()
    raise AssertionError(f"{url} did not answer; the server's exit code is {server.poll()}")


def test_a_join_reads_the_versions_that_the_store_was_opened_on(blizzard: Path, tmp_path: Path) -> None:
    """All views of one moment, whatever is built meanwhile: here, that nothing was ever delivered."""
    root = Path(shutil.copytree(blizzard, tmp_path / "data"))
    offline.apply(Settings(data_dir=root))
    rows = requests(root).slice(0, 200)
    rows = rows.rename_columns([offline.AS_OF if name == "prediction_time" else name for name in rows.column_names])
    opened = landed.feast_of(root)
    before = offline.historical_features(opened, FLIGHT_DELAY, rows)
    landed.forget(root, *(source_group(source.name) for source in SOURCES))
    build(TRANSFORMS, SOURCES, flown.BUILT, lake=landed.lake_of(root))

    assert offline.historical_features(opened, FLIGHT_DELAY, rows).equals(before)
    after = offline.historical_features(landed.feast_of(root), FLIGHT_DELAY, rows)
    assert [column.null_count for column in after.columns] == [after.num_rows] * after.num_columns
    assert sum(column.null_count for column in before.columns) < 0.6 * before.num_rows * before.num_columns
