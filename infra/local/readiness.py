"""When each process of an installation is ready, by asking it.

Answers of an earlier start do not count: heartbeats and parsed files must be younger than the process.
"""

from datetime import UTC, datetime

import httpx

from feature_repo.contracts import USE_CASES, serving_port
from infra.local.airflow import AirflowClient, dag_ids
from infra.local.errors import AirflowError
from infra.local.processes import Readiness
from infra.settings import Settings


def answers(url: str) -> Readiness:
    """Ready when anything but an error of the server comes back; a 401 is an answer."""

    def ready(_started_at: float) -> bool:
        try:
            return httpx.get(url, timeout=5).status_code < httpx.codes.INTERNAL_SERVER_ERROR
        except httpx.TransportError:
            return False

    return ready


def beats(client: AirflowClient, component: str) -> Readiness:
    """Ready when Airflow's database has a heartbeat of `component` from after its start."""

    def ready(started_at: float) -> bool:
        try:
            status = client.health()[component]
        except httpx.HTTPError:
            return False
        heartbeat = status.get(f"latest_{component}_heartbeat")
        return heartbeat is not None and datetime.fromisoformat(heartbeat).timestamp() > started_at

    return ready


def has_parsed(client: AirflowClient) -> Readiness:
    """Ready when the four DAGs of every use case were read after the start."""

    def ready(started_at: float) -> bool:
        start = datetime.fromtimestamp(started_at, UTC)
        try:
            moments = [client.parsed_at(dag_id) for use_case in USE_CASES for dag_id in dag_ids(use_case)]
        except (httpx.HTTPError, AirflowError):
            return False
        return all(moment is not None and moment > start for moment in moments)

    return ready


def readiness(settings: Settings, client: AirflowClient) -> dict[str, Readiness]:
    """By the names of the Procfile. A stream has no port: it is ready when it runs."""
    by_use_case = {
        f"serving.{name}": answers(f"http://{settings.bind}:{serving_port(settings.serving_port, name)}/livez")
        for name in USE_CASES
    }
    return {
        "mlflow": answers(f"{settings.mlflow_url}/health"),
        "api-server": answers(f"{settings.airflow_url}/api/v2/monitor/health"),
        "scheduler": beats(client, "scheduler"),
        "dag-processor": has_parsed(client),
        "monitoring": answers(f"http://{settings.bind}:{settings.monitoring_port}/metrics"),
        **by_use_case,
    }
