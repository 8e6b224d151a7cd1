"""Makes the challenger the champion, and waits until the service answers with it.

The one place besides a person's hand that sets `champion`. The package is verified and loaded with serving's own
loader first, so that a version which the service would refuse never gets the alias.
"""

import time
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import httpx
from sqlalchemy import insert, select, update

from feature_repo.contracts import serving_port
from feature_repo.contracts.base import UseCase
from feature_repo.contracts.control import IncidentState
from feature_repo.contracts.model_package import CHALLENGER, CHAMPION
from infra.clock import to_microseconds
from infra.database import reading, require_database, writing
from infra.database.schema import incidents, releases
from infra.settings import Settings
from serving.errors import NothingToRelease, PackageRefused, ReleaseFailed
from serving.incidents import refusal_of
from serving.model_store import ModelStore
from serving.registry import ModelVersion, Registry

SERVED_WITHIN_SECONDS = 30.0
POLL_SECONDS = 0.1
RELEASER = "release"


@dataclass(frozen=True, kw_only=True)
class Release:
    """Times are wall time in microseconds."""

    use_case: str
    model_version: str
    alias_set_at_wall: int
    served_at_wall: int


@dataclass(frozen=True, kw_only=True)
class Unfinished:
    """The alias is set, the service has not been seen to follow yet."""

    release_id: str
    alias_set_at_wall: int


def release(use_case: UseCase, settings: Settings) -> Release:
    """Raises NothingToRelease (exit 99), PackageRefused, or ReleaseFailed if the service does not take it in time."""
    require_database(settings.database)
    with Registry.of(settings, user="flywheel", secret="mlflow_password") as registry:  # noqa: S106 - its name
        challenger = find_challenger(use_case, settings, registry)
        unfinished = unfinished_release(settings, challenger) or begin_release(use_case, settings, registry, challenger)
        served_at = wait_until_served(use_case, settings, registry, challenger)
    record_served(settings, unfinished.release_id, challenger, served_at)
    return Release(
        use_case=use_case.name,
        model_version=challenger.version,
        alias_set_at_wall=unfinished.alias_set_at_wall,
        served_at_wall=served_at,
    )


def find_challenger(use_case: UseCase, settings: Settings, registry: Registry) -> ModelVersion:
    challenger = registry.version_by_alias(use_case.name, CHALLENGER)
    champion = registry.version_by_alias(use_case.name, CHAMPION)
    if challenger is None:
        raise NothingToRelease(f"{use_case.name} has no challenger; a training whose gate passes registers one")
    if champion is not None and champion.version == challenger.version:
        if unfinished_release(settings, challenger) is not None:
            return challenger
        raise NothingToRelease(f"{use_case.name} v{challenger.version} is the champion already")
    if challenger.tags.get("gate") != "passed":
        gate = challenger.tags.get("gate", "never asked")
        raise NothingToRelease(f"{use_case.name} v{challenger.version} is not released: its gate is {gate!r}")
    if "refused" in challenger.tags:
        raise NothingToRelease(f"{use_case.name} v{challenger.version} was refused: {challenger.tags['refused']}")
    return challenger


def begin_release(use_case: UseCase, settings: Settings, registry: Registry, challenger: ModelVersion) -> Unfinished:
    verify(use_case, settings, registry, challenger)
    reason = challenger.tags.get("gate_reason", "the gate passed")
    alias_set_at = promote(registry, challenger, reason)
    return record_alias(settings, challenger, alias_set_at, reason)


def verify(use_case: UseCase, settings: Settings, registry: Registry, challenger: ModelVersion) -> None:
    try:
        ModelStore.of(use_case, settings).load(registry, challenger)
    except PackageRefused as error:
        registry.set_tag(challenger.name, challenger.version, "refused", error.problem)
        raise


def promote(registry: Registry, challenger: ModelVersion, reason: str) -> int:
    """The alias is set last: whoever sees it also sees who set it and why."""
    now = datetime.now(UTC)
    for key, value in (("promoted_by", RELEASER), ("promoted_at", now.isoformat()), ("promoted_reason", reason)):
        registry.set_tag(challenger.name, challenger.version, key, value)
    registry.set_alias(challenger.name, CHAMPION, challenger.version)
    return wall()


def wait_until_served(use_case: UseCase, settings: Settings, registry: Registry, challenger: ModelVersion) -> int:
    """When the service was first seen to serve the version."""
    url = settings.url(serving_port(settings.serving_port, use_case.name))
    headers = {"Authorization": f"Bearer {settings.secret('serving_api_key')}"}
    deadline = time.monotonic() + SERVED_WITHIN_SECONDS
    problem = "it was never asked"
    with httpx.Client(base_url=url, headers=headers, timeout=2, trust_env=False) as client:
        while time.monotonic() < deadline:
            problem = ask(client, challenger.version)
            if not problem:
                return wall()
            refused = refusal_of(settings.database, use_case.name, challenger.version)
            if refused is not None:
                registry.set_tag(challenger.name, challenger.version, "refused", refused)
                raise PackageRefused(f"the service refuses {use_case.name} v{challenger.version}: {refused}")
            time.sleep(POLL_SECONDS)
    waited = f"{SERVED_WITHIN_SECONDS:.0f} s after the alias was set"
    raise ReleaseFailed(f"{use_case.name} v{challenger.version} is not served {waited}: {problem}; see {url}/info")


def ask(client: httpx.Client, version: str) -> str:
    """What is in the way, empty if the version is served."""
    try:
        answer = client.get("/info")
        served = answer.json().get("model_version") if answer.status_code == httpx.codes.OK else None
    except (httpx.HTTPError, ValueError) as error:
        return f"the service does not answer: {error}"
    return "" if served == version else f"the service answers {answer.status_code}, version {served}"


def unfinished_release(settings: Settings, challenger: ModelVersion) -> Unfinished | None:
    """A release of this version that set the alias and then ended too early: it is waited for, not done again."""
    query = (
        select(releases.c.release_id, releases.c.alias_set_at_wall)
        .where(releases.c.use_case == challenger.name, releases.c.model_version == challenger.version)
        .where(releases.c.set_by == RELEASER, releases.c.served_at_wall.is_(None))
        .order_by(releases.c.alias_set_at_wall.desc())
    )
    with reading(settings.database) as connection:
        newest = connection.execute(query).first()
    if newest is None:
        return None
    return Unfinished(release_id=newest.release_id, alias_set_at_wall=newest.alias_set_at_wall)


def record_alias(settings: Settings, challenger: ModelVersion, alias_set_at: int, reason: str) -> Unfinished:
    begun = Unfinished(release_id=str(uuid.uuid4()), alias_set_at_wall=alias_set_at)
    row = {
        **asdict(begun),
        "use_case": challenger.name,
        "model_version": challenger.version,
        "training_id": challenger.tags.get("training_id"),
        "set_by": RELEASER,
        "reason": reason,
    }
    with writing(settings.database) as connection:
        connection.execute(insert(releases).values(**row))
    return begun


def record_served(settings: Settings, release_id: str, challenger: ModelVersion, served_at: int) -> None:
    """The release's end, and the incidents that asked for it."""
    now, training_id = to_microseconds(settings.make_clock().now()), challenger.tags.get("training_id")
    served = update(releases).where(releases.c.release_id == release_id).values(served_at_wall=served_at)
    answered = update(incidents).where(
        incidents.c.training_id == training_id,
        incidents.c.state.in_((IncidentState.TRAINING, IncidentState.GATED)),
    )
    with writing(settings.database) as connection:
        connection.execute(served)
        if training_id is not None:
            facts = {"state": IncidentState.RELEASED, "model_version": challenger.version, "updated_at": now}
            connection.execute(answered.values(**facts))


def wall() -> int:
    return time.time_ns() // 1000
