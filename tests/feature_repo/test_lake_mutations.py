"""Each defence of the lake has a test that fails without it: the real tests, on a copy with one line changed."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COPIED = ("feature_repo", "infra", "tests", "pyproject.toml")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "screenshots", "e2e", "locks")


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """`old` is in the file once, so that the line cannot move away unseen; `caught_by` are names of tests."""

    file: str
    old: str
    new: str
    caught_by: str


MUTATIONS = {
    "nothing is restored": Mutation(
        file="feature_repo/lake.py",
        old="            opened.restore(named, commit_properties=self.properties([]))\n",
        new="",
        caught_by="test_an_error_leaves_what_readers_see or (killed_at_any_point and silver_committed)",
    ),
    "the versions are named before the tables are written": Mutation(
        file="feature_repo/lake.py",
        old='        changed.write()\n        chaos("written")\n',
        new="        with transaction() as early:\n"
        "            name_versions(early, group, changed.base.sequence + 1, changed.versions)\n"
        '        changed.write()\n        chaos("written")\n        return\n',
        caught_by="test_a_day_that_was_not_written_stays_as_it_was",
    ),
    "a table's version is named as soon as it is written": Mutation(
        file="feature_repo/lake.py",
        old='        self.chaos(f"{table.name}_committed")\n',
        new='        self.name_early(table.name)\n        self.chaos(f"{table.name}_committed")\n\n'
        "    def name_early(self, table: str) -> None:\n"
        "        from infra.database import writing\n"
        "        from infra.database.schema import lake_snapshots\n"
        "        from infra.settings import Settings\n"
        "        import json\n"
        "        root = self.base.folder.parents[2]\n"
        "        named = dict(self.base.versions) | {table: self.versions[table]}\n"
        "        with writing(Settings(data_dir=root).database) as connection:\n"
        "            connection.execute(lake_snapshots.update().values(versions=json.dumps(named)))\n",
        caught_by="test_an_error_leaves_what_readers_see or (killed_at_any_point and later and silver_committed)",
    ),
    "a commit has no app transaction": Mutation(
        file="feature_repo/lake.py",
        old="self.properties([Transaction(WRITER, self.attempt)])",
        new="self.properties([])",
        caught_by="test_a_commit_whose_answer_was_lost_is_not_made_twice",
    ),
    "whoever retries does not ask what has landed": Mutation(
        file="feature_repo/lake.py",
        old="if opened is not None and opened.transaction_version(WRITER) == self.attempt:",
        new="if failure is None and opened is not None:",
        caught_by="test_a_commit_whose_answer_was_lost_is_not_made_twice",
    ),
    "an attempt has no number of its own": Mutation(
        file="feature_repo/lake.py",
        old="database_id, time.time_ns(), chaos)",
        new="database_id, 7, chaos)",
        caught_by="test_an_attempt_before_is_not_taken_for_this_one",
    ),
    "the group is not locked": Mutation(
        file="feature_repo/lake.py",
        old='with locked(lake.database, f"lake/{group}", wait=wait) as transaction:',
        new='with locked(lake.database, f"lake/{group}/{time.time_ns()}", wait=wait) as transaction:',
        caught_by="test_a_second_writer_waits",
    ),
    "what belongs to another database is overwritten": Mutation(
        file="feature_repo/lake.py",
        old="            self.require_orphan(opened, self.base.folder / table)\n",
        new="            pass\n",
        caught_by="test_a_database_made_anew_beside_a_lake",
    ),
    "rows are written in chunks": Mutation(
        file="feature_repo/lake.py", old=".combine_chunks()\n", new="\n", caught_by="test_many_rows_of_many_days"
    ),
    "a reader opens the newest version": Mutation(
        file="infra/lake/snapshot.py",
        old="return DeltaTable(self.folder / name, version=self.versions[name])",
        new="return DeltaTable(self.folder / name)",
        caught_by="test_an_error_leaves_what_readers_see",
    ),
}


def copy_of_the_repository(folder: Path) -> Path:
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=LEFT_OUT)
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


def run_tests(root: Path, chosen: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", chosen]
    return subprocess.run(
        [*command, "tests/feature_repo/test_lake.py"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_tests_pass_on_an_unchanged_copy(tmp_path: Path) -> None:
    chosen = " or ".join(dict.fromkeys(f"({mutation.caught_by})" for mutation in MUTATIONS.values()))
    ended = run_tests(copy_of_the_repository(tmp_path), chosen)
    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize("mutation", MUTATIONS.values(), ids=MUTATIONS)
def test_a_defence_that_is_off_is_seen(tmp_path: Path, mutation: Mutation) -> None:
    root = copy_of_the_repository(tmp_path)
    path = root / mutation.file
    text = path.read_text()
    assert text.count(mutation.old) == 1, f"{mutation.file} has {mutation.old!r} {text.count(mutation.old)} times"
    path.write_text(text.replace(mutation.old, mutation.new))

    ended = run_tests(root, mutation.caught_by)

    assert ended.returncode == 1, ended.stdout
    assert "FAILED tests/feature_repo/test_lake.py" in ended.stdout
