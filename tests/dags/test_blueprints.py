"""What every use case's DAGs must look like, and that exactly these DAGs and tasks exist."""

import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from airflow.sdk import DAG, BaseOperator

from dags.blueprints.base import asset
from dags.blueprints.command import CommandOperator
from dags.blueprints.features import features_dag
from dags.blueprints.monitoring import monitoring_dag
from dags.blueprints.release import release_dag
from dags.blueprints.training import training_dag
from feature_repo.contracts import USE_CASES
from feature_repo.contracts.base import SharedSource
from feature_repo.contracts.flight_delay import FLIGHT_DELAY

ROOT = Path(__file__).resolve().parents[2]
FILES = [ROOT / "dags" / "use_cases" / f"{name}.py" for name in USE_CASES]
SNAPSHOT = """\
flight_delay__features: build ingest
  by time: 0 0 * * *
  when asset rings: -
  rings: features/flight_delay source/flights source/weather
flight_delay__monitoring: ask check report
  by time: 0 6 * * *
  when asset rings: features/flight_delay
  rings: retrain/flight_delay
flight_delay__release: release
  by time: 40 * * * *
  when asset rings: challenger/flight_delay
  rings: -
flight_delay__training: admit dataset fit gate
  by time: 20 * * * *
  when asset rings: retrain/flight_delay
  rings: challenger/flight_delay
"""


READER = replace(
    FLIGHT_DELAY,
    name="rain_ahead",
    sources=(),
    reads=(SharedSource(name="weather", owner="flight_delay"),),
)


def declared(clock: str, monkeypatch: pytest.MonkeyPatch) -> list[DAG]:
    """The DAGs of flight_delay as an installation with that clock declares them."""
    monkeypatch.setenv("FLYWHEEL_CLOCK", clock)
    return [
        features_dag(FLIGHT_DELAY, cron="0 0 * * *"),
        monitoring_dag(FLIGHT_DELAY, reconcile_cron="0 6 * * *"),
        training_dag(FLIGHT_DELAY, reconcile_cron="20 * * * *"),
        release_dag(FLIGHT_DELAY, reconcile_cron="40 * * * *"),
    ]


def from_files() -> list[DAG]:
    found = []
    for name in USE_CASES:
        module = __import__(f"dags.use_cases.{name}", fromlist=["*"])
        found += [value for value in vars(module).values() if isinstance(value, DAG)]
    return found


def cron(dag: DAG) -> str:
    timetable = getattr(dag.timetable, "timetable", dag.timetable)
    return getattr(timetable, "expression", "-")


def listed(names: list[str]) -> str:
    return " ".join(sorted(names)) or "-"


def heard(dag: DAG) -> str:
    condition = getattr(dag.timetable, "asset_condition", None)
    return listed([found.name for found in condition.objects] if condition else [])


def description(dag: DAG) -> str:
    rung = [outlet.name for task in dag.tasks for outlet in task.outlets]
    lines = [f"by time: {cron(dag)}", f"when asset rings: {heard(dag)}", f"rings: {listed(rung)}"]
    return "\n  ".join([f"{dag.dag_id}: {' '.join(sorted(dag.task_ids))}", *lines])


def test_these_dags_and_tasks_exist_and_no_others() -> None:
    assert "\n".join(sorted(description(dag) for dag in from_files())) + "\n" == SNAPSHOT


def test_who_ingests_nothing_builds_by_its_own_time_or_when_the_owner_has_ingested(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FLYWHEEL_CLOCK", "system")
    assert description(features_dag(READER, cron="0 3 * * *")).splitlines() == [
        "rain_ahead__features: build",
        "  by time: 0 3 * * *",
        "  when asset rings: source/weather",
        "  rings: features/rain_ahead",
    ]
    monkeypatch.setenv("FLYWHEEL_CLOCK", "file:/tmp/clock")
    replayed = features_dag(READER, cron="0 3 * * *")
    assert (cron(replayed), heard(replayed)) == ("-", "source/weather")


def test_who_reads_a_source_beside_its_own_ingests_its_own_by_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYWHEEL_CLOCK", "system")
    dag = features_dag(replace(READER, sources=("radar", "snow")), cron="0 3 * * *")

    assert description(dag).splitlines() == [
        "rain_ahead__features: build ingest",
        "  by time: 0 3 * * *",
        "  when asset rings: -",
        "  rings: features/rain_ahead source/radar source/snow",
    ]
    assert task_of(dag, "ingest").arguments[:5] == ["feature_repo", "ingest", "rain_ahead", "radar", "snow"]
    assert "It reads `weather` of flight_delay" in str(dag.doc_md)


def test_a_build_waits_longer_for_an_owner_than_an_owners_ingest_may_take_with_its_retries() -> None:
    owner = task_of(features_dag(FLIGHT_DELAY, cron="0 0 * * *"), "ingest")
    reader = task_of(features_dag(READER, cron="0 0 * * *"), "build")
    assert isinstance(owner.execution_timeout, timedelta)

    assert sum(pauses(reader), timedelta()) >= owner.execution_timeout * (1 + len(pauses(owner)))


def task_of(dag: DAG, task_id: str) -> CommandOperator:
    task = dag.get_task(task_id)
    assert isinstance(task, CommandOperator)
    return task


def pauses(task: BaseOperator) -> list[timedelta]:
    """Between a task's tries."""
    assert isinstance(task.retries, int)
    assert isinstance(task.retry_delay, timedelta)
    assert isinstance(task.max_retry_delay, timedelta)
    longest = task.max_retry_delay
    return [min(task.retry_delay * 2**number, longest) for number in range(task.retries)]


def test_a_replay_is_started_by_who_replays_and_never_by_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {cron(dag) for dag in declared("file:/tmp/clock", monkeypatch)} == {"-"}
    assert "-" not in {cron(dag) for dag in declared("system", monkeypatch)}


@pytest.mark.parametrize("dag", from_files(), ids=lambda dag: dag.dag_id)
def test_a_dag_has_an_owner_tags_a_doc_and_one_run_at_a_time(dag: DAG) -> None:
    assert dag.max_active_runs == 1
    assert dag.catchup is False
    assert dag.doc_md
    use_case, _, stage = dag.dag_id.partition("__")
    assert {use_case, stage, USE_CASES[use_case].owner} <= set(dag.tags)


@pytest.mark.parametrize("dag", from_files(), ids=lambda dag: dag.dag_id)
def test_a_task_has_an_owner_a_doc_retries_with_backoff_and_a_timeout(dag: DAG) -> None:
    for task in dag.tasks:
        assert task.owner == USE_CASES[dag.dag_id.partition("__")[0]].owner
        assert task.doc_md
        assert task.retries
        assert task.retry_exponential_backoff
        assert task.execution_timeout is not None


def test_a_task_runs_a_command_of_a_layer_on_its_own_use_case() -> None:
    for dag in from_files():
        for task in dag.tasks:
            assert isinstance(task, CommandOperator)
            layer, _, use_case = task.arguments[:3]
            assert (ROOT / layer).is_dir()
            assert use_case == dag.dag_id.partition("__")[0]


def test_assets_are_named_for_subject_and_use_case() -> None:
    ring = asset("retrain", FLIGHT_DELAY)

    assert (ring.name, ring.uri) == ("retrain/flight_delay", "flywheel://retrain/flight_delay")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_use_case_has_a_file_that_airflow_does_not_skip(path: Path) -> None:
    text = path.read_bytes().lower()

    assert b"airflow" in text, "Airflow's safe mode would skip the file without a word"
    assert b"dag" in text


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_is_parsed_within_a_second_and_does_nothing_else(path: Path) -> None:
    """Airflow itself is imported already in the process that parses; what counts is what the file adds."""
    code = (
        "import sys, time; from airflow.sdk import DAG, Asset; before = set(sys.modules); start = time.process_time();"
        f"import dags.use_cases.{path.stem};"
        "print(time.process_time() - start); print(*set(sys.modules) - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    seconds, modules = done.stdout.splitlines()[-2:]

    assert float(seconds) < 1
    heavy = {"torch", "mlflow", "feast", "evidently", "duckdb", "pyarrow", "numpy", "great_expectations", "bentoml"}
    assert not heavy & {module.partition(".")[0] for module in modules.split()}


def test_the_dag_processor_finds_the_use_cases_and_nothing_else() -> None:
    from airflow._shared.module_loading import find_path_from_directory

    found = {Path(path).relative_to(ROOT).as_posix() for path in find_path_from_directory(ROOT, ".airflowignore")}

    assert found == {f"dags/use_cases/{name}.py" for name in USE_CASES} | {"dags/use_cases/__init__.py"}
