"""Setting up: what it makes, that it never changes what exists, and what it says when it cannot."""

import stat
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from infra.local import setup
from infra.local.errors import InstallationError
from infra.local.keys import SIGNING_KEY, VERIFICATION_KEY, make_model_keys
from infra.local.mlflow_server import AUTHENTICATION
from infra.settings import SECRET_NAMES, Settings, child_environment
from tests.hostile_names import EVERYTHING, NAMES


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(data_dir=tmp_path / "var")
    made.make_secrets()
    make_model_keys(made.root / "secrets")
    return made


def test_secrets_are_files_that_only_their_owner_reads(settings: Settings) -> None:
    folder = settings.root / "secrets"

    assert {path.name for path in folder.iterdir()} == {*SECRET_NAMES, SIGNING_KEY, VERIFICATION_KEY}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_every_secret_is_long_and_no_two_are_alike_here_or_elsewhere(settings: Settings, tmp_path: Path) -> None:
    other = Settings(data_dir=tmp_path / "other")
    other.make_secrets()

    values = [made.secret(name) for made in (settings, other) for name in SECRET_NAMES]

    assert len(set(values)) == len(values)
    assert min(len(value) for value in values) >= 43
    Fernet(settings.secret("airflow_fernet").encode())


def test_making_secrets_and_keys_again_changes_none(settings: Settings) -> None:
    folder = settings.root / "secrets"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    settings.make_secrets()
    make_model_keys(folder)

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_what_the_signing_key_signs_the_verification_key_verifies(settings: Settings) -> None:
    folder = settings.root / "secrets"
    private = load_pem_private_key((folder / SIGNING_KEY).read_bytes(), password=None)
    public = load_pem_public_key((folder / VERIFICATION_KEY).read_bytes())

    public.verify(private.sign(b"manifest"), b"manifest")  # type: ignore[union-attr, call-arg]


def test_a_missing_secret_is_not_replaced_by_a_default(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no secret mlflow_password.*make setup"):
        Settings(data_dir=tmp_path).secret("mlflow_password")


def test_no_secret_is_in_the_environment_of_a_child_or_in_mlflows_configuration(settings: Settings) -> None:
    texts = [*child_environment(settings).values(), AUTHENTICATION.read_text()]

    assert not [name for name in SECRET_NAMES if any(settings.secret(name) in text for text in texts)]


def test_a_child_gets_every_setting_with_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    environment = child_environment(Settings(data_dir=Path("var"), clock="file:clock", mlflow_port=23105))

    assert environment["FLYWHEEL_DATA_DIR"] == str(tmp_path / "var")
    assert environment["FLYWHEEL_CLOCK"] == f"file:{tmp_path / 'clock'}"
    assert environment["FLYWHEEL_MLFLOW_PORT"] == "23105"


def test_a_second_user_of_a_folder_is_refused_in_a_sentence(settings: Settings) -> None:
    with (
        setup.sole_user(settings),
        pytest.raises(InstallationError, match=r"another Flywheel runs in .*FLYWHEEL_DATA_DIR"),
        setup.sole_user(settings),
    ):
        pass
    with setup.sole_user(settings):
        pass


def test_a_nearly_full_disk_is_refused_in_a_sentence(settings: Settings) -> None:
    setup.require_space(settings)

    with pytest.raises(InstallationError, match=r"MiB are free under .* make room, or set FLYWHEEL_DATA_DIR"):
        setup.require_space(settings, minimum_bytes=2**60)


@pytest.mark.parametrize(
    "name", ["two\nlines", "two\u2028lines", "$UNSET", "in ${HOME}", "caf\udce9", "a\\b"], ids=ascii
)
def test_a_name_that_would_be_read_as_another_is_refused_in_a_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(InstallationError, match=r"give that folder another name") as refused:
        setup.set_up(Settings(data_dir=tmp_path / name))
    assert str(refused.value).encode()
    assert list(tmp_path.iterdir()) == []


def test_other_names_are_not_refused() -> None:
    for name in {*NAMES.values(), EVERYTHING} - {NAMES["variable"], NAMES["backslash"]}:
        setup.require_usable_name(Path("/data") / name)


def test_a_folder_that_cannot_be_made_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(InstallationError, match=r"file.*repair that and set up again"):
        setup.set_up(Settings(data_dir=tmp_path / "file" / "var"))
