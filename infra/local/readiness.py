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

HEALTHY = '{"metadatabase":{"status":"healthy"'


def answers(url: str, *, begins_with: str = "", token: str = "") -> Readiness:
    """Ready when the server says 200 and a body that begins so: nobody else's answer, an error's neither, is enough."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}

    def lack(_started_at: float) -> str | None:
        try:
            answer = httpx.get(url, headers=headers, timeout=5, trust_env=False)
        except httpx.HTTPError as error:
            return f"GET {url}: {in_words(error)}"
        if answer.status_code == httpx.codes.OK and answer.text.startswith(begins_with):
            return None
        return f"GET {url}: {answer.status_code} {answer.text[:200]!r} instead of 200 {begins_with!r}"

    return lack


def in_words(error: Exception) -> str:
    """On one line; some errors of httpx have no text of their own."""
    return " ".join([type(error).__name__, *str(error).split()])


def beats(client: AirflowClient, component: str) -> Readiness:
    """Ready when Airflow's database has a heartbeat of `component` from after its start."""

    def lack(started_at: float) -> str | None:
        try:
            heartbeat = client.health()[component].get(f"latest_{component}_heartbeat")
        except (httpx.HTTPError, AirflowError) as error:
            return f"Airflow's health: {in_words(error)}"
        if heartbeat is not None and datetime.fromisoformat(heartbeat).timestamp() > started_at:
            return None
        return f"its newest heartbeat is {heartbeat or 'missing'}, from after its start was expected"

    return lack


def has_parsed(client: AirflowClient) -> Readiness:
    """Ready when the four DAGs of every use case were read after the start."""

    def lack(started_at: float) -> str | None:
        start = datetime.fromtimestamp(started_at, UTC)
        for dag_id in (dag_id for use_case in USE_CASES for dag_id in dag_ids(use_case)):
            try:
                moment = client.parsed_at(dag_id)
            except (httpx.HTTPError, AirflowError) as error:
                return f"Airflow's DAGs: {in_words(error)}"
            if moment is None or moment <= start:
                return f"{dag_id} was last read at {moment or 'no time'}, after its start was expected"
        return None

    return lack


def serves(settings: Settings, use_case: str, port: int) -> Readiness:
    """Ready when the use case's service says that it is that, with a model or without one."""
    token, begin = settings.secret("serving_api_key"), f'{{"use_case":"{use_case}"'
    return answers(f"{settings.url(port)}/info", begins_with=begin, token=token)


def readiness(settings: Settings, client: AirflowClient) -> dict[str, Readiness]:
    """By the names of the Procfile. A stream has no port: it is ready when it runs."""
    by_use_case = {
        f"serving.{name}": serves(settings, name, serving_port(settings.serving_port, name)) for name in USE_CASES
    }
    return {
        "mlflow": answers(f"{settings.mlflow_url}/health", begins_with="OK"),
        "api-server": answers(f"{settings.airflow_url}/api/v2/monitor/health", begins_with=HEALTHY),
        "scheduler": beats(client, "scheduler"),
        "dag-processor": has_parsed(client),
        "monitoring": answers(
            f"{settings.url(settings.monitoring_port)}/metrics",
            begins_with="# HELP flywheel_",
            token=settings.secret("monitoring_token"),
        ),
        **by_use_case,
    }
