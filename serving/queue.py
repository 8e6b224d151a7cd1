"""Requests that arrive together are answered together; one that arrives alone is answered at once.

Everything the engine does takes a few hundred microseconds and belongs to one thread, so it runs in the event loop,
with whatever is waiting as one group. More than a bounded number are turned away, so that those accepted stay fast.
"""

import asyncio

from serving.engine import Engine, Question
from serving.errors import NotReady, ServingError
from serving.limits import MAX_IN_FLIGHT

MAX_GROUP = 64


class Waiting:
    """The requests that wait for the engine's next turn."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.waiting: list[tuple[Question, asyncio.Future[bytes]]] = []
        self.turn_is_due = False

    async def answer(self, question: Question) -> bytes:
        """Raises ServingError."""
        if len(self.waiting) >= MAX_IN_FLIGHT:
            raise NotReady("too many requests wait", field="service", expected="fewer requests at once")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bytes] = loop.create_future()
        self.waiting.append((question, future))
        if not self.turn_is_due:
            self.turn_is_due = True
            loop.call_soon(self.take_turn)
        return await future

    def take_turn(self) -> None:
        group, self.waiting = self.waiting[:MAX_GROUP], self.waiting[MAX_GROUP:]
        self.turn_is_due = bool(self.waiting)
        if self.turn_is_due:
            asyncio.get_running_loop().call_soon(self.take_turn)
        try:
            outcomes = self.engine.answer([question for question, _ in group])
        except Exception as error:
            for _, future in group:
                settle(future, error)
            return
        for (_, future), outcome in zip(group, outcomes, strict=True):
            settle(future, outcome)

    async def answer_all(self, questions: list[Question]) -> list[bytes | ServingError]:
        """A batch, group by group, letting other requests have their turn in between."""
        outcomes: list[bytes | ServingError] = []
        for start in range(0, len(questions), MAX_GROUP):
            outcomes += self.engine.answer(questions[start : start + MAX_GROUP])
            await asyncio.sleep(0)
        return outcomes


def settle(future: asyncio.Future[bytes], outcome: bytes | Exception) -> None:
    """A client that went away has cancelled its future."""
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
