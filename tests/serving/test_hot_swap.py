"""Promotions under load: a person's alias, `release`, a refused champion; never a failed request."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import insert, select

from feature_repo.contracts.flight_delay import FLIGHT_DELAY
from feature_repo.contracts.model_package import CHALLENGER, CHAMPION
from infra.database import reading, writing
from infra.database.schema import incidents, releases
from infra.settings import Settings, child_environment
from serving.score import SCHEMA, score
from tests.serving.installation import REPOSITORY, REQUEST, Registrar, Service, running_service, wait_until
from tests.serving.load import Load
from tests.serving.packages import constant_package

PROBABILITIES = (0.125, 0.25, 0.375, 0.5)


@pytest.fixture(scope="module")
def service(settings: Settings, registrar: Registrar) -> Iterator[Service]:
    """Started without any model."""
    with running_service(settings, ready=False) as service:
        yield service


@pytest.fixture(scope="module")
def versions(registrar: Registrar, key: Ed25519PrivateKey, service: Service) -> dict[str, float]:
    """Registered versions, each with an output of its own; the first is served."""
    assert service.info()["model_version"] is None
    with service.client() as client:
        assert client.get("/readyz").status_code == 503
        assert client.post("/predict", json=REQUEST).status_code == 503
    versions = {
        registrar.register(
            lambda run_id, p=probability: constant_package(FLIGHT_DELAY, p, key, run_id=run_id)  # type: ignore[misc]
        ): probability
        for probability in PROBABILITIES
    }
    first = next(iter(versions))
    registrar.set_alias(CHAMPION, first)
    service.wait_for_version(first)
    with service.client() as client:
        wait_until(lambda: client.get("/readyz").status_code == 200, timeout=5, what="ready with a model")
    return versions


def command(settings: Settings, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "serving", *arguments],
        env=child_environment(settings),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_swaps_under_load_fail_no_request_and_each_answer_is_by_the_model_it_names(
    service: Service, registrar: Registrar, versions: dict[str, float]
) -> None:
    with Load(service.settings) as load:
        for version in [*versions, *versions, *versions]:
            registrar.set_alias(CHAMPION, version)
            service.wait_for_version(version)

    assert load.ledger.failures == []
    answers = list(load.ledger.acknowledged.values())
    assert {answer["model_version"] for answer in answers} == set(versions)
    assert [answer for answer in answers if answer["probability"] != versions[str(answer["model_version"])]] == []


def test_a_refused_champion_fails_no_request_and_is_reported(
    service: Service, registrar: Registrar, versions: dict[str, float], key: Ed25519PrivateKey
) -> None:
    served = service.info()["model_version"]
    bad = registrar.register(
        lambda run_id: replace(constant_package(FLIGHT_DELAY, 0.9, key, run_id=run_id), signature=bytes(64))
    )
    with Load(service.settings) as load:
        registrar.set_alias(CHAMPION, bad)
        wait_until(lambda: service.info()["refused"] is not None, timeout=15, what="the refusal is in /info")

    assert load.ledger.failures == []
    assert {answer["model_version"] for answer in load.ledger.acknowledged.values()} == {served}
    assert service.info()["refused"]["version"] == bad
    registrar.set_alias(CHAMPION, served)


def test_release_makes_the_challenger_champion_once(
    service: Service, registrar: Registrar, versions: dict[str, float], key: Ed25519PrivateKey
) -> None:
    settings = service.settings
    open_incident(settings, training_id="training")
    version = registrar.register(
        lambda run_id: constant_package(FLIGHT_DELAY, 0.625, key, run_id=run_id),
        gate="passed",
        gate_reason="better by 0.01",
        training_id="training",
    )
    registrar.set_alias(CHALLENGER, version)

    with Load(settings) as load:
        released = command(settings, "release", "flight_delay")
    again = command(settings, "release", "flight_delay")

    assert released.returncode == 0, released.stderr
    assert again.returncode == 99, again.stderr
    assert load.ledger.failures == []
    assert service.info()["model_version"] == version
    tags = registrar.tags(version)
    assert (tags["promoted_by"], tags["promoted_reason"]) == ("release", "better by 0.01")
    with reading(settings.database) as connection:
        (row,) = connection.execute(select(releases))
        query = select(incidents.c.state, incidents.c.model_version).where(incidents.c.training_id.is_not(None))
        assert connection.execute(query).all() == [("released", version)]
    assert (row.model_version, row.training_id, row.set_by) == (version, "training", "release")
    assert row.served_at_wall >= row.alias_set_at_wall


def open_incident(settings: Settings, *, training_id: str) -> None:
    names = ("incident_id", "alert_group", "severity", "cause", "reason")
    texts = dict.fromkeys(names, "x") | {"use_case": "flight_delay", "state": "gated", "training_id": training_id}
    times = dict.fromkeys(("opened_at", "opened_at_wall", "updated_at"), 0)
    with writing(settings.database) as connection:
        connection.execute(insert(incidents).values(**texts, **times))


@pytest.mark.parametrize(
    ("tags", "signature", "code", "words"),
    [
        ({"gate": "refused"}, True, 99, "its gate is 'refused'"),
        ({}, True, 99, "never asked"),
        ({"gate": "passed"}, False, 1, "signature"),
    ],
    ids=["gate refused", "gate never asked", "unsigned"],
)
def test_release_leaves_the_alias_alone_when_the_challenger_may_not_be_champion(
    service: Service,
    registrar: Registrar,
    versions: dict[str, float],
    key: Ed25519PrivateKey,
    tags: dict[str, str],
    signature: bool,
    code: int,
    words: str,
) -> None:
    served = service.info()["model_version"]

    def make(run_id: str):  # type: ignore[no-untyped-def] # noqa: ANN202
        package = constant_package(FLIGHT_DELAY, 0.9, key, run_id=run_id)
        return package if signature else replace(package, signature=bytes(64))

    version = registrar.register(make, **tags)
    registrar.set_alias(CHALLENGER, version)

    refused = command(service.settings, "release", "flight_delay")

    assert refused.returncode == code
    assert words in refused.stderr
    assert "Traceback" not in refused.stderr
    assert service.info()["model_version"] == served
    assert signature or "signature" in registrar.tags(version)["refused"]


def test_explain_walks_from_an_answer_to_the_data_and_the_commit(service: Service, versions: dict[str, float]) -> None:
    with service.client() as client:
        answer = client.post("/predict", json=REQUEST).json()

    explained = command(service.settings, "explain", answer["prediction_id"], "--json")
    tree = command(service.settings, "explain", answer["prediction_id"])
    unknown = command(service.settings, "explain", "nobody")

    explanation = json.loads(explained.stdout)
    assert explanation["prediction"]["model_version"] == answer["model_version"]
    assert explanation["model"]["run_id"] == service.info()["run_id"]
    assert explanation["model"]["dataset_digest"] == "d" * 64
    assert explanation["model"]["commit"] == "c" * 40
    assert explanation["model"]["data_intervals"] == [["2013-01-01T00:00:00+00:00", "2013-03-01T00:00:00+00:00"]]
    assert len(explanation["features"]) == len(FLIGHT_DELAY.views)
    assert "dataset_digest" in tree.stdout
    assert unknown.returncode == 1
    assert "no prediction 'nobody'" in unknown.stderr


def test_score_says_what_another_version_would_have_answered(service: Service, versions: dict[str, float]) -> None:
    import pyarrow.parquet as pq

    version = next(iter(versions))
    out = service.settings.root / "scores.parquet"

    scored = command(service.settings, "score", "flight_delay", "--version", version, "--out", str(out))

    assert scored.returncode == 0, scored.stderr
    table = pq.read_table(out)
    with sqlite3.connect(service.settings.prediction_log) as connection:
        ids = [row[0] for row in connection.execute("SELECT prediction_id FROM predictions ORDER BY sequence")]
    assert table["prediction_id"].to_pylist() == ids
    assert set(table["probability"].to_pylist()) == {versions[version]}
    assert f"{len(ids)} predictions of flight_delay, from the first until the last, scored by" in scored.stdout


def test_a_window_without_a_prediction_scores_to_a_file_without_rows(
    service: Service, versions: dict[str, float]
) -> None:
    import pyarrow.parquet as pq

    out, later = service.settings.root / "none.parquet", datetime(2100, 1, 1, tzinfo=UTC)

    assert score(FLIGHT_DELAY, service.settings, version=next(iter(versions)), out=out, start=later) == 0

    table = pq.read_table(out)
    assert (table.schema, table.num_rows) == (SCHEMA, 0)
