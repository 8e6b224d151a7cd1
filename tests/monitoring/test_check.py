"""A check from the log and the lake to incidents and the inbox, on an installation whose truth is known."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from feature_repo.contracts.base import DataInterval, SharedSource
from infra.database import DatabaseError
from infra.lake import use_case_group
from infra.settings import Settings
from monitoring.check import check
from monitoring.defects import quality_defects, read_quality
from monitoring.drawing import draw_missing_reports
from monitoring.errors import MonitoringError, NothingServed
from monitoring.incidents import num_unclaimed
from monitoring.results import read_results
from tests.feature_repo import landed
from tests.monitoring.world import DAY, SPEC, START, USE_CASE, Installation, TrueModel, draw

SERVED_FROM = START + 60 * DAY
NOW = SERVED_FROM + 16 * DAY
ROWS_PER_DAY = 150


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    made = Installation(tmp_path)
    made.train("1", draw(1, num_days=60, rows_per_day=ROWS_PER_DAY))
    return made


def answer_days(
    installation: Installation,
    *,
    seed: int = 2,
    first: datetime = SERVED_FROM,
    num_days: int = 16,
    shift: float = 0.0,
    decay: float = 0.0,
    version: str = "1",
) -> None:
    sample = draw(seed, num_days=num_days, rows_per_day=ROWS_PER_DAY, first=first, shift=shift, decay=decay)
    installation.answer(sample, version=version)


def states(installation: Installation) -> list[tuple[object, ...]]:
    return installation.execute("SELECT alert_group, severity, cause, state FROM incidents ORDER BY alert_group")


def test_a_quiet_window_decides_nothing_and_opens_nothing(installation: Installation) -> None:
    answer_days(installation)
    result = installation.check(NOW)
    assert result.decision == "none"
    assert states(installation) == []
    assert [kept for _, kept in read_results(installation.settings.database, USE_CASE.name)] == [result]


def test_the_window_ends_a_labels_delay_before_now_and_replayed_answers_are_left_out(
    installation: Installation,
) -> None:
    answer_days(installation)
    installation.answer(draw(9, num_days=14, rows_per_day=50, first=SERVED_FROM + DAY), replayed=True)
    result = installation.check(NOW)
    ((window, _),) = read_results(installation.settings.database, USE_CASE.name)
    assert (window.start, window.end) == (NOW - timedelta(hours=36) - 14 * DAY, NOW - timedelta(hours=36))
    assert abs(result.num_rows - 14 * ROWS_PER_DAY) < ROWS_PER_DAY


def test_a_cancelled_case_is_counted_and_is_no_negative(installation: Installation) -> None:
    sample = draw(2, num_days=14, rows_per_day=ROWS_PER_DAY, first=NOW - timedelta(hours=36) - 14 * DAY)
    installation.answer(sample, cancelled=300)
    result = installation.check(NOW)
    assert result.rows_by_outcome == {"arrived": len(sample) - 300, "cancelled": 300}
    assert result.performance.scores is not None
    assert result.performance.scores.num_rows == len(sample) - 300
    assert result.performance.scores.base_rate == pytest.approx(sample.label[300:].mean())


def test_lost_skill_asks_for_one_training_however_often_the_window_is_checked(installation: Installation) -> None:
    answer_days(installation, decay=0.6)
    first, second = installation.check(NOW), installation.check(NOW)
    assert first.decision == second.decision == "retrain"
    assert first.incidents == second.incidents
    assert states(installation) == [("performance", "P2", "performance", "open")]
    assert num_unclaimed(installation.settings.database, USE_CASE.name) == 1


def test_an_episode_keeps_its_incident_and_asks_again_only_after_a_training_in_vain(installation: Installation) -> None:
    answer_days(installation, decay=0.6, num_days=45)
    database = installation.settings.database
    first = installation.check(NOW)
    installation.execute("UPDATE inbox SET claimed_by = 't2'")
    installation.execute("UPDATE incidents SET state = 'training', training_id = 't2'")
    installation.execute(
        "INSERT INTO trainings (training_id, use_case, state, admitted_at, admitted_at_wall, reason) "
        f"VALUES ('t2', '{USE_CASE.name}', 'open', 0, 0, '')"
    )
    assert installation.check(NOW + 14 * DAY).incidents == first.incidents
    assert num_unclaimed(database, USE_CASE.name) == 0
    installation.execute("UPDATE trainings SET state = 'gate_refused' WHERE training_id = 't2'")
    assert installation.check(NOW + 15 * DAY).incidents == first.incidents
    assert num_unclaimed(database, USE_CASE.name) == 1
    assert [state for *_, state in states(installation)] == ["open"]


def test_a_shift_of_what_the_model_relies_on_asks_for_a_training(installation: Installation) -> None:
    answer_days(installation, shift=1.0)
    result = installation.check(NOW)
    assert (result.decision, result.drift.status) == ("retrain", "weighted")


def test_a_defect_and_real_drift_at_once_start_no_training(installation: Installation) -> None:
    sample = draw(2, num_days=16, rows_per_day=ROWS_PER_DAY, first=SERVED_FROM, shift=1.0, decay=0.6)
    weak = np.where(sample.at > sample.at.max() - 4 * 86_400_000_000, np.nan, sample.numeric["weak"])
    installation.answer(replace(sample, numeric={**sample.numeric, "weak": weak}))
    result = installation.check(NOW)
    assert result.decision == "data_defect"
    assert "weak: null share 1.00" in result.reason
    assert states(installation) == [("data", "P2", "data_defect", "open")]
    assert num_unclaimed(installation.settings.database, USE_CASE.name) == 0


def test_without_the_defect_the_same_window_asks_for_a_training(installation: Installation) -> None:
    answer_days(installation, shift=1.0, decay=0.6)
    assert installation.check(NOW).decision == "retrain"


def test_rows_in_quarantine_are_a_defect(installation: Installation) -> None:
    answer_days(installation)
    begin = int((SERVED_FROM + 3 * DAY).timestamp() * 1e6)
    installation.execute(
        "INSERT INTO quality VALUES (?, 'events', ?, ?, 1000, 200, 0, 0.8, 0, '{}')",
        *(USE_CASE.name, begin, begin + 86_400_000_000),
    )
    result = installation.check(NOW)
    assert (result.decision, result.quality) == ("data_defect", {"events": 0.8})


def test_an_incident_is_resolved_when_its_new_version_was_quiet_for_a_full_window(installation: Installation) -> None:
    answer_days(installation, decay=0.6)
    installation.check(NOW)
    installation.train("2", draw(3, num_days=60, rows_per_day=ROWS_PER_DAY, first=START + 10 * DAY))
    installation.execute("UPDATE inbox SET claimed_by = 't2'")
    installation.execute("UPDATE incidents SET state = 'released', training_id = 't2'")
    answer_days(installation, seed=4, first=NOW, num_days=15, version="2")
    installation.check(NOW + 7 * DAY)
    assert [state for *_, state in states(installation)] == ["released"]
    assert installation.check(NOW + 14 * DAY).decision == "none"
    assert [state for *_, state in states(installation)] == ["resolved"]


def test_answers_of_another_version_do_not_judge_the_served_one(installation: Installation) -> None:
    answer_days(installation, decay=0.6)
    installation.train("2", draw(3, num_days=60, rows_per_day=ROWS_PER_DAY))
    answer_days(installation, first=NOW - DAY, num_days=1, version="2")
    result = installation.check(NOW)
    assert (result.model_version, result.performance.status) == ("2", "insufficient")
    assert result.decision == "none", "its inputs were judged; of its answers a verdict is not due yet"


def test_too_few_rows_are_insufficient_and_not_a_verdict(installation: Installation) -> None:
    installation.answer(draw(5, num_days=14, rows_per_day=10, first=SERVED_FROM, shift=3.0, decay=1.0))
    result = installation.check(NOW)
    assert result.decision == "insufficient"
    assert "insufficient: 1" in result.reason
    assert (result.performance.status, result.drift.status) == ("insufficient", "insufficient")


def test_nothing_answered_yet_is_said(installation: Installation) -> None:
    with pytest.raises(NothingServed, match="has no answer of it yet"):
        installation.check(NOW)


def test_a_log_with_answers_of_another_use_case_alone_is_said(installation: Installation) -> None:
    answer_days(installation, num_days=1)
    with closing(sqlite3.connect(installation.settings.prediction_log)) as connection, connection:
        connection.execute("UPDATE predictions SET use_case = 'another'")
    with pytest.raises(NothingServed, match=r"flight_delay: the prediction log .* has no answer of it yet"):
        installation.check(NOW)


def test_a_window_without_answers_is_insufficient_and_opens_and_ends_nothing(installation: Installation) -> None:
    answer_days(installation, decay=0.6)
    alarmed = installation.check(NOW)
    before = states(installation)
    result = installation.check(NOW + 60 * DAY)
    assert (alarmed.decision, result.decision) == ("retrain", "insufficient")
    assert result.reason.startswith("insufficient: 0 labelled rows on 0 days;")
    assert (result.num_rows, result.incidents, result.weighted_drift, result.num_drifted) == (0, (), None, None)
    assert states(installation) == before


@pytest.mark.parametrize("rows", ["one answer", "one day", "no outcome", "no label", "one class"])
def test_whatever_little_was_answered_is_judged_or_said_to_be_too_little(installation: Installation, rows: str) -> None:
    sample = draw(2, num_days=14, rows_per_day=ROWS_PER_DAY, first=NOW - timedelta(hours=36) - 14 * DAY)
    if rows == "one answer":
        sample = sample.where(np.array([0]))
    elif rows == "one day":
        sample = sample.where(sample.day == sample.day.min() + 5)
    elif rows == "one class":
        sample = replace(sample, label=np.zeros(len(sample)))
    installation.answer(sample, known=rows != "no outcome", cancelled=len(sample) if rows == "no label" else 0)
    result = installation.check(NOW)
    assert result.num_rows == len(sample)
    assert result.performance.status == "insufficient"
    assert result.decision == "insufficient"
    assert result.performance.was_due == (rows in ("no outcome", "no label", "one class"))
    assert [kept for _, kept in read_results(installation.settings.database, USE_CASE.name)] == [result]


def test_a_check_of_an_installation_that_was_never_made_leaves_nothing(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "nothing", serving_port=1, mlflow_port=1)
    with pytest.raises(DatabaseError, match=r"no database at .* run `make setup` first"):
        check(settings, SPEC, now=NOW, load_model=lambda *_: TrueModel())
    assert not settings.root.exists()


def test_a_log_without_a_byte_is_no_log(installation: Installation) -> None:
    installation.settings.prediction_log.write_bytes(b"")
    with pytest.raises(MonitoringError, match=r"no prediction log at .* run `make setup`"):
        installation.check(NOW)


def test_a_defect_of_the_data_ends_also_where_no_column_may_trigger(installation: Installation) -> None:
    every = ("strong", "weak", "weather_", "category")
    spec = replace(SPEC, drift=replace(SPEC.drift, exempt=every))
    answer_days(installation, num_days=32)
    begin = int((SERVED_FROM + 3 * DAY).timestamp() * 1e6)
    installation.execute(
        "INSERT INTO quality VALUES (?, 'events', ?, ?, 1000, 200, 0, 0.8, 0, '{}')",
        *(USE_CASE.name, begin, begin + 86_400_000_000),
    )
    for now, decision, state in ((NOW, "data_defect", "open"), (NOW + 16 * DAY, "none", "closed")):
        result = check(installation.settings, spec, now=now, load_model=lambda *_: TrueModel())
        assert (result.decision, result.drift.status) == (decision, "insufficient")
        assert states(installation) == [("data", "P2", "data_defect", state)]


def test_labels_without_a_field_of_the_request_are_a_sentence(installation: Installation) -> None:
    answer_days(installation, num_days=1)
    day = NOW - DAY
    landed.forget(installation.root, use_case_group(USE_CASE.name))
    rows = pa.table({"label": [1], "outcome": ["arrived"], "known_at": [day]})
    landed.write_gold(installation.root, "labels", rows, "known_at", USE_CASE.name)
    with pytest.raises(ValueError, match=r"flight_delay: its labels have no field of a request"):
        installation.check(NOW)


def test_a_source_that_is_only_read_is_judged_by_what_stands_under_its_owner(installation: Installation) -> None:
    window = DataInterval(start=SERVED_FROM, end=SERVED_FROM + 7 * DAY)
    bounds = [int(moment.timestamp() * 1e6) for moment in (window.start, window.end)]
    for owner, source, num_bad in (("airport", "events", 200), ("airport", "gates", 300), (USE_CASE.name, "events", 0)):
        installation.execute(
            "INSERT INTO quality VALUES (?, ?, ?, ?, 1000, ?, 0, 0.5, 0, '{}')", owner, source, *bounds, num_bad
        )
    installation.execute("INSERT INTO quality VALUES (?, 'own', ?, ?, 1000, 100, 0, 0.9, 0, '{}')", "reader", *bounds)
    reads = (SharedSource(name="events", owner="airport"),)
    reader = replace(USE_CASE, name="reader", sources=("own",), reads=reads)

    qualities = read_quality(installation.settings.database, reader, window)

    assert [(quality.source, quality.num_quarantined) for quality in qualities] == [("events", 200), ("own", 100)]
    assert [defect.subject for defect in quality_defects(qualities, SPEC.defects)] == ["events", "own"]


def test_a_source_that_delivered_no_row_has_no_quality(installation: Installation) -> None:
    answer_days(installation)
    begin = int((SERVED_FROM + 3 * DAY).timestamp() * 1e6)
    installation.execute(
        "INSERT INTO quality VALUES (?, 'events', ?, ?, 0, 0, 0, 1.0, 0, '{}')",
        *(USE_CASE.name, begin, begin + 86_400_000_000),
    )
    result = installation.check(NOW)
    assert (result.decision, result.quality) == ("none", {"events": None})


def test_the_report_is_kept_where_the_result_says(installation: Installation) -> None:
    answer_days(installation, shift=1.0)
    installation.check(NOW)
    drawn = draw_missing_reports(installation.settings, SPEC, load_model=lambda *_: TrueModel())
    [(_, result)] = read_results(installation.settings.database, SPEC.contract.name)
    assert drawn == [result.report]
    assert "strong" in (installation.root / "reports" / drawn[0]).read_text()
    assert draw_missing_reports(installation.settings, SPEC, load_model=lambda *_: TrueModel()) == []


def test_a_window_whose_answers_have_gone_from_the_log_is_not_drawn(installation: Installation) -> None:
    answer_days(installation)
    installation.check(NOW)
    with closing(sqlite3.connect(installation.settings.prediction_log)) as connection, connection:
        connection.execute("DELETE FROM predictions")
    assert draw_missing_reports(installation.settings, SPEC, load_model=lambda *_: TrueModel()) == []


def test_which_answer_of_an_instant_was_logged_first_changes_nothing(installation: Installation) -> None:
    sample = draw(2, num_days=16, rows_per_day=500, first=SERVED_FROM)
    assert SPEC.drift.max_rows < 14 * 500, "nothing would be sampled"
    hour = 3_600_000_000
    installation.answer(replace(sample, at=sample.at // hour * hour))
    result = installation.check(NOW)
    with closing(sqlite3.connect(installation.settings.prediction_log)) as connection, connection:
        connection.execute("UPDATE predictions SET sequence = -sequence")
    again = installation.check(NOW)
    assert again.drift == result.drift
    assert again.performance == result.performance
