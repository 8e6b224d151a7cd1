"""Feast's bytes in an online store, read and written by hand: entity keys (serialization version 3) and values.

The serving process imports neither Feast nor protobuf: both take seconds to load and hundreds of megabytes, to decode
a dozen bytes. A test holds this equal to Feast's own SDK.
"""

import math
import struct
from collections.abc import Mapping

from feature_repo.contracts.base import Column, ColumnType, Value

STRING_TYPE, INT64_TYPE = 2, 4  # feast.types.ValueType

FIELD_STRING, FIELD_INT32, FIELD_INT64, FIELD_DOUBLE, FIELD_FLOAT, FIELD_BOOL, FIELD_TIMESTAMP = 2, 3, 4, 5, 6, 7, 8
FIELD_NULL = 19
INTEGER_FIELDS = frozenset({FIELD_INT32, FIELD_INT64, FIELD_BOOL, FIELD_TIMESTAMP})

UINT32 = struct.Struct("<I")
FLOAT = struct.Struct("<f")
DOUBLE = struct.Struct("<d")


def entity_key(values_by_join_key: Mapping[str, object]) -> bytes:
    """Join keys in alphabetical order, then their values, each with its type and length."""
    names = sorted(values_by_join_key)
    parts = [UINT32.pack(len(names))]
    for name in names:
        raw = name.encode()
        parts += (UINT32.pack(STRING_TYPE), UINT32.pack(len(raw)), raw)
    for name in names:
        type_, raw = encode_key_value(values_by_join_key[name])
        parts += (UINT32.pack(type_), UINT32.pack(len(raw)), raw)
    return b"".join(parts)


def encode_key_value(value: object) -> tuple[int, bytes]:
    """Raises ValueError for what no join key of ours is: a string or an int64."""
    if isinstance(value, str):
        return STRING_TYPE, value.encode()
    if isinstance(value, int):
        return INT64_TYPE, struct.pack("<q", value)
    raise ValueError(f"a join key must be a string or an integer, got {value!r}")


def decode_varint(raw: bytes, offset: int) -> tuple[int, int]:
    """The unsigned number at `offset`, and the offset behind it."""
    value = shift = 0
    while True:
        byte = raw[offset]
        offset += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, offset
        shift += 7


def decode_value(raw: bytes) -> float | int | str | None:
    """A `feast.types.Value` message; unset, null and NaN are None. Raises ValueError for a type that we never write."""
    if not raw:
        return None
    if raw[0] == FIELD_FLOAT << 3 | 5:
        number: float = FLOAT.unpack_from(raw, 1)[0]
        return None if math.isnan(number) else number
    tag, offset = decode_varint(raw, 0)
    field = tag >> 3
    if field in INTEGER_FIELDS:
        unsigned, _ = decode_varint(raw, offset)
        return unsigned - 2**64 if unsigned >= 2**63 else unsigned
    if field == FIELD_STRING:
        length, offset = decode_varint(raw, offset)
        return raw[offset : offset + length].decode()
    if field == FIELD_DOUBLE:
        number = DOUBLE.unpack_from(raw, offset)[0]
        return None if math.isnan(number) else number
    if field == FIELD_NULL:
        return None
    raise ValueError(f"field {field} of feast.types.Value is not one that a feature of ours can have")


def cast(column: Column, value: Value) -> Value:
    """A float32 column's value as the nearest float32, held as a float; what is not a number is absent.

    Raises OverflowError for a number that no float32 is near.
    """
    if column.type is not ColumnType.FLOAT32 or value is None:
        return value
    number: float = FLOAT.unpack(FLOAT.pack(value))[0]
    return None if math.isnan(number) else number
