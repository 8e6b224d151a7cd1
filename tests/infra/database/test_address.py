"""Which addresses there are, and that no message has a password, an account or a percent-encoded path."""

import pytest

from infra.database import DatabaseError
from infra.database.address import address_of, name_of

SECRET = "hunter2-hunter2"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("sqlite:////data/C%23%20100%25/control.db", "/data/C# 100%/control.db"),
        (f"postgresql+psycopg://flywheel:{SECRET}@db.example:5433/flywheel", "postgresql://db.example:5433/flywheel"),
        (f"postgresql://flywheel@db.example/flywheel?password={SECRET}", "postgresql://db.example:5432/flywheel"),
    ],
)
def test_a_message_names_a_path_or_a_server_and_no_secret(url: str, name: str) -> None:
    assert name_of(address_of(url)) == name


@pytest.mark.parametrize(
    "url",
    [
        "/data/control.db",
        "",
        "sqlite://",
        "sqlite:///:memory:",
        f"mysql://flywheel:{SECRET}@db.example/flywheel",
        f"postgresql+asyncpg://flywheel:{SECRET}@db.example/flywheel",
        f"postgresql+nothing://flywheel:{SECRET}@db.example/flywheel",
    ],
)
def test_another_kind_of_address_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(DatabaseError, match=r"expected sqlite:///PATH or postgresql\+psycopg://") as refused:
        address_of(url)
    assert SECRET not in str(refused.value)
