"""What a registered model version is made of: an ONNX graph with its preprocessing inside, and a signed manifest.

A reader checks the signature of `manifest.json` (Ed25519, over its exact bytes), then the size and SHA-256 of each
listed file, and only then parses anything. No other file of a version is ever opened.
"""

import json
from dataclasses import asdict, dataclass

ARTIFACT_FOLDER = "package"
MODEL_FILE = "model.onnx"
MANIFEST_FILE = "manifest.json"
SIGNATURE_FILE = "manifest.sig"
MAX_FILE_BYTES = 64 * 1024 * 1024

NUMERIC_INPUT = "numeric"  # float32, (batch, len(numeric)); an absent value is NaN
CATEGORICAL_INPUT = "categorical"  # string, (batch, len(categorical)); an absent value is ""
PROBABILITY_OUTPUT = "probability"  # float32, (batch,), in [0, 1]

CHAMPION = "champion"
CHALLENGER = "challenger"


@dataclass(frozen=True, kw_only=True)
class PackagedFile:
    name: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """`vector` is the use case's vector, names and types; `numeric` and `categorical` the model's inputs, in order."""

    use_case: str
    feature_service: str
    vector: tuple[tuple[str, str], ...]
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    decision_threshold: float
    dataset_digest: str
    data_intervals: tuple[tuple[str, str], ...]
    run_id: str
    commit: str
    files: tuple[PackagedFile, ...]

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> "Manifest":
        """Raises ValueError if `raw` is not such a manifest; call it only on bytes whose signature was checked."""
        try:
            fields = json.loads(raw)
            files = tuple(PackagedFile(**file) for file in fields.pop("files"))
            vector = tuple((name, type_) for name, type_ in fields.pop("vector"))
            intervals = tuple((start, end) for start, end in fields.pop("data_intervals"))
            numeric, categorical = tuple(fields.pop("numeric")), tuple(fields.pop("categorical"))
            return cls(
                files=files, vector=vector, data_intervals=intervals, numeric=numeric, categorical=categorical, **fields
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a model manifest: {error}") from error
