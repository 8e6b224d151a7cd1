"""Who may call: one bearer key per installation, compared in constant time."""

import hmac

PUBLIC_PATHS = frozenset({"/livez", "/readyz", "/healthz"})


class BearerKey:
    """Raises ValueError for a key that could be guessed, so that a service never starts with one."""

    def __init__(self, key: str) -> None:
        if len(key) < 16:
            raise ValueError(f"the serving key has {len(key)} characters; expected at least 16, run `make setup`")
        self.expected = f"Bearer {key}".encode()

    def admits(self, path: str, authorization: bytes) -> bool:
        """Health is public: a probe has no key, and learns only whether a model is loaded."""
        return path in PUBLIC_PATHS or hmac.compare_digest(authorization, self.expected)
