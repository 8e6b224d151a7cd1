import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from feature_repo.contracts import prediction_log
from infra.clock import to_microseconds
from infra.database import migrate, writing
from infra.local.client import Answer
from infra.local.evidence import Places, count_disagreements
from infra.local.ledger import Ledger, Round
from infra.local.report import Parity, Report, make_report
from infra.local.report_page import page_of
from infra.local.schedule import PlannedRequest
from infra.local.screen import table_of
from infra.settings import Settings
from tests.feature_repo import landed

START = datetime(2013, 4, 1, tzinfo=UTC)
FORTNIGHT = timedelta(days=14)
ROUNDS = [Round(number=n, start=START + n * FORTNIGHT, end=START + (n + 1) * FORTNIGHT) for n in range(2)]
PER_ROUND = 200
WALL = 1_800_000_000_000_000
TIME = pa.timestamp("us", tz="UTC")


def departure(number: int) -> datetime:
    return START + timedelta(hours=number)


def probability(number: int) -> float:
    return float(np.random.default_rng(number).random())


def late(number: int) -> bool:
    return bool(np.random.default_rng([number, 1]).random() < probability(number))


def write_ledger(path: Path) -> None:
    """200 answers a round by version 1 then 2, one failure in the second round while workflows ran."""
    with Ledger(path) as ledger:
        for round_ in ROUNDS:
            ledger.begin_round(round_)
            numbers = range(round_.number * PER_ROUND, (round_.number + 1) * PER_ROUND)
            ledger.record(round_, [(planned(n), round_.start, answer(n, str(round_.number + 1))) for n in numbers])
        ledger.record(ROUNDS[1], [(planned(0), ROUNDS[1].end, failed("x"))])
        replayed = Answer(
            key="y", replayed=True, sent_at_wall=WALL, latency_seconds=1, status=200, prediction_id="p0",
            probability=probability(0), model_version="1",
        )  # fmt: skip
        ledger.record(ROUNDS[1], [(planned(0), ROUNDS[1].end, replayed)])


def planned(number: int) -> PlannedRequest:
    entity = ("UA", number, "EWR", to_microseconds(departure(number)))
    return PlannedRequest(number=number, asked_at=0, entity=entity, body=b"")


def failed(key: str) -> Answer:
    sent_at_wall = WALL + 5_000_000
    return Answer(
        key=key, replayed=True, sent_at_wall=sent_at_wall, latency_seconds=1, status=503, failure="status 503"
    )


def answer(number: int, version: str) -> Answer:
    return Answer(
        key=f"k{number}", replayed=False, sent_at_wall=WALL, latency_seconds=0.001, status=200,
        prediction_id=f"p{number}", probability=probability(number), model_version=version,
    )  # fmt: skip


def write_truth(places: Places) -> None:
    """The first round's labels are in the lake, the second's in the feed alone; every tenth flight was cancelled."""
    arrived = [number for number in range(2 * PER_ROUND) if number % 10]
    feed = pa.table(
        {
            "event": ["arrived"] * len(arrived),
            "carrier": ["UA"] * len(arrived),
            "flight": arrived,
            "origin": ["EWR"] * len(arrived),
            "scheduled_departure": pa.array([departure(number) for number in arrived], TIME),
            "delay_minutes": [15.0 if late(number) else 14.0 for number in arrived],
        }
    )
    places.feed.mkdir()
    pq.write_table(feed, places.feed / "flights.parquet")
    mature = range(PER_ROUND)
    labels = pa.table(
        {
            "carrier": ["UA"] * PER_ROUND,
            "flight": list(mature),
            "origin": ["EWR"] * PER_ROUND,
            "scheduled_departure": pa.array([departure(number) for number in mature], TIME),
            "label": pa.array([int(late(number)) if number % 10 else None for number in mature], pa.int8()),
        }
    )
    known_at = pa.array([datetime(2013, 4, 1, tzinfo=UTC)] * PER_ROUND, TIME)
    landed.write_gold(places.settings.root, "labels", labels.append_column("known_at", known_at), "known_at")
    ids = [f"p{number}" for number in range(2 * PER_ROUND)]
    pq.write_table(pa.table({"prediction_id": ids, "probability": [0.3] * len(ids)}), places.frozen)


def write_predictions(places: Places) -> None:
    with sqlite3.connect(places.settings.prediction_log) as connection:
        connection.executescript(prediction_log.DDL)
        connection.executemany(
            """INSERT INTO predictions (prediction_id, use_case, idempotency_key, requested_at, logged_at, replayed,
            model_version, feature_service, request, vector, probability, decision, degraded, answer)
            VALUES (?, 'flight_delay', ?, 0, 0, 0, ?, '', '', '', ?, 0, '[]', '')""",
            [(f"p{n}", f"k{n}", str(n // PER_ROUND + 1), probability(n)) for n in range(2 * PER_ROUND)],
        )


def write_database(database: str) -> None:
    """A first training, a retraining that an alarm asked for and that won, and one that lost."""
    gate = {"difference": 0.02, "low": 0.01, "high": 0.03, "minimum": 0.002, "passed": True}
    judged = {
        "decision": "retrain",
        "reason": "skill fell",
        "weighted_drift": 0.6,
        "weighted_drift_threshold": 0.4,
        "alarm_budget": 0.04,
    }
    migrate(database)
    with writing(database) as connection:
        for name, cause, state, version, result in (
            ("first", "bootstrap", "passed", "1", "{}"),
            ("second", "performance", "passed", "2", json.dumps(gate)),
            ("third", "drift", "gate_refused", "3", json.dumps(gate)),
        ):
            connection.exec_driver_sql(
                "INSERT INTO trainings VALUES (?, 'flight_delay', ?, 0, ?, 'd', ?, ?, ?, '', '')",
                (name, state, WALL, f"run-{name}", version, result),
            )
            connection.exec_driver_sql(
                "INSERT INTO incidents VALUES (?, 'flight_delay', 'g', 'P2', ?, 0, ?, 'open', '', '', ?, NULL, 0)",
                (f"incident-{name}", cause, WALL - 60_000_000, name),
            )
        for version, name in (("1", "first"), ("2", "second")):
            alias_set_at = WALL - (100_000_000 if version == "1" else 0)
            connection.exec_driver_sql(
                "INSERT INTO releases VALUES (?, 'flight_delay', ?, ?, 'release', ?, ?, '')",
                (name, version, name, alias_set_at, alias_set_at + 2_000_000),
            )
        connection.exec_driver_sql(
            "INSERT INTO monitoring_results VALUES ('flight_delay', ?, ?, ?)",
            (to_microseconds(START), to_microseconds(ROUNDS[1].end - timedelta(hours=36)), json.dumps(judged)),
        )


@pytest.fixture
def places(tmp_path: Path) -> Places:
    settings = Settings(data_dir=tmp_path / "data")
    settings.root.mkdir()
    places = Places(settings=settings, use_case="flight_delay", feed=tmp_path / "feed")
    write_ledger(places.ledger)
    write_truth(places)
    write_predictions(places)
    write_database(settings.database)
    return places


def report_of(places: Places) -> Report:
    return make_report(places, Parity(compared=1000, mismatched=0), duration_seconds=600)


def test_each_rounds_scores_equal_scikit_learns_on_its_labelled_answers(places: Places) -> None:
    for number, interval in enumerate(report_of(places).intervals):
        flights = [n for n in range(number * PER_ROUND, (number + 1) * PER_ROUND) if n % 10]
        label, loop = [late(n) for n in flights], [probability(n) for n in flights]
        assert interval.auc == pytest.approx(roc_auc_score(label, loop), abs=1e-9)
        assert interval.log_loss == pytest.approx(log_loss(label, loop), abs=1e-9)
        assert interval.frozen_auc == 0.5
        assert interval.frozen_log_loss == pytest.approx(log_loss(label, [0.3] * len(label)), abs=1e-9)


def test_replayed_requests_count_for_failures_alone(places: Places) -> None:
    intervals = report_of(places).intervals
    assert [interval.predictions for interval in intervals] == [PER_ROUND, PER_ROUND]
    assert [interval.failed_requests for interval in intervals] == [0, 1]
    assert [interval.versions for interval in intervals] == [{"1": PER_ROUND}, {"2": PER_ROUND}]


def test_a_judgement_belongs_to_the_round_in_which_its_window_ended(places: Places) -> None:
    first, second = report_of(places).intervals
    assert (first.drift, first.decision) == (None, None)
    assert second.drift == pytest.approx(1.5)
    assert second.decision == "retrain"


def test_a_release_carries_its_incident_run_gate_and_failures(places: Places) -> None:
    first, second = report_of(places).releases
    assert (first.version, first.gate.difference, first.failed_requests) == ("1", None, 0)
    assert (second.incident, second.run, second.version) == ("incident-second", "run-second", "2")
    assert (second.gate.difference, second.gate.low, second.gate.minimum) == (0.02, 0.01, 0.002)
    assert second.failed_requests == 1


def test_the_five_numbers_leave_the_first_training_out(places: Places) -> None:
    numbers = report_of(places).numbers
    assert numbers.alarm_to_serving_seconds == 62
    assert numbers.failed_requests_per_promotion == 1
    assert (numbers.false_alarms.alarms, numbers.false_alarms.false, numbers.false_alarms.windows) == (2, 1, 1)
    assert numbers.mismatch_share == 0
    assert numbers.retrainings_that_won_share == 0.5


def test_the_file_has_exactly_the_promised_fields(places: Places, tmp_path: Path) -> None:
    report_of(places).write(tmp_path / "report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    assert list(report) == ["duration_seconds", "intervals", "releases", "parity", "numbers"]
    assert " ".join(report["intervals"][0]) == (
        "start end predictions failed_requests auc log_loss frozen_auc frozen_log_loss drift decision versions"
    )
    assert " ".join(report["releases"][1]) == "incident run version gate alias_set_at served_at failed_requests"
    assert " ".join(report["releases"][1]["gate"]) == "difference low high minimum"
    assert report["parity"] == {"compared": 1000, "mismatched": 0}
    assert len(report["numbers"]) == 5


def test_an_answer_that_the_log_does_not_have_is_counted(places: Places) -> None:
    assert count_disagreements(places) == 0
    with sqlite3.connect(places.settings.prediction_log) as connection:
        connection.execute("DELETE FROM predictions WHERE prediction_id = 'p7'")
        connection.execute("UPDATE predictions SET probability = probability + 0.1 WHERE prediction_id = 'p8'")
    assert count_disagreements(places) == 2


def test_the_page_is_complete_in_itself(places: Places) -> None:
    page = page_of(report_of(places), places)
    assert page.count("<svg") == 5
    assert "400 requests were answered and 1 failed in 10.0 minutes" in page
    assert "0 answers differ" in page
    assert "incident-second" in page
    assert "<script" not in page
    assert "src=" not in page


FEED = pa.schema(
    {
        "event": pa.string(),
        "carrier": pa.string(),
        "flight": pa.int64(),
        "origin": pa.string(),
        "scheduled_departure": TIME,
        "delay_minutes": pa.float64(),
    }
)
FROZEN = pa.schema({"prediction_id": pa.string(), "probability": pa.float64()})


def nothing_happened(folder: Path) -> Places:
    """What a demo leaves in which nobody asked, nobody was released, nothing was judged."""
    settings = Settings(data_dir=folder / "data")
    settings.root.mkdir()
    places = Places(settings=settings, use_case="flight_delay", feed=folder / "feed")
    Ledger(places.ledger).connection.close()
    places.feed.mkdir()
    pq.write_table(FEED.empty_table(), places.feed / "flights.parquet")
    pq.write_table(FROZEN.empty_table(), places.frozen)
    migrate(settings.database)
    with sqlite3.connect(settings.prediction_log) as connection:
        connection.executescript(prediction_log.DDL)
    return places


def judge(places: Places, decision: str, window_end: datetime, *, budget: float = 0.04) -> None:
    judged = {"decision": decision, "reason": "r", "weighted_drift": None, "weighted_drift_threshold": None}
    with writing(places.settings.database) as connection:
        connection.exec_driver_sql(
            "INSERT INTO monitoring_results VALUES ('flight_delay', 0, ?, ?)",
            (to_microseconds(window_end), json.dumps(judged | {"alarm_budget": budget})),
        )


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("happened", ["no round", "rounds without a request", "one failed request"])
def test_a_demo_in_which_nothing_happened_has_a_report_that_claims_nothing(tmp_path: Path, happened: str) -> None:
    places = nothing_happened(tmp_path)
    with Ledger(places.ledger) as ledger:
        for round_ in ROUNDS if happened != "no round" else ():
            ledger.begin_round(round_)
            ledger.record(round_, [])
        if happened == "one failed request":
            ledger.record(ROUNDS[0], [(planned(0), START, failed("x"))])

    report = make_report(places, Parity(compared=0, mismatched=0), duration_seconds=1)

    report.write(tmp_path / "report.json")
    numbers = json.loads((tmp_path / "report.json").read_text())["numbers"]
    alarms = numbers.pop("false_alarms")
    assert set(numbers.values()) == {None}
    assert alarms == {"alarms": 0, "false": None, "windows": 0, "budget_per_window": None}
    assert [interval.auc for interval in report.intervals] == [None] * len(report.intervals)
    page = page_of(report, places)
    assert f"0 requests were answered and {happened.count('failed')} failed" in page
    assert "– of 0 alarms in 0 windows; budget unstated" in page
    assert table_of(report).row_count == len(report.intervals)


def test_a_window_that_could_not_be_judged_is_shown_and_is_no_window_without_alarm(tmp_path: Path) -> None:
    places = nothing_happened(tmp_path)
    with Ledger(places.ledger) as ledger:
        for round_ in ROUNDS:
            ledger.begin_round(round_)
    judge(places, "insufficient", ROUNDS[0].end, budget=0)

    report = make_report(places, Parity(compared=0, mismatched=0), duration_seconds=1)

    assert [(interval.decision, interval.drift) for interval in report.intervals] == [
        ("insufficient", None),
        (None, None),
    ]
    assert (report.numbers.false_alarms.windows, report.numbers.false_alarms.false) == (0, None)
    assert "<td>insufficient</td>" in page_of(report, places)

    judge(places, "none", ROUNDS[1].end)

    alarms = make_report(places, Parity(compared=0, mismatched=0), duration_seconds=1).numbers.false_alarms
    assert (alarms.windows, alarms.false, alarms.budget_per_window) == (1, 0, 0.04)


def test_a_release_during_which_nobody_asked_tells_nothing_of_failures(places: Places) -> None:
    with sqlite3.connect(places.ledger) as connection:
        connection.execute("DELETE FROM requests WHERE sent_at_wall >= ?", (WALL,))
    assert report_of(places).numbers.failed_requests_per_promotion is None
