"""The errors of this layer: each message says what, which value, what was expected and what to do next.

A command prints the message as one line and ends with `exit_code`; anything else is a defect of ours and may show its
traceback.
"""

from collections.abc import Sequence

from feature_repo.contracts.base import DataInterval


class FeatureRepoError(Exception):
    """Whatever this layer refuses or cannot do; raised as one of the classes below."""

    exit_code = 1


class PackageDataError(FeatureRepoError):
    """The files of the data package are missing or are not the ones that this code was checked against."""


class DeliveryError(FeatureRepoError):
    """A delivery cannot be taken as a file: corrupt, misnamed, a column gone, renamed or of another type."""


class IntervalRefusedError(FeatureRepoError):
    """An interval as a whole is not what its source should deliver: empty, or too many bad rows."""


class NothingDeliveredError(IntervalRefusedError):
    """Sources delivered nothing in an interval."""

    def __init__(self, sources: Sequence[str], interval: DataInterval) -> None:
        self.sources, self.interval = sources, interval
        super().__init__(
            f"{', '.join(sources)} delivered nothing in {interval}; expected at least one row: see whether the source "
            "is running, have it deliver what is missing, then run this again; a source that began later is ingested "
            "from its first row on"
        )


class LakeWriteError(FeatureRepoError):
    """A table of the lake cannot be written, or is not the one that the database speaks of."""


class ReferenceMissingError(FeatureRepoError):
    """A rule refers to a reference table, or to a column of one, that the lake does not have."""


class NotIngestedError(FeatureRepoError):
    """A source that a use case reads was not yet ingested by its owner for the whole interval."""


class TransformError(FeatureRepoError):
    """The SQL of a feature view, of the population or of the labels is missing or does not run."""


class OnlineStoreError(FeatureRepoError):
    """The online store cannot be written, or what is in it does not fit what is to be written."""


class FeatureStoreError(FeatureRepoError):
    """Feast's registry does not hold what the contracts declare."""


class ParityError(FeatureRepoError):
    """There is nothing to compare, or it cannot be compared."""


class NothingToDoError(FeatureRepoError):
    """The command has nothing to do, for a reason that is no failure."""

    exit_code = 99
