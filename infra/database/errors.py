"""What the database refuses, in sentences: what, which one, what to do next."""


class DatabaseError(Exception):
    """It does not exist, its schema does not fit this code, or it cannot be reached."""


class LockBusyError(DatabaseError):
    """Another process holds the lock, and went on holding it until the deadline."""
