"""Feast's layout of an SQLite online store, written by hand: table names, entity keys (version 3) and values.

Importing Feast takes seconds and hundreds of megabytes, to encode a dozen bytes; the micro-batch does without it. Tests
hold these bytes equal to Feast's own.
"""

import math
import struct
from collections.abc import Sequence

from feature_repo.contracts.base import ColumnType, Value

PROJECT = "flywheel"
STRING_TYPE = 2  # feast.types.ValueType.STRING
STRING_TAG, INT64_TAG, FLOAT_TAG = b"\x12", b"\x20", b"\x35"  # field number and wire type in feast.types.Value
ABSENT = b""
UINT32, FLOAT = struct.Struct("<I"), struct.Struct("<f")


def table_name(view: str) -> str:
    return f"{PROJECT}_{view}"


def create_table(view: str) -> str:
    """What `feast apply` would create, without its second index: the primary key begins with the entity key already."""
    return (
        f'CREATE TABLE IF NOT EXISTS "{table_name(view)}" (entity_key BLOB, feature_name TEXT, value BLOB, '
        "value_text TEXT, vector_value BLOB, event_ts timestamp, created_ts timestamp, "
        "PRIMARY KEY(entity_key, feature_name))"
    )


def encode_key(join_keys: Sequence[str], values: Sequence[str]) -> bytes:
    """Join keys in alphabetical order, then their values in that order, each with its type and length."""
    pairs = sorted(zip(join_keys, values, strict=True))
    texts = [name.encode() for name, _ in pairs] + [value.encode() for _, value in pairs]
    typed = b"".join(UINT32.pack(STRING_TYPE) + UINT32.pack(len(text)) + text for text in texts)
    return UINT32.pack(len(pairs)) + typed


def decode_key(raw: bytes) -> dict[str, str]:
    """Raises ValueError for a key that is not of strings only."""
    (num_keys,), offset, texts = UINT32.unpack_from(raw, 0), 4, []
    while offset < len(raw):
        (type_,), (length,) = UINT32.unpack_from(raw, offset), UINT32.unpack_from(raw, offset + 4)
        if type_ != STRING_TYPE:
            raise ValueError(f"an entity key has a value of Feast's type {type_}; expected strings, type {STRING_TYPE}")
        texts.append(raw[offset + 8 : offset + 8 + length].decode())
        offset += 8 + length
    return dict(zip(texts[:num_keys], texts[num_keys:], strict=True))


def encode_value(type_: ColumnType, value: Value) -> bytes:
    """A `feast.types.Value` message; an absent value is the empty one."""
    if value is None:
        return ABSENT
    if type_ is ColumnType.FLOAT32:
        return FLOAT_TAG + FLOAT.pack(value)
    if type_ is ColumnType.INT64:
        return INT64_TAG + encode_varint(int(value) % 2**64)
    text = str(value).encode()
    return STRING_TAG + encode_varint(len(text)) + text


def decode_value(raw: bytes) -> Value:
    """Raises ValueError for a type that no column of ours has."""
    tag, body = raw[:1], raw[1:]
    if not tag:
        return None
    if tag == FLOAT_TAG:
        number: float = FLOAT.unpack(body)[0]
        return None if math.isnan(number) else number
    if tag == INT64_TAG:
        unsigned, _ = decode_varint(body)
        return unsigned - 2**64 if unsigned >= 2**63 else unsigned
    if tag == STRING_TAG:
        _, offset = decode_varint(body)
        return body[offset:].decode()
    raise ValueError(f"a value begins with {tag!r}, which is none of Feast's float, int64 and string")


def encode_varint(number: int) -> bytes:
    parts = bytearray()
    while number >= 0x80:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def decode_varint(raw: bytes) -> tuple[int, int]:
    """The number at the beginning of `raw`, and the offset behind it."""
    number = 0
    for offset, byte in enumerate(raw):
        number |= (byte & 0x7F) << (7 * offset)
        if byte < 0x80:
            return number, offset + 1
    raise ValueError(f"{raw!r} ends within a number")
