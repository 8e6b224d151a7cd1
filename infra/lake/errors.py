"""What cannot be read of the lake, in a sentence."""


class LakeError(Exception):
    """A named version of a table is not in the data folder."""
