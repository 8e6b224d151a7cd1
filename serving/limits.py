"""Bounds that hold before anything of a request is parsed: its size, its time, its encoding, how many at once."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from serving.errors import BadRequest

MAX_BODY_BYTES = 1024 * 1024
BODY_TIMEOUT_SECONDS = 10.0
MAX_IN_FLIGHT = 256
MAX_KEY_LENGTH = 200

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]


def check_headers(headers: Mapping[bytes, bytes]) -> None:
    """Raises BadRequest for a body that is announced as too long, packed, or something else than JSON."""
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or int(length) > MAX_BODY_BYTES:
        raise too_long()
    if headers.get(b"content-encoding", b"identity") != b"identity":
        raise BadRequest("is packed", field="Content-Encoding", expected="an unpacked body", status=415)
    media_type = headers.get(b"content-type", b"application/json").split(b";")[0].strip().lower()
    if media_type != b"application/json":
        raise BadRequest("is not JSON", field="Content-Type", expected="application/json", status=415)


async def read_body(receive: Receive) -> bytes:
    """The body. Raises BadRequest as soon as it is longer than it may be or has taken too long."""
    message = await receive_in_time(receive)
    if not message.get("more_body", False):
        return checked(message.get("body", b""))
    chunks, size = [message["body"]], len(message["body"])
    deadline = asyncio.get_running_loop().time() + BODY_TIMEOUT_SECONDS
    while message.get("more_body", False):
        message = await receive_in_time(receive, deadline)
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > MAX_BODY_BYTES:
            raise too_long()
    return b"".join(chunks)


async def receive_in_time(receive: Receive, deadline: float | None = None) -> Message:
    """Raises BadRequest when the time is up, or the client went away."""
    loop_time = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout_at(loop_time + BODY_TIMEOUT_SECONDS if deadline is None else deadline):
            message = await receive()
    except TimeoutError as error:
        expected = f"the whole body within {BODY_TIMEOUT_SECONDS:.0f} s"
        raise BadRequest("came too slowly", field="body", expected=expected, status=408) from error
    if message["type"] == "http.disconnect":
        raise BadRequest("ended early", field="body", expected="the whole body", status=400)
    return message


def checked(body: bytes) -> bytes:
    if len(body) > MAX_BODY_BYTES:
        raise too_long()
    return body


def too_long() -> BadRequest:
    return BadRequest("is too long", field="body", expected=f"at most {MAX_BODY_BYTES} bytes", status=413)


def idempotency_key(headers: Mapping[bytes, bytes]) -> str | None:
    """The client's key. Raises BadRequest unless it is 1 to 200 printable ASCII characters."""
    raw = headers.get(b"idempotency-key")
    if raw is None:
        return None
    key = raw.decode("latin-1")
    if not (0 < len(key) <= MAX_KEY_LENGTH and key.isascii() and key.isprintable()):
        expected = f"1 to {MAX_KEY_LENGTH} printable ASCII characters"
        raise BadRequest("is not a usable key", field="Idempotency-Key", expected=expected)
    return key
