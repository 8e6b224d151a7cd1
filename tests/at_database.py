"""Settings of an installation whose layers share a database somewhere else than in its data folder."""

from infra.settings import Settings


class AtDatabase(Settings):
    address: str

    @property
    def database(self) -> str:
        return self.address
