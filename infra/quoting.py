"""A path or a name, written so that another syntax reads it back as it is: one function for each syntax.

A folder may be called `C# demo`, `100%` or `[a]`: pasted as it is into a URI, a glob or a configuration file, it names
another place or none. Words of a shell are `shlex.quote`'s, HTML is `html.escape`'s; what Rich prints is a `Text`,
which has no markup.
"""

import json
import re
from pathlib import Path
from urllib.parse import quote

GLOB_CHARACTERS = re.compile(r"([*?[])")


def read_only_uri(database: Path) -> str:
    """Of an SQLite database, for `sqlite3.connect(uri=True)` and ATTACH: it must exist, and is never written to."""
    return f"{database.absolute().as_uri()}?mode=ro"


def sqlalchemy_url(path: Path) -> str:
    """The URL of an SQLite database for SQLAlchemy, which decodes the path since 2.1."""
    return f"sqlite:///{quote(str(path), safe='/')}"


def glob_literal(path: Path) -> str:
    """The path as a pattern of DuckDB that matches it alone: `read_parquet` takes any path for a pattern."""
    return GLOB_CHARACTERS.sub(r"[\1]", str(path))


def sql_literal(text: str) -> str:
    """A string of SQL."""
    return "'" + text.replace("'", "''") + "'"


def parquet_files(*paths: Path) -> str:
    """SQL of DuckDB for the rows of these files, at least one; a column is never made of a folder's name.

    Columns are found by name: one that some of the files lack is absent there.
    """
    assert paths, "no files: say what stands for them"
    files = ", ".join(sql_literal(glob_literal(path)) for path in paths)
    return f"read_parquet([{files}], hive_partitioning = false, union_by_name = true)"


def markdown_cell(text: str) -> str:
    """A text as one cell of a table in Markdown."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|")


def yaml_scalar(text: str) -> str:
    """A string of YAML, on one line; JSON's are."""
    return json.dumps(text, ensure_ascii=False)


def http_url(host: str, port: int) -> str:
    """Without a slash at the end; an IPv6 address stands in brackets."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
