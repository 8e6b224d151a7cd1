"""Which version answers now, asked of the service itself; the newest answer in the log where it does not reply.

The registry's alias is only the intent: a version that was refused never served, and must not be compared with.
"""

from collections.abc import Mapping

import httpx

from feature_repo.contracts.base import UseCase
from infra.logs import logger
from infra.settings import Settings
from monitoring.answers import newest_version

LOG = logger(__name__)
PATIENCE_SECONDS = 2.0


def served_version(settings: Settings, use_case: UseCase, *, port: int) -> str:
    """Raises NothingServed if the service is away and the log is empty."""
    try:
        headers = {"Authorization": f"Bearer {settings.secret('serving_api_key')}"}
        answer = httpx.get(
            f"{settings.url(port)}/info", headers=headers, timeout=PATIENCE_SECONDS, trust_env=False
        ).raise_for_status()
        facts = answer.json()
        if isinstance(facts, Mapping) and facts.get("use_case") == use_case.name and facts.get("model_version"):
            return str(facts["model_version"])
    except (httpx.HTTPError, FileNotFoundError, ValueError) as error:
        LOG.warning("service_not_asked", use_case=use_case.name, port=port, reason=str(error))
    return newest_version(settings.prediction_log, use_case)
