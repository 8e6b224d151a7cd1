"""What a person should know of a version before releasing it, as one page of Markdown."""

from collections.abc import Mapping, Sequence

from feature_repo.contracts.base import UseCase
from infra.quoting import markdown_cell
from training.evaluate import Metrics
from training.training_set import DatasetFacts


def write_model_card(
    use_case: UseCase,
    facts: DatasetFacts,
    metrics: Metrics,
    slices: Mapping[str, Metrics],
    *,
    training_id: str,
    commit: str,
    reasons: str,
    incidents: Sequence[str],
) -> str:
    parts = "\n".join(
        f"| {name} | {part.start} | {part.end} | {part.num_rows} | {part.num_positive / max(1, part.num_rows):.3f} |"
        for name, part in facts.parts.items()
    )
    auc = ranking(metrics, 4)
    unlabelled = ", ".join(f"{count} {outcome}" for outcome, count in facts.unlabelled.items()) or "none"
    by_slice = "\n".join(
        f"| {markdown_cell(name)} | {each.num_rows} | {each.base_rate:.3f} | {ranking(each, 3)} | {each.log_loss:.3f} "
        f"| {each.ece:.3f} |"
        for name, each in slices.items()
    )
    return f"""# {use_case.name}

{use_case.description} Owner: {use_case.owner}.

Trained because: {markdown_cell(reasons)}.
Training `{training_id}`, incidents {", ".join(incidents) or "none"}, commit `{commit}`.

## Data
Feature service `{facts.feature_service}`, digest `{facts.digest}`. Rows without a label, left out: {unlabelled}.

| part | from | to | rows | positive |
|---|---|---|---|---|
{parts}

## Quality on the gate's rows, which nothing in its training touched
AUC {auc}, log loss {metrics.log_loss:.4f}, Brier {metrics.brier:.4f}, calibration error {metrics.ece:.4f};
base rate {metrics.base_rate:.3f}.

| slice | rows | positive | AUC | log loss | calibration error |
|---|---|---|---|---|---|
{by_slice or "| no slice has enough rows | | | | | |"}

## Use
Answers above {use_case.decision_threshold} are decided as positive. The graph takes raw values: its preprocessing is
inside it. Not for requests of another population than the rows above.
"""


def ranking(metrics: Metrics, digits: int) -> str:
    return "none, one class" if metrics.auc is None else f"{metrics.auc:.{digits}f}"
