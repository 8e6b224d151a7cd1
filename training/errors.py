"""What can go wrong in training, as one small tree; every message says what, which value, and what to do next.

TrainingError
+- Refused            a decision, not a fault: the command exits with 99
|  +- NotAdmitted     an alarm may not start a training now
|  +- UnfitData       too few rows, one class, a column without a value
+- ExportRejected     the exported graph does not answer as the network does
+- PackageRejected    a package that is unsigned, altered or signed by another key
"""


class TrainingError(Exception):
    """Base of this layer's errors."""


class Refused(TrainingError):
    """Nothing is broken; it just may not go on."""


class NotAdmitted(Refused):
    """An alarm may not start a training now."""


class UnfitData(Refused):
    """A training set that nothing can be learned from."""


class ExportRejected(TrainingError):
    """The exported graph does not answer as the network does."""


class PackageRejected(TrainingError):
    """A model package that must not be parsed."""
