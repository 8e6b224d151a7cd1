"""Load for tests: threads that send requests with keys of their own and write down what became of each."""

import http.client
import json
import threading
from dataclasses import dataclass, field
from typing import Self

from infra.settings import Settings
from tests.serving.installation import REQUEST


@dataclass
class Ledger:
    """`acknowledged` maps a key to its answer; `failures` are requests that got none."""

    acknowledged: dict[str, dict[str, object]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


class Load:
    """Sends from `num_threads` threads until left; requests that fail are not repeated."""

    def __init__(self, settings: Settings, *, num_threads: int = 4) -> None:
        self.port = settings.serving_port
        self.headers = {"Authorization": f"Bearer {settings.secret('serving_api_key')}"}
        self.body = json.dumps(REQUEST).encode()
        self.ledger = Ledger()
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.send_all, args=(number,)) for number in range(num_threads)]

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def send_all(self, thread: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        number = 0
        while not self.stopping.wait(0.001):
            number += 1
            key = f"{id(self)}-{thread}-{number}"
            try:
                connection.request("POST", "/predict", self.body, {**self.headers, "Idempotency-Key": key})
                response = connection.getresponse()
                content = response.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                self.ledger.failures.append(f"{key}: {error!r}")
                self.stopping.wait(0.05)
                continue
            if response.status == 200:
                self.ledger.acknowledged[key] = json.loads(content)
            else:
                self.ledger.failures.append(f"{key}: {response.status} {content[:200]!r}")
