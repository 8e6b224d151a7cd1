import io
from datetime import UTC, datetime

from rich.console import Console

from infra.local.client import Answer
from infra.local.screen import Screen


def test_before_the_first_answer_there_is_no_latency_to_show() -> None:
    screen = Screen(Console(file=io.StringIO()), num_rounds=1, num_hours=1)
    screen.hour_played(datetime(2013, 4, 1, tzinfo=UTC))
    assert screen.figures() == "0 requests, 0 failed, p50 - ms, version -, no decision yet"

    screen.answered(Answer(key="k", replayed=False, sent_at_wall=0, latency_seconds=0.002, model_version="1"))

    assert screen.figures() == "1 requests, 0 failed, p50 2.0 ms, version 1, no decision yet"
