"""Which answers a check judges: the newest stretch of time in which every label has come that will come.

Selecting rows by whether their own label is there would favour early arrivals, so the window ends at now minus the
longest delay of a label, and a row in it without a label is one that never gets one.
"""

from datetime import datetime

from feature_repo.contracts.base import DataInterval, UseCase
from monitoring.spec import WindowPolicy


def mature_window(use_case: UseCase, policy: WindowPolicy, now: datetime) -> DataInterval:
    """`[now - max_delay - length, now - max_delay)`."""
    end = now - use_case.label.max_delay
    return DataInterval(start=end - policy.length, end=end)


def immature_window(use_case: UseCase, now: datetime) -> DataInterval:
    """Answers whose labels may still come: `[now - max_delay, now)`."""
    return DataInterval(start=now - use_case.label.max_delay, end=now)
