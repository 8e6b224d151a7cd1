"""A data folder may be copied and have any name: what lies in it is found there, and nothing elsewhere is touched."""

import hashlib
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float32

from feature_repo import offline
from feature_repo.contracts.flight_delay import FLIGHT_DELAY
from feature_repo.definitions import declared
from feature_repo.errors import OnlineStoreError
from feature_repo.feast_sdk import apply_total_with_repo_instance
from feature_repo.gold import build
from feature_repo.materialize import materialize
from feature_repo.online_store import OnlineStore
from feature_repo.use_cases.flight_delay import SOURCES, TRANSFORMS
from infra.settings import Settings
from serving.online_features import OnlineFeatures
from tests.feature_repo import flown, landed
from tests.feature_repo.test_feast import NOW, requests
from tests.hostile_names import DECOYS, EVERYTHING, NAMES
from training.population import read_population


def installed(root: Path) -> Path:
    """The online store as of NOW, and everything registered with Feast."""
    with closing(OnlineStore(root / "online_store.db", FLIGHT_DELAY)) as store:
        materialize(FLIGHT_DELAY, store, lake=landed.lake_of(root), now=NOW)
    offline.apply(Settings(data_dir=root))
    return root


def copied(root: Path, to: Path) -> Path:
    return Path(shutil.copytree(root, to, symlinks=True))


def digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def original(blizzard: Path, tmp_path: Path) -> Path:
    return installed(copied(blizzard, tmp_path / "original"))


def test_applying_in_a_copy_leaves_the_original_as_it_was(original: Path, tmp_path: Path) -> None:
    before = digests(original)
    copy = copied(original, tmp_path / "copy")
    offline.apply(Settings(data_dir=copy))
    assert digests(original) == before
    assert OnlineStore(copy / "online_store.db", FLIGHT_DELAY).contents()[1]["origin_traffic"]


def test_the_control_feasts_own_provider_drops_the_originals_tables(tmp_path: Path) -> None:
    entity = Entity(name="origin", join_keys=["origin"], value_type=ValueType.STRING)
    column = Field(name="delay", dtype=Float32)
    for name in ("original", "copy"):
        root = tmp_path / name
        root.mkdir(exist_ok=True)
        online = {"type": "sqlite", "path": str(root / "online_store.db")}
        config = RepoConfig(project="p", provider="local", registry=str(root / "r.db"), online_store=online)
        config.repo_path = root
        source = FileSource(path=str(root / "rows.parquet"), timestamp_field="at")
        store = FeatureStore(config=config)
        view = FeatureView(name="traffic", entities=[entity], schema=[column], source=source)
        objects = declared("p")._replace(
            data_sources=[source], entities=[entity], feature_views=[view], feature_services=[]
        )
        apply_total_with_repo_instance(store, "p", store.registry, objects, True)
        if name == "original":
            assert tables(root / "online_store.db") == ["p_traffic"]
            shutil.copytree(root, tmp_path / "copy")
    assert tables(tmp_path / "original" / "online_store.db") == []


def tables(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]


def test_feast_drops_no_table_even_when_it_is_told_to(original: Path) -> None:
    store = offline.open_feature_store(Settings(data_dir=original))
    held = OnlineStore(original / "online_store.db", FLIGHT_DELAY).contents()
    store.teardown()  # type: ignore[no-untyped-call]
    assert OnlineStore(original / "online_store.db", FLIGHT_DELAY).contents() == held
    offline.apply(Settings(data_dir=original))
    assert joined(original).num_rows == 200


def test_feast_writes_nothing_and_says_what_does(original: Path) -> None:
    store = offline.open_feature_store(Settings(data_dir=original))
    with pytest.raises(OnlineStoreError, match="python -m feature_repo materialize"):
        store.materialize(flown.START, flown.END, feature_views=["origin_traffic"])


def test_the_registry_names_no_folder(original: Path) -> None:
    registry = Settings(data_dir=original).feature_registry
    assert str(original.parent).encode() not in registry.read_bytes()


@pytest.fixture(params=["hive", "braces", "everything"])
def named(request: pytest.FixtureRequest, blizzard: Path, tmp_path: Path) -> Path:
    """A copy whose folder has such a name, beside one that the name would match as a pattern."""
    copied(blizzard, tmp_path / DECOYS.get(request.param, "decoy") / "data")
    return copied(blizzard, tmp_path / NAMES.get(request.param, EVERYTHING) / "data")


@pytest.fixture(scope="module")
def plain(blizzard: Path, tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """The features of some requests, joined in a folder with a plain name."""
    return joined(installed(copied(blizzard, tmp_path_factory.mktemp("plain") / "data")))


def joined(root: Path) -> pa.Table:
    rows = requests(root).slice(0, 200)
    rows = rows.rename_columns([offline.AS_OF if name == "prediction_time" else name for name in rows.column_names])
    return offline.historical_features(
        landed.feast_of(root),
        FLIGHT_DELAY,
        rows,
    )


def test_everything_is_found_in_a_folder_of_any_name(named: Path, blizzard: Path, plain: pa.Table) -> None:
    before = digests(blizzard)
    for source in SOURCES:
        landed.ingest(named, source, flown.DELIVERED)
    build(TRANSFORMS, SOURCES, flown.BUILT, lake=landed.lake_of(named))
    assert landed.tables_of(named) == landed.tables_of(blizzard)
    assert joined(installed(named)).equals(plain)
    assert len(read_population(landed.gold_of(named), FLIGHT_DELAY, now=flown.END).rows) > 0
    clock = flown.HandClock(NOW)
    assert OnlineFeatures(FLIGHT_DELAY, named / "online_store.db", clock).watermark() is not None
    assert digests(blizzard) == before
