"""Setting up: what it makes, that it never changes what exists, and what it says when it cannot."""

import stat
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from infra.libraries import NO_REPORTS
from infra.local import mlflow_server, setup
from infra.local.errors import InstallationError
from infra.local.keys import SIGNING_KEY, VERIFICATION_KEY, make_model_keys
from infra.local.mlflow_server import AUTHENTICATION
from infra.settings import SECRET_NAMES, SettingError, Settings, child_environment
from tests.hostile_names import EVERYTHING, NAMES, REFUSED


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


@pytest.mark.parametrize("gone", ["secrets/mlflow_password", f"secrets/{SIGNING_KEY}", "control.db"])
def test_what_has_gone_from_a_made_installation_is_not_replaced(settings: Settings, gone: str) -> None:
    for database in (settings.database_file, *mlflow_server.databases(settings)):
        database.parent.mkdir(exist_ok=True)
        database.touch()
    (settings.root / setup.STAMP).write_text(setup.installed_versions())
    setup.require_what_cannot_be_made_again(settings)
    (settings.root / gone).unlink()

    with pytest.raises(InstallationError, match=rf"gone from an installation that was made: .*{gone}; bring back"):
        setup.set_up(settings)


def test_a_secret_that_was_cut_off_is_none(settings: Settings) -> None:
    (settings.root / "secrets" / "monitoring_token").write_bytes(b"")

    with pytest.raises(ValueError, match="monitoring_token has 0 characters, at least 16 were written: bring it back"):
        settings.secret("monitoring_token")


def test_a_folder_goes_on_in_the_time_that_it_was_replayed_in(settings: Settings) -> None:
    assert settings.clock_address == "system"
    (settings.root / "clock").write_text("2013-03-15T00:00:00+00:00\n")

    assert child_environment(settings)["FLYWHEEL_CLOCK"] == f"file:{settings.root / 'clock'}"
    assert settings.make_clock().now().year == 2013
    assert Settings(data_dir=settings.root, clock="system").clock_address == "system"


def test_a_child_gets_nothing_that_a_user_has_set_for_servers_of_their_own(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MLFLOW_REGISTRY_URI", "AIRFLOW__CORE__FERNET_KEY", "BENTOML_HOME", "PROMETHEUS_MULTIPROC_DIR"):
        monkeypatch.setenv(name, "foreign")

    assert "foreign" not in child_environment(settings).values()
    assert child_environment(settings, {"BENTOML_HOME": "ours"})["BENTOML_HOME"] == "ours"
    assert NO_REPORTS.items() <= child_environment(settings).items()


@pytest.mark.parametrize("folder", [Path("/"), setup.ROOT, setup.ROOT.parent], ids=["root", "checkout", "parent"])
def test_a_folder_that_is_not_for_data_alone_is_refused_in_a_sentence(folder: Path) -> None:
    with pytest.raises(InstallationError, match="is not for data alone; set FLYWHEEL_DATA_DIR"):
        setup.make_root(Settings(data_dir=folder))


def test_a_folder_that_others_could_read_is_closed_and_a_file_or_a_tilde_is_none(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    setup.make_root(Settings(data_dir=tmp_path / "open"))
    assert stat.S_IMODE((tmp_path / "open").stat().st_mode) == 0o700

    (tmp_path / "file").touch()
    with pytest.raises(InstallationError, match="file is a file; set FLYWHEEL_DATA_DIR to a folder"):
        setup.make_root(Settings(data_dir=tmp_path / "file"))
    with pytest.raises(InstallationError, match="no shell has replaced the ~"):
        setup.make_root(Settings(data_dir=Path("~/data")))


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYWHEEL_DATA_DIR", "")
    assert Settings().data_dir == Path("var")


@pytest.mark.parametrize(
    "name", ["two\nlines", "two\u2028lines", "$UNSET", "in ${HOME}", "caf\udce9", "a\\b"], ids=ascii
)
def test_a_name_that_would_be_read_as_another_is_refused_in_a_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(InstallationError, match=r"give that folder another name") as refused:
        setup.set_up(Settings(data_dir=tmp_path / name))
    assert str(refused.value).encode()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", REFUSED)
def test_a_name_in_which_no_lake_can_lie_is_refused_in_a_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(InstallationError, match=r"reads as something else; rename it|give that folder another name"):
        setup.set_up(Settings(data_dir=tmp_path / NAMES[name]))
    assert list(tmp_path.iterdir()) == []


def test_other_names_are_not_refused() -> None:
    for name in {*NAMES.values(), EVERYTHING} - {NAMES["variable"], NAMES["backslash"]}:
        setup.require_usable_name(Path("/data") / name)


def test_a_folder_that_cannot_be_made_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(
        InstallationError, match=r"file/var cannot be made .*set FLYWHEEL_DATA_DIR to a folder that you own"
    ):
        setup.set_up(Settings(data_dir=tmp_path / "file" / "var"))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"mlflow_port": "abc"}, "FLYWHEEL_MLFLOW_PORT is 'abc', expected a valid integer; correct it or unset it"),
        ({"serving_port": 70_000}, "FLYWHEEL_SERVING_PORT is 70000, expected less than or equal to 65535; "),
        ({"durability": "most"}, "FLYWHEEL_DURABILITY is 'most', expected 'write' or 'fsync'; correct it or unset it"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_setting_that_cannot_be_is_a_sentence(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(SettingError) as refused:
        Settings(**values)
    assert str(refused.value).startswith(sentence)
