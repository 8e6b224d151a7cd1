"""The page and the metrics need the token, show what was found, and let nobody out of the reports' folder."""

import math
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from feature_repo import parity
from feature_repo.contracts import folders
from infra.database import migrate
from infra.settings import Settings
from monitoring.history import History, ReleaseRow, numbers_of
from monitoring.server import make_app
from tests.monitoring.world import DAY, START, Installation, draw

NOW = START + 76 * DAY


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    made = Installation(tmp_path_factory.mktemp("var"))
    made.train("1", draw(1, num_days=60, rows_per_day=150))
    made.answer(draw(2, num_days=16, rows_per_day=150, first=START + 60 * DAY, decay=0.6))
    made.check(NOW)
    (made.root / "reports" / "flight_delay").mkdir(parents=True)
    (made.root / "reports" / "flight_delay" / "one.html").write_text("<p>one report</p>")
    return made


@pytest.fixture(scope="module")
def client(installation: Installation) -> TestClient:
    return TestClient(make_app(installation.settings))


@pytest.fixture(scope="module")
def bearer(installation: Installation) -> dict[str, str]:
    return {"Authorization": f"Bearer {installation.settings.secret('monitoring_token')}"}


PATHS = ("/", "/metrics", "/reports/flight_delay/one.html", "/nothing")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("header", [None, "", "Bearer ", "Bearer wrong", "Basic !", "Basic Zmx5d2hlZWw6", "bearer"])
def test_nothing_is_shown_without_the_token(client: TestClient, path: str, header: str | None) -> None:
    answer = client.get(path, headers={} if header is None else {"Authorization": header})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Basic"


def test_a_browser_logs_in_with_the_token_as_password(client: TestClient, installation: Installation) -> None:
    answer = client.get("/", auth=("flywheel", installation.settings.secret("monitoring_token")))
    assert answer.status_code == 200
    assert "retrain" in answer.text
    assert "of the reference: a drop of" in answer.text
    assert "<svg" in answer.text


def test_metrics_tell_the_decision_and_skill(client: TestClient, bearer: dict[str, str]) -> None:
    families = {f.name: f for f in text_string_to_metric_families(client.get("/metrics", headers=bearer).text)}
    decisions = {s.labels["decision"]: s.value for s in families["flywheel_decision"].samples}
    assert decisions == {"none": 0, "watch": 0, "retrain": 1, "data_defect": 0, "insufficient": 0}
    assert families["flywheel_skill_drop"].samples[0].value > families["flywheel_skill_drop_threshold"].samples[0].value
    assert families["flywheel_alarms_waiting"].samples[0].value == 1
    assert (
        "flywheel_failed_requests_per_promotion" not in families
        or not families["flywheel_failed_requests_per_promotion"].samples
    )


def test_the_last_parity_run_is_a_metric(
    client: TestClient, bearer: dict[str, str], installation: Installation
) -> None:
    name = "flywheel_training_serving_mismatches{"
    assert name not in client.get("/metrics", headers=bearer).text
    report = folders.parity_report(installation.settings.root, "flight_delay")
    parity.keep(parity.ParityReport(compared=9, mismatched=2, behind=0, featureless=0, examples=()), report)
    assert f'{name}use_case="flight_delay"}} 2.0' in client.get("/metrics", headers=bearer).text
    parity.keep(parity.ParityReport(compared=0, mismatched=0, behind=0, featureless=0, examples=()), report)
    assert name not in client.get("/metrics", headers=bearer).text, "nothing compared is no match"


def test_odd_requests_make_no_series(client: TestClient, bearer: dict[str, str]) -> None:
    before = client.get("/metrics", headers=bearer).text
    for number in range(50):
        client.get(f"/odd{number}?use_case={number}", headers={**bearer, "X-Use-Case": str(number)})
    assert len(client.get("/metrics", headers=bearer).text.splitlines()) == len(before.splitlines()) < 500


def test_reports_are_served_and_the_way_out_of_their_folder_is_closed(
    client: TestClient, bearer: dict[str, str], installation: Installation
) -> None:
    assert "one report" in client.get("/reports/flight_delay/one.html", headers=bearer).text
    token = installation.settings.secret("monitoring_token")
    for path in ("/reports/../secrets/monitoring_token", "/reports/%2e%2e/secrets/monitoring_token"):
        answer = client.get(path, headers=bearer)
        assert answer.status_code == 404
        assert token not in answer.text


def shown(installation: Installation) -> tuple[str, dict[str, dict[str, float]]]:
    """The page, and the metrics: by name, then by the labels beside the use case."""
    client = TestClient(make_app(installation.settings))
    headers = {"Authorization": f"Bearer {installation.settings.secret('monitoring_token')}"}
    metrics: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(client.get("/metrics", headers=headers).text):
        for sample in family.samples:
            labels = " ".join(value for name, value in sorted(sample.labels.items()) if name != "use_case")
            metrics.setdefault(sample.name.removeprefix("flywheel_"), {})[labels] = sample.value
    assert all(math.isfinite(value) for values in metrics.values() for value in values.values())
    return client.get("/", headers=headers).text, metrics


def test_without_any_history_the_page_and_the_metrics_claim_nothing(tmp_path: Path) -> None:
    page, metrics = shown(Installation(tmp_path))
    assert "No window was judged yet." in page
    assert "– / –" in page, "false alarms and their budget"
    assert not {"decision", "false_alarms", "false_alarms_budgeted", "retrainings_that_won_share"} & set(metrics)
    assert metrics["alarms_waiting"] == {"": 0}


def test_a_window_that_could_not_be_judged_is_shown_as_that_and_never_as_quiet(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    installation.train("1", draw(1, num_days=60, rows_per_day=150))
    installation.answer(draw(2, num_days=1, rows_per_day=5, first=START))
    installation.execute("INSERT INTO quality VALUES ('flight_delay', 'events', 0, 1, 0, 0, 0, 1.0, 0, '{}')")
    assert installation.check(NOW).num_rows == 0

    page, metrics = shown(installation)

    assert '<span class="badge insufficient">insufficient</span> insufficient: 0 labelled rows on 0 days' in page
    assert "badge none" not in page
    assert "1.0000" not in page, "the quality of a delivery without a row"
    assert metrics["decision"] == {"none": 0, "watch": 0, "retrain": 0, "data_defect": 0, "insufficient": 1}
    assert (metrics["window_predictions"], metrics["window_labelled_predictions"]) == ({"": 0}, {"": 0})
    unknown = {"drifted_columns", "weighted_drift", "window_skill", "false_alarms", "false_alarms_budgeted"}
    assert not unknown & set(metrics)


def test_a_server_without_a_token_leaves_nothing(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    migrate(settings.database)
    with pytest.raises(FileNotFoundError, match="run `make setup` first"):
        make_app(settings)
    assert {path.name for path in tmp_path.iterdir()} == {"control.db"}


def test_a_promotion_during_which_nobody_asked_tells_nothing_of_failures() -> None:
    release = ReleaseRow(
        model_version="2", training_id=None, set_by="release", alias_set_at_wall=100, served_at_wall=200, reason=""
    )
    history = History(
        use_case="flight_delay",
        results=[],
        incidents=[],
        trainings=[],
        releases=[release],
        quality=[],
        num_waiting=0,
        paused=False,
    )

    def failures(*requests: tuple[int, int]) -> float | None:
        return numbers_of(history, requests=list(requests), num_mismatches=None).failed_requests_per_promotion

    assert failures() is None
    assert failures((99, 1)) is None
    assert failures((150, 0)) == 0
    assert failures((150, 0), (160, 1)) == 1
