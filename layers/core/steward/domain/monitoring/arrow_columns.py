"""Columns of an engine's answer by the Arrow C stream interface, without pyarrow.

Source: Apache Arrow, "The Arrow C data interface", "The Arrow C stream interface" and "The Arrow
PyCapsule Interface". A producer, such as a duckdb relation, hands over pointers to buffers: of text
the offsets and one run of UTF-8 bytes. They are copied into arrays as the profile takes them, and
released. Text becomes an array of fixed width without a Python object for each value.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

MOST_WIDTH = 256
"""Bytes of the longest text up to which a column is an array of fixed width."""

_NUMBERS = {
    b"c": "i1", b"C": "u1", b"s": "i2", b"S": "u2", b"i": "i4", b"I": "u4", b"l": "i8",
    b"L": "u8", b"f": "f4", b"g": "f8",
}  # fmt: skip
_TEXTS = {b"u": "i4", b"U": "i8"}
"""Format strings of text, with the type of their offsets."""


class Producer(Protocol):
    """What can hand its columns over."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return a capsule with an ``ArrowArrayStream``."""


class _Schema(ctypes.Structure):
    pass


class _Array(ctypes.Structure):
    pass


class _Stream(ctypes.Structure):
    pass


_Schema._fields_ = [
    ("format", ctypes.c_char_p), ("name", ctypes.c_char_p), ("metadata", ctypes.c_void_p),
    ("flags", ctypes.c_int64), ("n_children", ctypes.c_int64),
    ("children", ctypes.POINTER(ctypes.POINTER(_Schema))), ("dictionary", ctypes.c_void_p),
    ("release", ctypes.CFUNCTYPE(None, ctypes.POINTER(_Schema))), ("private", ctypes.c_void_p),
]  # fmt: skip
_Array._fields_ = [
    ("length", ctypes.c_int64), ("null_count", ctypes.c_int64), ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64), ("n_children", ctypes.c_int64),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(_Array))), ("dictionary", ctypes.c_void_p),
    ("release", ctypes.CFUNCTYPE(None, ctypes.POINTER(_Array))), ("private", ctypes.c_void_p),
]  # fmt: skip
_Stream._fields_ = [
    ("get_schema", ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.POINTER(_Stream), ctypes.POINTER(_Schema))),
    ("get_next", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Stream), ctypes.POINTER(_Array))),
    ("get_last_error", ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.POINTER(_Stream))),
    ("release", ctypes.CFUNCTYPE(None, ctypes.POINTER(_Stream))), ("private", ctypes.c_void_p),
]  # fmt: skip


def arrow_columns(producer: Producer) -> dict[str, NDArray[Any]]:
    """Return the columns of a producer by name: numbers, booleans and text; null is masked.

    Text is an array of bytes of fixed width, which is UTF-8; of objects where a value is longer
    than ``MOST_WIDTH`` or holds a zero byte, which a fixed width would drop at the end.

    Raises:
        ValueError: A column is of another type, or the producer failed.
    """
    capsule = producer.__arrow_c_stream__()
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    stream = _Stream.from_address(pointer(capsule, b"arrow_array_stream"))
    schema = _Schema()
    _succeed(stream, stream.get_schema(ctypes.byref(stream), ctypes.byref(schema)))
    try:
        fields = [schema.children[n].contents for n in range(schema.n_children)]
        kinds = [(field.name.decode(), bytes(field.format)) for field in fields]
        parts: dict[str, list[NDArray[Any]]] = {name: [] for name, _ in kinds}
        for batch in _batches(stream):
            for place, (name, kind) in enumerate(kinds):
                parts[name].append(_column(batch.children[place].contents, kind, name))
    finally:
        schema.release(ctypes.byref(schema))
    return {name: _joined(parts[name], kind) for name, kind in kinds}


def _succeed(stream: _Stream, code: int) -> None:
    if code:
        told = stream.get_last_error(ctypes.byref(stream)) or b"no reason given"
        raise ValueError(f"the engine handed no columns over: {told.decode(errors='replace')}")


def _batches(stream: _Stream) -> Iterator[_Array]:
    while True:
        batch = _Array()
        _succeed(stream, stream.get_next(ctypes.byref(stream), ctypes.byref(batch)))
        if not batch.release:
            return
        try:
            yield batch
        finally:
            batch.release(ctypes.byref(batch))


def _column(array: _Array, kind: bytes, name: str) -> NDArray[Any]:
    """Copy one column of a batch out of its buffers."""
    if kind in _NUMBERS:
        values = _buffer(array, 1, _NUMBERS[kind], array.offset + array.length)[array.offset :]
        found = values.copy()
    elif kind == b"b":
        found = _bits(array, 1)
    elif kind in _TEXTS:
        found = _texts(array, _TEXTS[kind])
    else:
        raise ValueError(f"{name} is of Arrow's type {kind.decode()!r}: neither number nor text")
    if array.null_count == 0 or not array.buffers[0]:
        return found
    return np.ma.MaskedArray(found, mask=~_bits(array, 0))  # type: ignore[no-untyped-call]


def _buffer(array: _Array, place: int, kind: str, count: int) -> NDArray[Any]:
    size = count * np.dtype(kind).itemsize
    if not size or not array.buffers[place]:
        return np.zeros(count, dtype=kind)
    raw = (ctypes.c_ubyte * size).from_address(array.buffers[place])
    return np.asarray(np.frombuffer(memoryview(raw), dtype=np.dtype(kind)))


def _bits(array: _Array, place: int) -> NDArray[np.bool_]:
    end = array.offset + array.length
    packed = _buffer(array, place, "u1", -(-end // 8))
    return np.unpackbits(packed, count=end, bitorder="little")[array.offset :].astype(bool)


def _texts(array: _Array, kind: str) -> NDArray[Any]:
    end = array.offset + array.length
    offsets = _buffer(array, 1, kind, end + 1)[array.offset :].astype(np.int64)
    data = _buffer(array, 2, "u1", int(offsets[-1]) if offsets.size else 0)
    return fixed_width(offsets, data)


def fixed_width(offsets: NDArray[np.int64], data: NDArray[np.uint8]) -> NDArray[Any]:
    """Return texts, which lie one after another, as an array of fixed width.

    Args:
        offsets: Where each begins, and where the last ends.
        data: Their bytes.
    """
    starts, lengths = offsets[:-1], np.diff(offsets)
    width = max(int(lengths.max(initial=0)), 1)
    own = data[int(offsets[0]) : int(offsets[-1])] if offsets.size else data[:0]
    if width > MOST_WIDTH or not own.all():
        whole = own.tobytes()
        begin = int(offsets[0])
        return np.array(
            [whole[a - begin : b - begin].decode(errors="replace")
             for a, b in zip(starts.tolist(), offsets[1:].tolist(), strict=True)] + [None],
            dtype=object,
        )[:-1]  # fmt: skip
    cells = np.zeros((starts.size, width), dtype=np.uint8)
    for place in range(width):
        rows = np.flatnonzero(lengths > place)
        cells[rows, place] = data[starts[rows] + place]
    return cells.reshape(-1).view(f"S{width}")


def _joined(parts: list[NDArray[Any]], kind: bytes) -> NDArray[Any]:
    if not parts:
        return np.zeros(0, dtype=_NUMBERS.get(kind, "S1"))
    if len(parts) == 1:
        return parts[0]
    if any(part.dtype.kind == "O" for part in parts):
        parts = [_as_objects(part) for part in parts]
    if any(isinstance(part, np.ma.MaskedArray) for part in parts):
        joined: NDArray[Any] = np.ma.concatenate(parts)  # type: ignore[no-untyped-call]
        return joined
    return np.concatenate(parts)


def _as_objects(part: NDArray[Any]) -> NDArray[Any]:
    if part.dtype.kind == "O":
        return part
    texts = np.array([*(one.decode() for one in np.asarray(part).tolist()), None], dtype=object)
    mask = np.ma.getmaskarray(part)  # type: ignore[no-untyped-call]
    return np.ma.MaskedArray(texts[:-1], mask=mask)  # type: ignore[no-untyped-call]
