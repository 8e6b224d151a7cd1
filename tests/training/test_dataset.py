"""The training set of real flights by real Feast: who is in it, who is not, and when there is none."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FeatureStore

from feature_repo.offline import open_feature_store
from infra.settings import Settings
from tests.feature_repo import landed
from tests.training import winter
from tests.training.winter import NOW, SPEC
from training.control import Training
from training.dataset import build_dataset, keep_gold
from training.errors import TrainingError, UnfitData
from training.features import add_vectors
from training.population import read_population
from training.spec import SplitSpec, TrainingSpec
from training.training_set import DatasetFacts
from training.workspace import Workspace

Dataset = tuple[pa.Table, DatasetFacts]


def never() -> FeatureStore:
    raise AssertionError("refused only after Feast was opened")


def kept_training(settings_root: Path, spec: TrainingSpec = SPEC) -> Training:
    settings = winter.installation(settings_root)
    empty = DatasetFacts(digest="", feature_service="", parts={}, unlabelled={}, gold_versions={})
    return winter.open_training(settings, pa.table({"label": [0]}), empty, spec)


def test_there_is_a_row_for_each_labelled_flight_and_none_for_others(dataset: Dataset, winter_root: Path) -> None:
    table, facts = dataset
    end, gold = NOW - SPEC.contract.label.max_delay, landed.gold_of(winter_root)
    known = duckdb.sql(
        f"SELECT COUNT(*) FILTER (label IS NOT NULL), COUNT(*) FILTER (label = 1), COUNT(*) FROM "
        f"{gold.sql('population')} LEFT JOIN {gold.sql('labels')} "
        f"USING (carrier, flight, origin, scheduled_departure) WHERE prediction_time < TIMESTAMPTZ '{end}'"
    ).fetchone()
    assert known is not None
    labelled, late, everyone = known
    assert (len(table), int(np.sum(table["label"].to_numpy()))) == (labelled, late)
    assert table["label"].null_count == 0
    assert sum(part.num_rows for part in facts.parts.values()) == labelled
    assert facts.unlabelled["cancelled"] > 0
    assert sum(facts.unlabelled.values()) == everyone - labelled


def test_no_row_is_younger_than_the_longest_label_delay(dataset: Dataset, winter_root: Path) -> None:
    table, _ = dataset
    end = NOW - SPEC.contract.label.max_delay
    latest = max(table["prediction_time"].to_pylist())
    assert end - timedelta(hours=12) < latest < end
    younger = read_population(landed.gold_of(winter_root), SPEC.contract, now=NOW + timedelta(hours=6))
    assert len(younger.rows) > len(table), "there were younger rows with a label to leave out"


def test_most_rows_have_their_features_and_the_parts_are_in_order_of_time(dataset: Dataset) -> None:
    table, facts = dataset
    assert table["origin_departures_today"].null_count < 0.05 * len(table)
    ends = [part.end for part in facts.parts.values()]
    assert ends[:-1] == [part.start for part in facts.parts.values()][1:]


def test_the_same_training_makes_the_same_digest(dataset: Dataset, winter_root: Path, feast: FeatureStore) -> None:
    _, facts = dataset
    training = replace(kept_training(winter_root / "again"), training_id="again")
    assert build_dataset(lambda: feast, SPEC, training, landed.gold_of(winter_root), data_dir=winter_root) == facts


def test_a_feast_that_was_never_told_of_the_views_is_named_with_what_to_run(
    winter_root: Path, tmp_path: Path, dataset: Dataset
) -> None:
    rows = read_population(landed.gold_of(winter_root), SPEC.contract, now=NOW).rows.slice(0, 2)
    empty = open_feature_store(Settings(data_dir=tmp_path))
    with pytest.raises(TrainingError, match=r"Feast does not know aircraft, .*; run `python -m feature_repo apply`"):
        add_vectors(empty, SPEC.contract, rows)


@pytest.mark.parametrize("num_rows", [0, 1])
def test_few_rows_and_no_request_time_columns_have_the_types_of_many(
    dataset: Dataset, winter_root: Path, feast: FeatureStore, num_rows: int
) -> None:
    table, _ = dataset
    rows = read_population(landed.gold_of(winter_root), SPEC.contract, now=NOW).rows.slice(0, num_rows)
    vectors = add_vectors(feast, SPEC.contract, rows)
    assert vectors.schema == table.schema.remove(table.schema.get_field_index("split")).remove_metadata()
    assert vectors == table.slice(0, num_rows).select(vectors.column_names)
    contract = replace(SPEC.contract, request_columns=())
    without = [column.name for column in SPEC.contract.request_columns]
    assert add_vectors(feast, contract, rows) == vectors.drop_columns(without)


@pytest.mark.parametrize(
    ("split", "says"),
    [
        (replace(SPEC.split, min_rows=10**6), "fewer than 1000000 rows"),
        (replace(SPEC.split, min_rows_per_class=10**5), "of one class"),
    ],
)
def test_too_few_rows_are_refused_with_the_counts_before_anything_is_joined(
    winter_root: Path, tmp_path: Path, split: SplitSpec, says: str
) -> None:
    spec = replace(SPEC, split=split)
    with pytest.raises(UnfitData, match=rf"{says}.*train: \d{{5}} rows of which \d+ positive.*without a label: \d+"):
        build_dataset(never, spec, kept_training(tmp_path), landed.gold_of(winter_root), data_dir=tmp_path)


def write_outcomes(root: Path, population: pa.Table, labels: pa.Table) -> None:
    """Gold of these two tables; one without rows was never written."""
    for table, rows, time in (("population", population, "prediction_time"), ("labels", labels, "known_at")):
        if rows.num_rows:
            landed.write_gold(root, table, rows, time)


def test_a_single_class_is_refused(winter_root: Path, tmp_path: Path) -> None:
    labels = landed.gold(winter_root, "labels")
    never_late = pa.compute.multiply(labels["label"], pa.scalar(0, labels["label"].type))
    index = labels.schema.get_field_index("label")
    write_outcomes(
        tmp_path,
        landed.gold(winter_root, "population"),
        labels.set_column(index, labels.schema.field(index), never_late),
    )
    with pytest.raises(UnfitData, match=r"of one class to train on .*of which 0 positive"):
        build_dataset(never, SPEC, kept_training(tmp_path), landed.gold_of(tmp_path), data_dir=tmp_path)


def nobody(population: pa.Table, labels: pa.Table) -> tuple[pa.Table, pa.Table]:
    return population.slice(0, 0), labels


def no_outcome(population: pa.Table, labels: pa.Table) -> tuple[pa.Table, pa.Table]:
    return population, labels.slice(0, 0)


def no_value(population: pa.Table, labels: pa.Table) -> tuple[pa.Table, pa.Table]:
    index = labels.schema.get_field_index("label")
    nothing = pa.nulls(len(labels), labels.schema.field(index).type)
    return population, labels.set_column(index, labels.schema.field(index), nothing)


def outcomes_of_others(population: pa.Table, labels: pa.Table) -> tuple[pa.Table, pa.Table]:
    index = labels.schema.get_field_index("origin")
    return population, labels.set_column(index, "origin", pa.array(["ZZZ"] * len(labels)))


def silence_in_the_gate(population: pa.Table, labels: pa.Table) -> tuple[pa.Table, pa.Table]:
    times = population["prediction_time"]
    start = NOW - SPEC.contract.label.max_delay - SPEC.contract.gate_window
    return population.filter(pa.compute.less(times, pa.scalar(start, times.type))), labels


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (nobody, r"flight_delay/population has no row; run first: python -m feature_repo build"),
        (no_outcome, r"flight_delay/labels has no row; run first: python -m feature_repo build"),
        (no_value, r"no labelled row before 2013-02-15T12:00:00\+00:00; ingest and build more history"),
        (outcomes_of_others, r"no labelled row before 2013-02-15T12:00:00\+00:00; ingest and build more history"),
        (silence_in_the_gate, r"the rows of gate do not have both classes \(.*gate: 0 rows of which 0 positive;"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_rows_without_labels_and_labels_without_rows_are_refused_with_what_was_found(
    winter_root: Path, tmp_path: Path, change: Callable[[pa.Table, pa.Table], tuple[pa.Table, pa.Table]], says: str
) -> None:
    write_outcomes(tmp_path, *change(landed.gold(winter_root, "population"), landed.gold(winter_root, "labels")))
    with pytest.raises(UnfitData, match=says):
        build_dataset(never, SPEC, kept_training(tmp_path), landed.gold_of(tmp_path), data_dir=tmp_path)


def test_a_training_set_that_was_changed_is_not_read(dataset: Dataset, tmp_path: Path) -> None:
    from training.training_set import read_dataset

    table, facts = dataset
    workspace = Workspace.of(tmp_path, "changed")
    pq.write_table(winter.with_shuffled_labels(table), workspace.dataset)
    with pytest.raises(TrainingError, match=f"expected {facts.digest}"):
        read_dataset(workspace, facts)


def test_a_training_set_keeps_the_versions_that_it_was_made_of_until_its_folder_goes(
    winter_root: Path, tmp_path: Path
) -> None:
    winter.installation(tmp_path)
    lake = landed.lake_of(tmp_path)
    landed.write_gold(tmp_path, "labels", landed.gold(winter_root, "labels").slice(0, 5), "known_at")
    first, second = (replace(kept_training(tmp_path), training_id=name) for name in ("first", "second"))
    with lake.open("use_cases/flight_delay") as gold:
        for training in (first, second):
            Workspace.of(tmp_path, training.training_id)
            keep_gold(lake, gold, training, data_dir=tmp_path)
            keep_gold(lake, gold, training, data_dir=tmp_path)
        assert sorted(lake.holders("training")) == ["training/first", "training/second"]
        shutil.rmtree(Workspace.of(tmp_path, "first").folder)
        keep_gold(lake, gold, second, data_dir=tmp_path)
    assert lake.holders("training") == ["training/second"]
