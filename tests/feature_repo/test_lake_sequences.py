"""Whatever befalls writers in whatever order, readers see what a plain dictionary says, and open ones what they saw."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.chaos import Chaos
from feature_repo.contracts.base import DataInterval
from feature_repo.lake import IntervalTable, change
from infra.lake import DAY, Lake, Snapshot
from tests.feature_repo.landed import lake_of
from tests.feature_repo.test_lake import (
    GROUP,
    MONDAY,
    NOON,
    ONE_DAY,
    POINTS,
    TABLES,
    TUESDAY,
    at,
    lose_the_answer,
    rows,
)
from tests.feature_repo.test_retention import STEPS, age, files_in, of

VISIBLE = ("named", *STEPS)  # who dies at one of these has named its versions
INTERVALS = {
    "Monday": (MONDAY,),
    "Tuesday": (TUESDAY,),
    "both days": (MONDAY, TUESDAY),
}
Contents = dict[str, dict[datetime, int]]


class Killed(Exception):
    """As if the process had died at a point: nothing of the change's own catches it."""


@dataclass(frozen=True)
class Write:
    days: tuple[datetime, ...]
    tables: tuple[IntervalTable, ...]
    killed_at: str = ""
    raced: bool = False
    answer_lost: bool = False


writes = st.builds(
    Write,
    days=st.sampled_from([*INTERVALS.values()]),
    tables=st.sampled_from([TABLES, TABLES, TABLES[:1], TABLES[1:]]),
    killed_at=st.sampled_from(["", "", "", *POINTS, *VISIBLE]),
    raced=st.booleans(),
    answer_lost=st.booleans(),
)
steps = st.one_of(writes, writes, writes, st.sampled_from(["open", "close", "age"]))


@dataclass
class Model:
    lake: Lake
    stack: ExitStack
    contents: Contents = field(default_factory=lambda: {table.name: {} for table in TABLES})
    readers: list[tuple[Snapshot, Contents, ExitStack]] = field(default_factory=list)
    number: int = 0

    def do(self, step: Write | str) -> None:
        if isinstance(step, Write):
            self.write(step)
        elif step == "open":
            reader = self.stack.enter_context(ExitStack())
            self.readers.append((reader.enter_context(self.lake.open(GROUP)), copied(self.contents), reader))
        elif step == "close" and self.readers:
            self.readers.pop(0)[2].close()
        elif step == "age":
            age(self.lake)

    def write(self, step: Write) -> None:
        self.number += 1
        interval = DataInterval(start=step.days[0], end=step.days[-1] + ONE_DAY)
        moments = [moment for day in step.days for moment in (day, day + NOON)]
        try:
            with change(self.lake, GROUP, self.chaos_of(step)) as changed:
                for table in step.tables:
                    changed.replace(table, rows(*moments, value=self.number), interval)
        except Killed:
            if step.killed_at not in VISIBLE:
                return
        for table in step.tables:
            self.contents[table.name].update(dict.fromkeys(moments, self.number))

    def chaos_of(self, step: Write) -> Chaos:
        hooks = [at(step.killed_at, die)]
        first = step.tables[0].name
        if step.raced:
            hooks.append(at(f"{first}_opened", lambda: self.write_beside(first)))
        if step.answer_lost:
            hooks.append(at(f"{first}_answered", lose_the_answer))

        def strike(point: str) -> None:
            for hook in hooks:
                hook(point)

        return strike

    def write_beside(self, table: str) -> None:
        """Another program's rows, of a day that is not ours too."""
        folder = self.lake.newest(GROUP).folder / table
        if DeltaTable.is_deltatable(str(folder)):
            for day in (MONDAY, MONDAY - ONE_DAY):
                write_deltalake(folder, rows(day, value=-1).append_column(DAY, pa.array([day.date()])), mode="append")

    def check(self) -> None:
        with self.lake.open(GROUP) as newest:
            assert found(newest) == self.contents
        for reader, contents, _ in self.readers:
            assert found(Snapshot(reader.folder, GROUP, reader.sequence, reader.versions)) == contents


def die() -> None:
    raise Killed


def copied(contents: Contents) -> Contents:
    return {name: dict(values) for name, values in contents.items()}


def found(snapshot: Snapshot) -> Contents:
    """Raises AssertionError if a moment is there twice or out of order."""
    contents: Contents = {}
    for table in TABLES:
        read = snapshot.read(table.name)
        pairs = list(zip(read["at"].to_pylist(), read["value"].to_pylist(), strict=True)) if read.num_columns else []
        assert pairs == sorted(dict(pairs).items())
        contents[table.name] = dict(pairs)
    return contents


@settings(max_examples=60, deadline=None, derandomize=True)
@given(steps=st.lists(steps, min_size=3, max_size=9))
def test_readers_see_what_the_model_says(tmp_path_factory: pytest.TempPathFactory, steps: list[Write | str]) -> None:
    root = tmp_path_factory.mktemp("lake")
    with ExitStack() as stack:
        model = Model(lake_of(root), stack)
        for step in steps:
            model.do(step)
            model.check()
    model.readers.clear()
    for _ in range(2):  # the second one finds the first one due
        model.do(Write(days=(MONDAY, TUESDAY), tables=TABLES))
        age(model.lake)
    model.do(Write(days=(MONDAY, TUESDAY), tables=TABLES))
    model.check()
    newest = model.lake.newest(GROUP)
    assert {path for path in files_in(newest.folder) if "_delta_log" not in path.parts} == of(newest)
