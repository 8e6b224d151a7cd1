"""The gate on real retrainings: seven weeks of real flights, real fits, exported, signed, registered and read back.

What must not pass is tried together with what must, so that a gate that lets nothing through fails here too.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from feature_repo.contracts.model_package import CHALLENGER, CHAMPION, MODEL_FILE, SIGNATURE_FILE
from infra.settings import Settings
from tests.training import winter
from tests.training.winter import NAME, NOW
from training.control import Training, note
from training.errors import PackageRejected
from training.fitting import fit_and_register
from training.gate import probabilities, put_before_gate
from training.promotion import Decision, Verdict
from training.rows import rows_of
from training.scoring import open_session, score
from training.spec import TrainingSpec
from training.training_set import GATE, DatasetFacts, part_of
from training.use_cases.flight_delay import TRAINING

# One pair of seeds, not a rate: of the 12 ordered pairs of four seeds on 39,000 rows the largest sure gains were .0031
# and .0044 nats, under the minimum that is asked. A small network differs more than this one does.
SPEC = replace(TRAINING, split=winter.SPLIT)
OTHER_SEED = replace(SPEC, fit=replace(SPEC.fit, seed=1))


@dataclass(frozen=True, kw_only=True)
class Trained:
    """Three versions from the same features: of real labels, of another seed, of shuffled labels."""

    settings: Settings
    client: MlflowClient
    table: pa.Table
    facts: DatasetFacts
    proper: ModelVersion
    again: ModelVersion
    shuffled: ModelVersion

    def judge(self, challenger: ModelVersion, champion: ModelVersion | None) -> Decision:
        """Put one of the versions before the gate, another one or none being the champion."""
        if champion is None:
            self.client.delete_registered_model_alias(NAME, CHAMPION)
        else:
            self.client.set_registered_model_alias(NAME, CHAMPION, champion.version)
        training = winter.open_training(self.settings, self.table, self.facts)
        try:
            note(self.settings.database, training.training_id, model_version=str(challenger.version))
            opened = replace(training, model_version=str(challenger.version))
            return put_before_gate(self.settings, self.client, SPEC, opened, now=NOW)
        finally:
            winter.give_up(self.settings, training)


@pytest.fixture(scope="module")
def trained(dataset: tuple[pa.Table, DatasetFacts], tmp_path_factory: pytest.TempPathFactory) -> Trained:
    root = tmp_path_factory.mktemp("gate")
    settings, client, (table, facts) = winter.installation(root), winter.client_of(root), dataset

    def fitted(rows: pa.Table, spec: TrainingSpec) -> ModelVersion:
        training: Training = winter.open_training(settings, rows, facts)
        version = fit_and_register(settings, client, spec, training)
        winter.give_up(settings, training)
        return version

    return Trained(
        settings=settings,
        client=client,
        table=table,
        facts=facts,
        proper=fitted(table, SPEC),
        again=fitted(table, OTHER_SEED),
        shuffled=fitted(winter.with_shuffled_labels(table), SPEC),
    )


def test_a_first_model_that_learned_passes_against_the_base_rate(trained: Trained) -> None:
    decision = trained.judge(trained.proper, None)
    assert decision.verdict is Verdict.PASSED, decision.reason
    assert "base rate" in decision.against
    named = trained.client.get_model_version_by_alias(NAME, CHALLENGER)
    assert (named.version, named.tags["gate"]) == (trained.proper.version, "passed")


def test_a_retraining_on_the_same_data_with_another_seed_is_refused(trained: Trained) -> None:
    decision = trained.judge(trained.again, trained.proper)
    assert decision.verdict is Verdict.REFUSED, decision.reason
    assert decision.against == f"version {trained.proper.version}"
    assert trained.client.get_model_version(NAME, trained.again.version).tags["gate_reason"] == decision.reason


@pytest.mark.parametrize("against", ["proper", "base rate"])
def test_a_retraining_on_shuffled_labels_is_refused(trained: Trained, against: str) -> None:
    champion = trained.proper if against == "proper" else None
    decision = trained.judge(trained.shuffled, champion)
    assert decision.verdict is Verdict.REFUSED, decision.reason


def test_a_retraining_that_knows_more_than_the_champion_passes(trained: Trained) -> None:
    decision = trained.judge(trained.proper, trained.shuffled)
    assert decision.verdict is Verdict.PASSED, decision.reason
    assert decision.low is not None
    assert decision.low > 0


def test_a_champion_is_scored_with_the_graph_that_was_signed(trained: Trained) -> None:
    gate = part_of(trained.table, GATE)
    answered = probabilities(trained.settings, trained.client, trained.proper, gate)
    graph = package_file(trained, trained.proper, MODEL_FILE).read_bytes()
    expected = score(open_session(graph), rows_of(gate, numeric=SPEC.numeric, categorical=SPEC.categorical))
    assert np.array_equal(answered, expected.astype(np.float64))


@pytest.mark.parametrize("name", [SIGNATURE_FILE, MODEL_FILE])
def test_with_a_champion_whose_package_was_altered_nothing_is_judged(trained: Trained, name: str) -> None:
    path = package_file(trained, trained.shuffled, name)
    signed = path.read_bytes()
    path.write_bytes(bytes([signed[0] ^ 1]) + signed[1:])
    try:
        with pytest.raises(PackageRejected):
            trained.judge(trained.proper, trained.shuffled)
    finally:
        path.write_bytes(signed)
    assert trained.judge(trained.proper, trained.shuffled).verdict is Verdict.PASSED


def package_file(trained: Trained, version: ModelVersion, name: str) -> Path:
    return trained.settings.root / "artifacts" / str(version.run_id) / "artifacts" / "package" / name
