"""What the lake's tables are called: in a group all become visible together, since a reader needs them of one moment.

A table lies in `lake/<group>/<table>`, by day of the column named here, taken in UTC.
"""

BRONZE = "bronze"
"""Of a source: rows as delivered, by `delivered_at`."""
SILVER = "silver"
"""Of a source: clean and without repeats, by `delivered_at`."""
QUARANTINE = "quarantine"
"""Of a source: rows that broke a rule, with `rule` and `reason`, by `delivered_at`."""
POPULATION = "population"
"""Of a use case: what could be asked, the request's fields and `prediction_time`, by that."""
LABELS = "labels"
"""Of a use case: what came of it: key fields, `label` (null: there is none), `outcome`, `known_at`, by that."""


def source_group(source: str) -> str:
    return f"sources/{source}"


def use_case_group(use_case: str) -> str:
    return f"use_cases/{use_case}"


def view_table(view: str) -> str:
    """Rows that changed, by day of `available_at`: keys, `instant`, `available_at`, columns; gone means all null."""
    return f"views/{view}"
