"""Changes to a group of lake tables that become visible together, or not at all, whenever the process dies.

A group's tables live in versions, `lake/.versions/<group>/<number>/<layer>/<table>/day=.../part.parquet`. A change
stages the next version, in which an unchanged day is a symbolic link to its folder in the version that wrote it, gives
it its number and then turns the symbolic link `current` to it: the commit, and the only step that readers can see.
A reader resolves a table's path once (`snapshot`) and reads that; the version before stays for those still reading it,
and of older ones the days that a link leads to. A lock keeps a second writer out.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo.chaos import Chaos, no_chaos
from feature_repo.contracts.lake import PARTITION_FILE
from feature_repo.errors import LakeBusyError, LakeCopyError

CURRENT, STAGED, NUMBERED = "current", "staged", "[0-9]*"
DAYS = "*/*/day=*"  # in a version: its layers' tables' days


def snapshot(table: Path) -> Path:
    """The table's folder as of now; it goes on holding the same bytes while the next change is committed."""
    return table.resolve()


def partitions(table: Path) -> list[Path]:
    """The files of one snapshot of the table, by day; none if nothing was ever written."""
    return sorted(snapshot(table).glob(f"day=*/{PARTITION_FILE}"))


def partition(table: Path, day: date) -> Path:
    return table / f"day={day.isoformat()}" / PARTITION_FILE


def read(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """One partition's rows. Not by `read_table`, which imports pandas to look at a single file."""
    with pq.ParquetFile(path) as file:
        return file.read(columns=columns)


class Transaction:
    """One change, being staged. `tables` are paths of the contract, `<data>/lake/<layer>/<table>`."""

    def __init__(self, lake_dir: Path, group: str, tables: Sequence[Path], chaos: Chaos) -> None:
        self.lake_dir, self.tables, self.chaos = lake_dir, tables, chaos
        self.versions = lake_dir / ".versions" / group
        self.current = self.versions / CURRENT
        refuse_copy_without_links(self.versions, [self.current, *tables])
        self.base = self.versions / self.current.readlink() if self.current.exists() else None
        number = int(self.base.name) + 1 if self.base else 1
        self.version = self.versions / f"{number:06d}"
        self.staged = self.versions / STAGED
        self.written: set[Path] = set()

    def write(self, table: Path, day: date, rows: pa.Table) -> None:
        """Replace the day's partition by `rows`, or remove it if there are none."""
        path = partition(self.staged / table.relative_to(self.lake_dir), day)
        self.written.add(path)
        if rows.num_rows == 0:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            pq.write_table(rows, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        self.chaos(f"{table.parent.name}_partition_written")

    def commit(self) -> None:
        """Make the change visible, then drop what nobody can be reading any more."""
        self.link_unchanged()
        for table in self.tables:
            self.make_entry(table)
        self.chaos("staged")
        if self.base is None:  # the link leads nowhere until the version has its name: there is never one without it
            self.turn_link()
            self.staged.rename(self.version)
        else:
            self.staged.rename(self.version)
            self.turn_link()
        sync_folder(self.versions)
        self.chaos("committed")
        self.clean(keep={self.version, self.base})

    def turn_link(self) -> None:
        temporary = self.versions / f"{CURRENT}.next"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(self.version.name)
        temporary.replace(self.current)

    def link_unchanged(self) -> None:
        """A link from version to version: all lie equally deep, so the base's own links hold good as they are."""
        for table in self.tables:
            name = table.relative_to(self.lake_dir)
            (self.staged / name).mkdir(parents=True, exist_ok=True)
            if self.base is None:
                continue
            for old in (self.base / name).glob("day=*"):
                new = self.staged / name / old.name
                if new / PARTITION_FILE not in self.written:
                    own = Path("../../..", self.base.name, name, old.name)
                    new.symlink_to(old.readlink() if old.is_symlink() else own)

    def make_entry(self, table: Path) -> None:
        """The table's path is a link through `current`, made once; until the first commit it leads nowhere."""
        if table.is_symlink():
            return
        table.parent.mkdir(parents=True, exist_ok=True)
        target = self.current / table.relative_to(self.lake_dir)
        table.symlink_to(os.path.relpath(target, table.parent), target_is_directory=True)

    def clean(self, keep: set[Path | None]) -> None:
        """Remove what is staged and the other versions, but for the days that one to keep links to."""
        links = [day for version in keep if version for day in version.glob(DAYS) if day.is_symlink()]
        linked = {Path(os.path.normpath(link.parent / link.readlink())) for link in links}
        for version in {*self.versions.glob(NUMBERED), *self.versions.glob(STAGED)} - keep:
            if not linked.intersection(days := list(version.glob(DAYS))):
                shutil.rmtree(version)
                continue
            for day in days:
                if day.is_symlink():
                    day.unlink()
                elif day not in linked:
                    shutil.rmtree(day)


@contextmanager
def transaction(data_dir: Path, group: str, tables: Sequence[Path], chaos: Chaos = no_chaos) -> Iterator[Transaction]:
    """A change to the group's tables: committed when the block ends, forgotten if it raises.

    Raises LakeBusyError if another process is changing the group. What a killed process left behind is removed first.
    """
    lake_dir = data_dir / "lake"
    versions = lake_dir / ".versions" / group
    versions.mkdir(parents=True, exist_ok=True)
    with locked(versions / "lock", group):
        change = Transaction(lake_dir, group, tables, chaos)
        previous = change.versions / f"{int(change.base.name) - 1:06d}" if change.base else None
        change.clean(keep={change.base, previous})
        try:
            yield change
        except BaseException:
            change.clean(keep={change.base, previous})
            raise
        change.commit()


def refuse_copy_without_links(versions: Path, links: Sequence[Path]) -> None:
    """Raises LakeCopyError before anything is changed, if links have gone or have become folders.

    A version without a link to it is not one that was never committed, it is all that was.
    """
    followed = [path for path in links if path.exists() and not path.is_symlink()]
    if followed or (any(versions.glob(NUMBERED)) and not links[0].exists()):
        raise LakeCopyError(
            f"{followed[0] if followed else links[0]} is no link any more: this data folder was copied without its "
            "links; copy it again with `cp -a`"
        )


@contextmanager
def locked(path: Path, group: str) -> Iterator[None]:
    """Hold the file's lock, which the operating system drops when the process ends in whatever way."""
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise LakeBusyError(
                f"{group}: process {file.read().strip()} is changing these tables; run this again when it has ended"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
