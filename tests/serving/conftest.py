"""One real MLflow server for all tests of the layer; a module has a data folder and a model of its own."""

import shutil
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from infra.settings import Settings
from tests.serving.installation import Registrar, make_settings, running_mlflow
from tests.serving.packages import signing_key


@pytest.fixture(scope="session")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    settings = make_settings(tmp_path_factory.mktemp("mlflow"))
    with running_mlflow(settings):
        yield settings


@pytest.fixture(scope="module")
def settings(mlflow: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """An installation of its own beside the shared MLflow server, whose secrets it knows."""
    folder = tmp_path_factory.mktemp("var")
    shutil.copytree(mlflow.root / "secrets", folder / "secrets")
    return make_settings(folder, mlflow_port=mlflow.mlflow_port)


@pytest.fixture(scope="module")
def key(settings: Settings) -> Ed25519PrivateKey:
    return signing_key(settings.root / "secrets")


@pytest.fixture(scope="module")
def registrar(settings: Settings) -> Iterator[Registrar]:
    """The registry without any model: that of another module is deleted."""
    registrar = Registrar(settings)
    registrar.delete_model()
    yield registrar
    registrar.client.close()
