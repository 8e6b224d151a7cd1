"""A client of Airflow's REST interface, no more than the local commands need.

It waits for a use case's four DAGs to be quiet by what Airflow has recorded: no run queued or running, and no asset
event that a DAG waits for without having been given to a run.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from feature_repo.contracts.base import DataInterval
from infra.local.airflow_server import ADMIN
from infra.local.errors import AirflowError
from infra.settings import Settings

STAGES = ("features", "monitoring", "training", "release")
UNFINISHED = ("queued", "running")
FINISHED_TASK = ("success", "failed", "skipped", "upstream_failed", "removed")
POLL_SECONDS = 0.5  # each look is a few requests of some 20 ms, beside a training for minutes


@dataclass(frozen=True, kw_only=True)
class DagRun:
    dag_id: str
    run_id: str
    state: str
    queued_at: datetime
    ended_at: datetime | None

    @classmethod
    def from_json(cls, run: dict[str, Any]) -> "DagRun":
        ended_at = datetime.fromisoformat(run["end_date"]) if run["end_date"] else None
        queued_at = datetime.fromisoformat(run["queued_at"])
        identity = {"dag_id": run["dag_id"], "run_id": run["dag_run_id"], "state": run["state"]}
        return cls(queued_at=queued_at, ended_at=ended_at, **identity)

    @property
    def stage(self) -> str:
        return self.dag_id.rpartition("__")[2]


def dag_ids(use_case: str) -> tuple[str, ...]:
    return tuple(f"{use_case}__{stage}" for stage in STAGES)


class AirflowClient:
    """Logs in at the first request, and again when the token has expired."""

    def __init__(self, settings: Settings) -> None:
        self._password = settings.secret("airflow_password")
        self._http = httpx.Client(base_url=settings.airflow_url, timeout=30, trust_env=False)

    def close(self) -> None:
        self._http.close()

    def _log_in(self) -> None:
        answer = self._http.post("/auth/token", json={"username": ADMIN, "password": self._password})
        if answer.status_code != httpx.codes.CREATED:
            raise AirflowError(f"Airflow refused the log-in of {ADMIN}: {answer.status_code}")
        self._http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def request(self, method: str, path: str, **arguments: Any) -> Any:  # noqa: ANN401
        """The JSON of an answer. Raises AirflowError with Airflow's reason if it is not a success."""
        if "Authorization" not in self._http.headers:
            self._log_in()
        answer = self._http.request(method, f"/api/v2{path}", **arguments)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            self._log_in()
            answer = self._http.request(method, f"/api/v2{path}", **arguments)
        if not answer.is_success:
            reason = f"Airflow answered {method} {path} with {answer.status_code}: {answer.text[:500]}"
            raise AirflowError(reason, status=answer.status_code)
        return answer.json()

    def health(self) -> dict[str, dict[str, str | None]]:
        """Component to its status and latest heartbeat; needs no log-in."""
        health: dict[str, dict[str, str | None]] = self._http.get("/api/v2/monitor/health").raise_for_status().json()
        return health

    def parsed_at(self, dag_id: str) -> datetime | None:
        """When the DAG processor last read the DAG, None if it never did."""
        dags = self.request("GET", "/dags", params={"dag_id_pattern": dag_id, "limit": 100})["dags"]
        moments = [dag["last_parsed_time"] for dag in dags if dag["dag_id"] == dag_id]
        return datetime.fromisoformat(moments[0]) if moments and moments[0] else None

    def unpause(self, use_case: str) -> None:
        for dag_id in dag_ids(use_case):
            self.request("PATCH", f"/dags/{dag_id}", json={"is_paused": False})

    def trigger(self, dag_id: str, interval: DataInterval | None = None) -> str:
        """Start a run, by hand; returns its id. Its logical date is now, so that an interval can be run again."""
        body: dict[str, Any] = {"logical_date": datetime.now(UTC).isoformat(), "conf": {}}
        if interval:
            body["data_interval_start"] = interval.start.isoformat()
            body["data_interval_end"] = interval.end.isoformat()
        run_id: str = self.request("POST", f"/dags/{dag_id}/dagRuns", json=body)["dag_run_id"]
        return run_id

    def runs(self, use_case: str, *, since: datetime) -> list[DagRun]:
        """Runs of the use case's DAGs that were queued at or after `since` (wall time), oldest first."""
        runs = [run for run in self._runs(use_case, {}) if run.queued_at >= since]
        return sorted(runs, key=lambda run: run.queued_at)

    def unfinished_runs(self, use_case: str) -> list[DagRun]:
        return self._runs(use_case, {"state": UNFINISHED})

    def _runs(self, use_case: str, parameters: dict[str, Any]) -> list[DagRun]:
        answer = self.request("GET", "/dags/~/dagRuns", params={"order_by": "-id", "limit": 100, **parameters})
        return [DagRun.from_json(run) for run in answer["dag_runs"] if run["dag_id"] in dag_ids(use_case)]

    def has_waiting_events(self, use_case: str) -> bool:
        """Whether an asset rang for one of the use case's DAGs and no run was made for it yet."""
        return any(self._has_waiting_events(dag_id) for dag_id in dag_ids(use_case))

    def _has_waiting_events(self, dag_id: str) -> bool:
        try:
            return bool(self.request("GET", f"/dags/{dag_id}/assets/queuedEvents")["total_entries"])
        except AirflowError as error:
            if error.status == httpx.codes.NOT_FOUND:  # that is how it says that there are none
                return False
            raise

    def is_quiet(self, use_case: str) -> bool:
        """Whether nothing runs, is queued or was rung for.

        Runs are looked for twice: an event that became a run after the first look is seen by the last.
        """
        return not (self.awaited_runs(use_case) or self.has_waiting_events(use_case) or self.awaited_runs(use_case))

    def awaited_runs(self, use_case: str) -> list[DagRun]:
        """Unfinished runs, less those that only draw their report: nothing of the loop waits for a picture."""
        return [run for run in self.unfinished_runs(use_case) if not self._only_draws(run)]

    def _only_draws(self, run: DagRun) -> bool:
        if run.stage != "monitoring" or run.state != "running":
            return False
        unfinished = [task["task_id"] for task in self._tasks(run) if task["state"] not in FINISHED_TASK]
        return unfinished == ["report"]

    def wait_until_quiet(self, use_case: str, *, since: datetime, timeout_seconds: float) -> list[DagRun]:
        """Every run queued since then, once the use case is quiet.

        Raises AirflowError, naming what still runs, if that takes longer than `timeout_seconds`.
        """
        self._wait(use_case, self.is_quiet, timeout_seconds)
        return self.runs(use_case, since=since)

    def wait_until_drawn(self, use_case: str, *, timeout_seconds: float) -> None:
        """Return once no run is unfinished, those that only draw a report included."""
        self._wait(use_case, lambda name: not self.unfinished_runs(name), timeout_seconds)

    def _wait(self, use_case: str, done: Callable[[str], bool], timeout_seconds: float) -> None:
        deadline = time.monotonic() + timeout_seconds
        while not done(use_case):
            if time.monotonic() > deadline:
                runs = ", ".join(f"{run.dag_id} {run.state}" for run in self.unfinished_runs(use_case))
                raise AirflowError(
                    f"{use_case} was not quiet within {timeout_seconds:.0f} s: {runs or 'a waiting event'}"
                )
            time.sleep(POLL_SECONDS)

    def failed_tasks(self, run: DagRun) -> list[str]:
        """Ids of the run's tasks that failed, for a message."""
        return [task["task_id"] for task in self._tasks(run) if task["state"] in ("failed", "upstream_failed")]

    def _tasks(self, run: DagRun) -> list[dict[str, Any]]:
        path = f"/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances"
        tasks: list[dict[str, Any]] = self.request("GET", path, params={"limit": 100})["task_instances"]
        return tasks
