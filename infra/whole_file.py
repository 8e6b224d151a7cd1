"""A file that is seen whole or not at all, whenever whoever writes it dies."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to; it takes `path`'s place when the block ends, and goes if it raises.

    What kill -9 leaves is written over by the next attempt: a path has one writer at a time.
    """
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        yield unfinished
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
