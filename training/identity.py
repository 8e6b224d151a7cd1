"""What makes a model the same model: its training set, the code that trains it, its settings and seed.

The code is named by its content, not by a commit: a change that was not committed is another model too, and a commit
that changes the serving only is not.
"""

import hashlib
import subprocess
from pathlib import Path

from training.spec import TrainingSpec

ROOT = Path(__file__).parents[1]
CODE = ("training", "feature_repo/contracts")


def identity_of(dataset_digest: str, spec: TrainingSpec) -> str:
    """32 hexadecimal digits; equal for a training that would give the same model."""
    settings = repr((spec.model, spec.fit, spec.numeric, spec.categorical))
    return hashlib.sha256(f"{dataset_digest} {code_digest()} {settings}".encode()).hexdigest()[:32]


def code_digest() -> str:
    whole = hashlib.sha256()
    for path in sorted(path for folder in CODE for path in (ROOT / folder).rglob("*.py")):
        whole.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return whole.hexdigest()


def commit() -> str:
    """The commit that is checked out, `+changes` if files differ from it; `unknown` outside a repository."""
    try:
        head = git("rev-parse", "HEAD")
        return f"{head}+changes" if git("status", "--porcelain", "--untracked-files=no") else head
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def git(*arguments: str) -> str:
    result = subprocess.run(
        ["git", "--no-optional-locks", *arguments], cwd=ROOT, capture_output=True, text=True, check=True, timeout=10
    )
    return result.stdout.strip()
