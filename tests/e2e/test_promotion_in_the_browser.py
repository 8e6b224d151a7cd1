"""A person promotes a version by setting the alias `champion` in MLflow's own user interface, in a real browser.

Real are the browser (Debian's Chromium), the MLflow server with its users, the service, the two signed packages and the
client, which goes on asking while the version changes under it.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import HttpCredentials, Page, expect, sync_playwright

from feature_repo.contracts.flight_delay import FLIGHT_DELAY
from feature_repo.contracts.model_package import CHAMPION
from infra.local.mlflow_server import ADMIN
from infra.settings import Settings
from tests.serving.installation import Registrar, Service, make_settings, running_mlflow, running_service
from tests.serving.load import Load
from tests.serving.packages import constant_package, signing_key

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
PROBABILITIES = (0.25, 0.75)
FOLLOWED_WITHIN_SECONDS = 5.0
PATIENCE_MILLISECONDS = 60_000


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    settings = make_settings(tmp_path_factory.mktemp("var"))
    with running_mlflow(settings):
        yield settings


@pytest.fixture(scope="module")
def versions(settings: Settings) -> dict[str, float]:
    """Two registered versions, each with an output of its own; the first is the champion."""
    registrar, key = Registrar(settings), signing_key(settings.root / "secrets")
    versions = {
        registrar.register(
            lambda run_id, p=probability: constant_package(FLIGHT_DELAY, p, key, run_id=run_id)  # type: ignore[misc]
        ): probability
        for probability in PROBABILITIES
    }
    registrar.set_alias(CHAMPION, next(iter(versions)))
    return versions


@pytest.fixture(scope="module")
def service(settings: Settings, versions: dict[str, float]) -> Iterator[Service]:
    with running_service(settings) as service:
        yield service


@pytest.fixture
def page(settings: Settings) -> Iterator[Page]:
    """A page of a browser that knows the admin's password."""
    if not CHROMIUM.exists():
        pytest.fail(f"{CHROMIUM} does not exist; install it: apt-get install chromium")
    credentials = HttpCredentials(username=ADMIN, password=settings.secret("mlflow_password"))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        page = browser.new_context(http_credentials=credentials).new_page()
        page.set_default_timeout(PATIENCE_MILLISECONDS)
        expect.set_options(timeout=PATIENCE_MILLISECONDS)
        yield page
        browser.close()


def open_aliases(page: Page, settings: Settings, version: str) -> None:
    page.goto(f"{settings.mlflow_url}/#/models/{FLIGHT_DELAY.name}/versions/{version}")
    page.get_by_title("Add aliases").click()
    expect(page.get_by_role("dialog").get_by_role("combobox")).to_be_visible()


def save_alias(page: Page, alias: str) -> None:
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("combobox").fill(alias)
    dialog.get_by_role("combobox").press("Enter")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()


def test_the_alias_set_in_the_browser_changes_the_served_version_without_a_failed_request(
    page: Page, settings: Settings, service: Service, versions: dict[str, float]
) -> None:
    first, second = versions
    assert service.info()["model_version"] == first
    open_aliases(page, settings, second)

    with Load(settings) as load:
        service.wait_for_version(first)
        num_before = len(load.ledger.acknowledged)
        save_alias(page, CHAMPION)
        service.wait_for_version(second, timeout=FOLLOWED_WITHIN_SECONDS)

    answers = list(load.ledger.acknowledged.values())
    assert load.ledger.failures == []
    assert len(answers) > num_before
    assert {answer["model_version"] for answer in answers} == {first, second}
    assert all(answer["probability"] == versions[str(answer["model_version"])] for answer in answers)
