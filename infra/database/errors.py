"""What the database refuses, in sentences: what, which one, what to do next."""


class DatabaseError(Exception):
    """It does not exist, its schema does not fit this code, or it cannot be reached."""


class UnreachableError(DatabaseError):
    """It did not answer, or could not be read or written: the same may work later."""


class LockBusyError(DatabaseError):
    """Another process holds the lock, and went on holding it until the deadline."""


class LockLostError(DatabaseError):
    """The session that held the lock ended before the work under it did."""
