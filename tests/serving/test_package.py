from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from feature_repo.contracts.flight_delay import FLIGHT_DELAY
from serving.errors import PackageRefused
from serving.model import Model
from serving.package import RawPackage, load_package
from tests.serving.packages import Package, constant_model, constant_package, first_column_model, manifest_of, sign

KEY = Ed25519PrivateKey.generate()
GOOD = constant_package(FLIGHT_DELAY, 0.25, KEY)
NUM_CATEGORICAL = 3
NUM_NUMERIC = len(FLIGHT_DELAY.vector) - NUM_CATEGORICAL


def load(package: Package, *, run_id: str = "run") -> Model:
    raw = RawPackage(manifest=package.manifest, signature=package.signature, model=package.model)
    return load_package(raw, key=KEY.public_key(), use_case=FLIGHT_DELAY, version="1", run_id=run_id)


def flipped(raw: bytes, position: int) -> bytes:
    return raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :]


def signed(model: bytes, **changes: object) -> Package:
    manifest = replace(manifest_of(FLIGHT_DELAY, model, run_id="run"), **changes)  # type: ignore[arg-type]
    return sign(manifest, model, KEY)


def test_a_good_package_answers() -> None:
    model = load(GOOD)

    vector = [None for _ in FLIGHT_DELAY.vector]
    assert model.predict([vector, vector]) == [0.25, 0.25]
    assert model.threshold == FLIGHT_DELAY.decision_threshold


def test_an_absent_number_reaches_the_model_as_not_a_number() -> None:
    model = load(signed(first_column_model(num_numeric=NUM_NUMERIC, num_categorical=NUM_CATEGORICAL)))
    rest = [None for _ in FLIGHT_DELAY.vector[1:]]

    absent, known = model.predict([[None, *rest], [2.0, *rest]])

    assert absent == 0.5
    assert known == pytest.approx(1 / (1 + np.exp(-2)))


@pytest.mark.parametrize("part", ["manifest", "signature", "model"])
@pytest.mark.parametrize("place", [0, 0.5, -1], ids=["first byte", "middle", "last byte"])
def test_one_changed_bit_anywhere_is_refused(part: str, place: float) -> None:
    raw: bytes = getattr(GOOD, part)
    position = len(raw) - 1 if place == -1 else int(len(raw) * place)

    with pytest.raises(PackageRefused):
        load(replace(GOOD, **{part: flipped(raw, position)}))


def test_the_model_is_not_parsed_before_its_digest_was_checked() -> None:
    with pytest.raises(PackageRefused, match="SHA-256"):
        load(replace(GOOD, model=bytes(len(GOOD.model))))


BAD: dict[str, tuple[Callable[[], Package], str]] = {
    "unsigned": (lambda: replace(GOOD, signature=b""), "signature"),
    "signed by another key": (lambda: constant_package(FLIGHT_DELAY, 0.25, Ed25519PrivateKey.generate()), "signature"),
    "truncated": (lambda: replace(GOOD, model=GOOD.model[:-1]), "bytes; the manifest says"),
    "manifest that is no manifest": (lambda: Package(b"", b"[]", KEY.sign(b"[]")), "not a model manifest"),
    "manifest without files": (lambda: constant_package(FLIGHT_DELAY, 0.25, KEY, files=()), "lists"),
    "another use case": (lambda: signed(GOOD.model, use_case="churn"), "churn"),
    "another feature service": (
        lambda: constant_package(FLIGHT_DELAY, 0.25, KEY, feature_service="flight_delay_v2"),
        "flight_delay_v2",
    ),
    "a column less": (
        lambda: signed(GOOD.model, vector=manifest_of(FLIGHT_DELAY, b"", run_id="run").vector[:-1]),
        "columns, expected",
    ),
    "two columns exchanged": (
        lambda: signed(GOOD.model, vector=exchanged(manifest_of(FLIGHT_DELAY, b"", run_id="run").vector)),
        "column 0 is",
    ),
    "a word as a number": (lambda: signed(GOOD.model, numeric=("flight_carrier",)), "flight_carrier"),
    "a column of nobody": (lambda: signed(GOOD.model, numeric=("nobody",)), "nobody"),
    "a run of another version": (lambda: constant_package(FLIGHT_DELAY, 0.25, KEY, run_id="other"), "other"),
    "a threshold of 1": (lambda: constant_package(FLIGHT_DELAY, 0.25, KEY, decision_threshold=1.0), "threshold"),
    "a signed model that is none": (lambda: signed(b"not ONNX"), "does not load"),
    "a narrower model": (
        lambda: signed(constant_model(0.25, num_numeric=3, num_categorical=NUM_CATEGORICAL)),
        "3 wide",
    ),
    "not a probability": (
        lambda: signed(constant_model(1.5, num_numeric=NUM_NUMERIC, num_categorical=NUM_CATEGORICAL)),
        "probe",
    ),
    "not a number": (
        lambda: signed(constant_model(float("nan"), num_numeric=NUM_NUMERIC, num_categorical=NUM_CATEGORICAL)),
        "probe",
    ),
}


def exchanged(vector: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return (vector[1], vector[0], *vector[2:])


@pytest.mark.parametrize(("make", "reason"), BAD.values(), ids=BAD.keys())
def test_a_bad_package_is_refused_with_its_reason(make: Callable[[], Package], reason: str) -> None:
    with pytest.raises(PackageRefused, match=reason):
        load(make())
