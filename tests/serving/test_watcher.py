"""The watcher against a real registry, in this process: what it takes, what it refuses, what it survives."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select

from feature_repo.contracts.flight_delay import FLIGHT_DELAY
from feature_repo.contracts.model_package import CHAMPION
from infra.clock import SystemClock
from infra.database import migrate, reading
from infra.database.schema import incidents
from infra.settings import Settings
from serving.engine import Engine
from serving.errors import PackageRefused
from serving.incidents import open_refusal, refusal_of
from serving.keys import read_verification_key
from serving.metrics import Metrics
from serving.model_store import ModelStore
from serving.online_features import OnlineFeatures
from serving.prediction_log import PredictionLog
from serving.registry import ModelVersion, Registry
from serving.watcher import Watcher
from tests.serving.installation import NOW, Registrar
from tests.serving.packages import Package, constant_package


class Followed:
    """An engine, and a watcher of it that polls when the test says so."""

    def __init__(self, settings: Settings, folder: Path, registry: Registry) -> None:
        metrics = Metrics(FLIGHT_DELAY.name)
        self.log = PredictionLog(folder / "predictions.db", durability="write")
        features = OnlineFeatures(FLIGHT_DELAY, folder / "online_store.db", SystemClock())
        self.engine = Engine(FLIGHT_DELAY, features=features, log=self.log, metrics=metrics)
        key = read_verification_key(settings.root / "secrets" / "model_verification_key")
        self.store = ModelStore(FLIGHT_DELAY, key=key, folder=folder / "models")
        self.database = Settings(data_dir=folder).database
        migrate(self.database)
        self.watcher = Watcher(
            self.engine,
            store=self.store,
            registry=registry,
            metrics=metrics,
            report_refusal=self.report,
            alias=CHAMPION,
        )

    def report(self, version: ModelVersion, reason: str) -> None:
        open_refusal(self.database, version, reason, now=NOW)

    @property
    def version(self) -> str | None:
        return None if self.engine.model is None else self.engine.model.version

    def num_swap_failures(self, kind: str) -> float:
        """Count from a first look: where BentoML was imported first, a process has one value for all its registries."""
        labels = {"use_case": FLIGHT_DELAY.name, "kind": kind}
        self.engine.metrics.swap_failures.labels(*labels.values())
        number = self.engine.metrics.registry.get_sample_value("flywheel_model_swap_failures_total", labels)
        assert number is not None
        return number

    @property
    def metrics(self) -> str:
        return self.engine.metrics.exposition().decode()


@pytest.fixture
def followed(settings: Settings, registrar: Registrar, tmp_path: Path) -> Iterator[Followed]:
    registrar.delete_model()
    with Registry.of(settings) as registry:
        followed = Followed(settings, tmp_path, registry)
        yield followed
        followed.log.close()


def register(registrar: Registrar, key: Ed25519PrivateKey, probability: float = 0.25) -> str:
    return registrar.register(lambda run_id: constant_package(FLIGHT_DELAY, probability, key, run_id=run_id))


def test_without_a_model_or_an_alias_nothing_is_served_and_nothing_breaks(
    followed: Followed, registrar: Registrar, key: Ed25519PrivateKey
) -> None:
    followed.watcher.poll()
    register(registrar, key)
    followed.watcher.poll()

    assert followed.version is None
    assert 'flywheel_registry_reachable{use_case="flight_delay"} 1.0' in followed.metrics


def test_the_alias_is_followed_forth_and_back(followed: Followed, registrar: Registrar, key: Ed25519PrivateKey) -> None:
    first, second = register(registrar, key, 0.25), register(registrar, key, 0.75)
    seen = []
    for version in (first, second, first):
        registrar.set_alias(CHAMPION, version)
        followed.watcher.poll()
        seen.append(followed.version)

    assert seen == [first, second, first]


def altered(package: Package) -> Package:
    return replace(package, model=package.model[:-1] + b"!")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (altered, "SHA-256"),
        (lambda package: replace(package, signature=b""), "manifest.sig is missing"),
        (lambda package: replace(package, model=b""), "model.onnx is missing"),
        (lambda package: replace(package, signature=bytes(64)), "signature"),
        (lambda package: replace(package, signature=bytes(65)), "longer than 64 bytes"),
    ],
    ids=["altered", "unsigned", "without a model", "signed with nonsense", "a long signature"],
)
def test_a_champion_that_cannot_be_trusted_is_not_served_the_old_one_stays_and_an_incident_opens(
    followed: Followed, registrar: Registrar, key: Ed25519PrivateKey, spoil: object, reason: str
) -> None:
    assert callable(spoil)
    good = register(registrar, key)
    registrar.set_alias(CHAMPION, good)
    followed.watcher.poll()
    bad = registrar.register(lambda run_id: spoil(constant_package(FLIGHT_DELAY, 0.75, key, run_id=run_id)))
    registrar.set_alias(CHAMPION, bad)

    followed.watcher.poll()
    followed.watcher.poll()

    assert followed.version == good
    assert followed.engine.refusal is not None
    assert followed.engine.refusal.version == bad
    assert reason in (refusal_of(followed.database, FLIGHT_DELAY.name, bad) or "")
    query = select(incidents.c.cause, incidents.c.severity, incidents.c.state, incidents.c.model_version)
    with reading(followed.database) as connection:
        assert connection.execute(query).all() == [("model_refused", "P1", "open", bad)]
    assert f'flywheel_refused_model_version{{use_case="flight_delay"}} {float(bad)}' in followed.metrics

    registrar.set_alias(CHAMPION, good)
    followed.watcher.poll()
    assert followed.engine.refusal is None


def test_a_package_of_another_versions_run_is_refused(
    followed: Followed, registrar: Registrar, key: Ed25519PrivateKey
) -> None:
    stolen = registrar.register(lambda _: constant_package(FLIGHT_DELAY, 0.25, key, run_id="0" * 32))
    registrar.set_alias(CHAMPION, stolen)

    followed.watcher.poll()

    assert followed.version is None
    assert "of run" in (refusal_of(followed.database, FLIGHT_DELAY.name, stolen) or "")


def test_a_registry_that_is_away_or_silent_changes_nothing(
    followed: Followed, registrar: Registrar, key: Ed25519PrivateKey, settings: Settings, tmp_path: Path
) -> None:
    registrar.set_alias(CHAMPION, version := register(registrar, key))
    followed.watcher.poll()
    already = followed.num_swap_failures("unavailable")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with Registry(f"http://127.0.0.1:{silent.getsockname()[1]}", user="reader", password="x" * 20) as away:
            followed.watcher.registry = away
            followed.watcher.poll()
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        with Registry(f"http://127.0.0.1:{deaf.getsockname()[1]}", user="reader", password="x" * 20) as away:
            followed.watcher.registry = away
            followed.watcher.poll()

    assert followed.version == version
    assert followed.engine.refusal is None
    assert 'flywheel_registry_reachable{use_case="flight_delay"} 0.0' in followed.metrics
    assert followed.engine.model is not None
    assert followed.num_swap_failures("unavailable") == already + 2, followed.metrics


def test_a_wrong_password_is_no_champion_and_no_crash(followed: Followed, settings: Settings) -> None:
    with Registry(settings.mlflow_url, user="reader", password="wrong" * 4) as registry:
        followed.watcher.registry = registry
        followed.watcher.poll()

    assert 'flywheel_registry_reachable{use_case="flight_delay"} 0.0' in followed.metrics


def test_the_last_good_version_is_kept_and_believed_no_more_than_the_network(
    followed: Followed, registrar: Registrar, key: Ed25519PrivateKey
) -> None:
    for probability in (0.25, 0.75):
        registrar.set_alias(CHAMPION, register(registrar, key, probability))
        followed.watcher.poll()

    kept = followed.store.load_last_good()
    assert kept is not None
    assert kept.version == followed.version
    (folder,) = (path for path in followed.store.folder.iterdir() if path.is_dir())
    model = folder / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"!")
    with pytest.raises(PackageRefused, match="SHA-256"):
        followed.store.load_last_good()


def test_the_reader_cannot_write_the_registry(registrar: Registrar, settings: Settings, key: Ed25519PrivateKey) -> None:
    version = register(registrar, key)
    with Registry.of(settings) as reader, pytest.raises(Exception, match="403"):
        reader.set_alias(FLIGHT_DELAY.name, CHAMPION, version)
