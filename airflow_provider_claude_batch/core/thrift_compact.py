"""
Structs of Thrift's compact protocol, taken apart into fields whose values stay encoded, and put together.

https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md, read 2026-11-26.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

#: The fields of one struct by number, in order: the type, and the value as it is encoded.
Fields: TypeAlias = "dict[int, tuple[int, bytes]]"

_BINARY, _LIST, _SET, _MAP, _STRUCT = 8, 9, 10, 11, 12

#: Bytes of a field's value by its type, where they are always as many. A boolean's value is its type.
_FIXED_BYTES = {1: 0, 2: 0, 3: 1, 7: 8, 13: 16}

_VARINTS = frozenset({4, 5, 6})

#: From here on a number of elements, or a step between the numbers of fields, does not fit its four bits.
_LONG = 15

#: Set in each byte of a number but its last one.
_GOES_ON = 128


def to_fields(data: bytes) -> Fields:
    """
    Take a struct apart.

    :raises ValueError: It is none, or something follows it.
    """
    fields: Fields = {}
    number = at = 0
    try:
        while header := data[at]:
            step, kind = header >> 4, header & 15
            at += 1
            if not step:
                zigzag, at = _varint(data, at)
                number = _signed(zigzag)
            number += step
            end = _end(data, at, kind)
            fields[number] = kind, data[at:end]
            at = end
    except IndexError:
        raise ValueError("the struct has no end") from None
    if at + 1 != len(data):
        raise ValueError("something follows the struct")
    return fields


def to_struct(fields: Fields) -> bytes:
    """Put a struct together."""
    data = bytearray()
    last = 0
    for number, (kind, value) in fields.items():
        step = number - last
        if 0 < step <= _LONG:
            data.append(step << 4 | kind)
        else:
            data.append(kind)
            data += from_int(number)
        data += value
        last = number
    data.append(0)
    return bytes(data)


def to_int(value: bytes) -> int:
    """Return the number that the value of a field of an integer type is."""
    return _signed(_varint(value, 0)[0])


def from_int(number: int) -> bytes:
    """Return the value of a field of an integer type."""
    return _from_varint(number << 1 if number >= 0 else ~(number << 1))


def to_structs(value: bytes) -> list[bytes]:
    """Return the structs of a list, each to be taken apart."""
    count, at = _count(value)
    structs = []
    for _ in range(count):
        end = _end(value, at, _STRUCT)
        structs.append(value[at:end])
        at = end
    return structs


def from_structs(structs: Iterable[bytes]) -> bytes:
    """Return the value of a field that is a list of structs."""
    found = list(structs)
    if len(found) < _LONG:
        return bytes([len(found) << 4 | _STRUCT]) + b"".join(found)
    return bytes([_LONG << 4 | _STRUCT]) + _from_varint(len(found)) + b"".join(found)


def _end(data: bytes, at: int, kind: int) -> int:
    """Return where the value of a field ends that begins at ``at``."""
    if kind in _VARINTS:
        return _varint(data, at)[1]
    if kind == _BINARY:
        size, at = _varint(data, at)
        return at + size
    if kind == _STRUCT:
        return _struct_end(data, at)
    if kind in (_LIST, _SET):
        return _list_end(data, at)
    if kind == _MAP or kind not in _FIXED_BYTES:
        raise ValueError(f"a field of type {kind}")
    return at + _FIXED_BYTES[kind]


def _struct_end(data: bytes, at: int) -> int:
    while header := data[at]:
        at += 1
        if not header >> 4:
            at = _varint(data, at)[1]
        at = _end(data, at, header & 15)
    return at + 1


def _list_end(data: bytes, at: int) -> int:
    kind = data[at] & 15
    count, at = _count(data, at)
    for _ in range(count):
        # In a list, unlike in a field, a boolean has a byte of its own.
        at = _end(data, at, max(kind, 3))
    return at


def _count(data: bytes, at: int = 0) -> tuple[int, int]:
    """Return the number of elements of a list, and where they begin."""
    count = data[at] >> 4
    return _varint(data, at + 1) if count == _LONG else (count, at + 1)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while (octet := data[at]) & _GOES_ON:
        number |= (octet ^ _GOES_ON) << shift
        shift += 7
        at += 1
    return number | octet << shift, at + 1


def _from_varint(number: int) -> bytes:
    data = bytearray()
    while number >= _GOES_ON:
        data.append(number % _GOES_ON | _GOES_ON)
        number >>= 7
    data.append(number)
    return bytes(data)


def _signed(zigzag: int) -> int:
    return zigzag >> 1 ^ -(zigzag & 1)
