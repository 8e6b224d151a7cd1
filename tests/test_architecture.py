"""The import law and the shape of the tree: what keeps the layers apart is checked, not hoped for."""

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from feature_repo.contracts import USE_CASES

ROOT = Path(__file__).parents[1]
LAYERS = ("feature_repo", "training", "serving", "monitoring", "dags", "infra")
LEAVES = ("infra.settings", "infra.clock", "infra.logs", "infra.one_shot", "infra.quoting", "infra.whole_file")
SHARED = ("feature_repo.contracts", *LEAVES)
# The point-in-time join that parity checks answers with has to be the one that training sets are made by.
SHARED_WITH = {"training": ("feature_repo.offline", "feature_repo.errors")}
USE_CASE_FILES = (
    "feature_repo/contracts/{}.py",
    "feature_repo/use_cases/{}.py",
    "training/use_cases/{}.py",
    "serving/use_cases/{}.py",
    "monitoring/use_cases/{}.py",
    "dags/use_cases/{}.py",
)


def sources(layer: str) -> list[Path]:
    return sorted((ROOT / layer).rglob("*.py"))


def imported_modules(path: Path, text: str) -> Iterator[str]:
    """Every module that a file imports, also inside its functions; `from a import b` yields `a.b`."""
    for node in ast.walk(ast.parse(text, filename=str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; every import path here is a file path"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def breaches(layer: str, path: Path, text: str) -> list[str]:
    """Imports of another layer that the law does not allow to this file."""
    inside = str(path.relative_to(ROOT)).removesuffix(".py").replace("/", ".")
    allowed: tuple[str, ...] = (
        SHARED if is_within(inside, "feature_repo.contracts") else (*SHARED, *SHARED_WITH.get(layer, ()), layer)
    )
    if inside in LEAVES:
        allowed = ("infra.clock", "infra.quoting", "infra.whole_file")
    if is_within(inside, "feature_repo.contracts"):
        allowed = ("feature_repo.contracts",)
    return [
        f"{path.relative_to(ROOT)} imports {module}"
        for module in imported_modules(path, text)
        if module.split(".")[0] in LAYERS and not any(is_within(module, name) for name in allowed)
    ]


@pytest.mark.parametrize("layer", LAYERS)
def test_layers_meet_only_in_contracts_and_leaves(layer: str) -> None:
    assert [breach for path in sources(layer) for breach in breaches(layer, path, path.read_text())] == []


def test_the_import_law_sees_a_breach() -> None:
    path = ROOT / "serving" / "planted.py"
    assert breaches("serving", path, "def f():\n    from training.models import Network\n") == [
        "serving/planted.py imports training.models.Network"
    ]


def test_contracts_need_the_standard_library_only() -> None:
    import sys

    for path in sources("feature_repo/contracts"):
        for module in imported_modules(path, path.read_text()):
            top = module.split(".")[0]
            assert top in sys.stdlib_module_names or is_within(module, "feature_repo.contracts"), f"{path}: {module}"


@pytest.mark.parametrize("layer", ["feature_repo", "training", "serving", "monitoring", "dags"])
def test_machinery_never_imports_a_use_case(layer: str) -> None:
    for path in sources(layer):
        if "use_cases" in path.parts or "contracts" in path.parts:
            continue
        for module in imported_modules(path, path.read_text()):
            assert ".use_cases" not in module, f"{path} imports {module}: load it by its name instead"


@pytest.mark.parametrize("use_case", sorted(USE_CASES))
def test_a_use_case_has_its_six_files_and_they_only_declare(use_case: str) -> None:
    for pattern in USE_CASE_FILES:
        path = ROOT / pattern.format(use_case)
        text = path.read_text()
        assert path == ROOT / USE_CASE_FILES[0].format(use_case) or len(text.splitlines()) < 80, path
        if "contracts" not in path.parts:
            branches = [node for node in ast.walk(ast.parse(text)) if isinstance(node, (ast.If, ast.For, ast.While))]
            assert not branches, f"{path}:{branches[0].lineno} decides or loops; a use case declares"


@pytest.mark.parametrize("layer", LAYERS)
def test_only_settings_reads_the_environment(layer: str) -> None:
    for path in sources(layer):
        if path != ROOT / "infra" / "settings.py":
            text = path.read_text()
            assert "os.environ" not in text, path
            assert "os.getenv" not in text, path


@pytest.mark.parametrize("layer", LAYERS)
def test_no_pickle_is_ever_loaded(layer: str) -> None:
    for path in sources(layer):
        for module in imported_modules(path, path.read_text()):
            assert module.split(".")[0] not in {"pickle", "joblib", "dill", "cloudpickle"}, f"{path}: {module}"
        for call in ("torch.load", "torch.save", "allow_pickle=True", "yaml.load("):
            assert call not in path.read_text(), f"{path}: {call}"


@pytest.mark.parametrize("layer", LAYERS)
def test_every_module_says_what_it_is(layer: str) -> None:
    for path in sources(layer):
        text = path.read_text()
        assert not text.strip() or ast.get_docstring(ast.parse(text)), f"{path} has no docstring"


def test_there_is_no_drawer_for_leftovers() -> None:
    names = {path.stem for layer in LAYERS for path in sources(layer)}
    assert not names & {"utils", "util", "helpers", "common", "misc"}


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_name_resolves_inside_the_repository(layer: str) -> None:
    spec = importlib.util.find_spec(layer)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).is_relative_to(ROOT)
