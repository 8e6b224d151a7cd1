"""What a person is shown of the lake, on SQLite and PostgreSQL."""

from io import StringIO
from pathlib import Path

from rich.console import Console

from feature_repo.inventory import table_of
from infra.lake import Lake
from tests.feature_repo.landed import lake_of
from tests.feature_repo.test_lake import GROUP, MONDAY, TUESDAY, commit
from tests.feature_repo.test_main import invoked, made
from tests.feature_repo.test_retention import age, files_in


def shown(lake: Lake) -> dict[str, list[str]]:
    """The cells after the group's, by table."""
    printed = StringIO()
    Console(width=300, file=printed).print(table_of(lake))
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in printed.getvalue().splitlines()]
    return {line[1]: line[2:] for line in lines if line and line[0] == GROUP}


def test_each_table_is_shown_with_what_is_in_it_and_what_old_versions_add(tmp_path: Path, database: str) -> None:
    lake = Lake(tmp_path / "data", database)
    for value, day in ((1, MONDAY), (2, TUESDAY), (3, MONDAY)):
        commit(lake, value, day)
    with lake.open(GROUP) as opened:
        lake.pin(opened, "training/[1]")
    folder = opened.folder / "silver"
    size = sum(path.stat().st_size for path in opened.files("silver"))
    everything = sum(path.stat().st_size for path in files_in(folder))

    found = shown(lake)

    assert list(found) == ["silver", "views/v"]
    days, rows, files, newest, on_disk, versions, _, pins, grows = found["silver"]
    assert (days, rows, files, versions) == ("2", "4", "2", "3")
    assert (newest, on_disk) == (f"{size:,}", f"{everything:,}")
    assert (pins, grows) == ("training/[1]", "with every clean row that is new, for ever")


def test_the_oldest_is_the_one_that_was_named_first(tmp_path: Path, database: str) -> None:
    lake = Lake(tmp_path / "data", database)
    commit(lake, 1)
    before = shown(lake)["silver"][6]
    age(lake)
    assert shown(lake)["silver"][6] < before
    commit(lake, 2)
    assert shown(lake)["silver"][6] >= before


def test_the_command_shows_it_and_says_when_there_is_nothing(tmp_path: Path) -> None:
    assert invoked(made(tmp_path), "lake").output == "the lake is empty; ingest an interval first\n"
    commit(lake_of(tmp_path), 1)
    assert GROUP in invoked(tmp_path, "lake").output
