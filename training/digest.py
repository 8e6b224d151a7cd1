"""A digest of a table's values that does not depend on how a file of them was written."""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def digest_of(table: pa.Table) -> str:
    """SHA-256 over each column's name, type, validity and values in order; the bytes under a null do not count."""
    whole = hashlib.sha256()
    for name in table.column_names:
        column = table[name].combine_chunks()
        whole.update(f"{name}:{column.type}:{len(column)};".encode())
        whole.update(np.packbits(pc.is_valid(column).to_numpy(zero_copy_only=False)).tobytes())
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            filled = pc.fill_null(column.cast(pa.string()), "")
            whole.update(pc.binary_length(filled).to_numpy(zero_copy_only=False).tobytes())
            whole.update("".join(filled.to_pylist()).encode())
            continue
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("us", "UTC")).cast(pa.int64())
        whole.update(pc.fill_null(column, 0).to_numpy(zero_copy_only=False).tobytes())
    return whole.hexdigest()
