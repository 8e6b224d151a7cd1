"""The steps of a demo that can end with nothing."""

import io
from pathlib import Path

from rich.console import Console

from infra.local.airflow import AirflowClient
from infra.local.ledger import Ledger
from infra.local.processes import Supervisor
from infra.local.report import Parity
from infra.local.scenario import SHORT, Demo
from infra.local.screen import Screen
from infra.local.setup import make_databases
from infra.local.world import World
from infra.settings import Settings
from tests.infra.test_report import ROUNDS, failed, planned


def test_without_an_answer_parity_is_of_nothing_and_the_demo_goes_on_to_its_report(tmp_path: Path) -> None:
    """Nothing else is there: were parity asked, its command would fail."""
    settings = Settings(data_dir=tmp_path)
    settings.make_secrets()
    demo = Demo(
        plan=SHORT,
        settings=settings,
        world=World([]),
        screen=Screen(Console(file=io.StringIO()), num_rounds=0, num_hours=0),
        supervisor=Supervisor(settings=settings, commands={}),
        airflow=AirflowClient(settings),
    )
    with Ledger(demo.places.ledger) as ledger:
        ledger.begin_round(ROUNDS[0])
        ledger.record(ROUNDS[0], [(planned(0), ROUNDS[0].start, failed("x"))])
    make_databases(settings)
    assert demo.measure_parity() == Parity(compared=0, mismatched=0)
    assert demo.last_decision() == "no decision yet"
