"""The errors of this layer: each message says what, which value, what was expected and what to do next.

A command prints the message as one line and ends with `exit_code`; anything else is a defect of ours and may show its
traceback.
"""


class FeatureRepoError(Exception):
    """Whatever this layer refuses or cannot do; raised as one of the classes below."""

    exit_code = 1


class PackageDataError(FeatureRepoError):
    """The files of the data package are missing or are not the ones that this code was checked against."""
