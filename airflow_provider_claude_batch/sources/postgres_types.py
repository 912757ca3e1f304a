"""
Postgres's types, by the number that the server gives with every column, and what they are in Arrow.

Numbers are those of the server's ``pg_type.dat``. A type that is not here is kept as the server's own text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from airflow_provider_claude_batch.sources.dbapi import Connection, Cursor, execute

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

BOOL, BYTEA, INT8, INT2, INT4, OID = 16, 17, 20, 21, 23, 26
FLOAT4, FLOAT8 = 700, 701
DATE, TIME, TIMESTAMP, TIMESTAMPTZ = 1082, 1083, 1114, 1184
NUMERIC, UUID = 1700, 2950

#: Types whose values the driver may turn into Python's; every other one is taken as text.
NATIVE_OIDS = frozenset({BOOL, BYTEA, INT8, INT2, INT4, OID, FLOAT4, FLOAT8})

#: Text, and so no array: char, name, text, json, bpchar, varchar, jsonb.
_TEXT_OIDS = frozenset({18, 19, 25, 114, 1042, 1043, 3802})

#: int2vector, oidvector: an array to the catalog, but not written as one.
_VECTOR_OIDS = frozenset({22, 30})

#: The one type whose arrays are not separated by commas.
_BOX_OID = 603

#: What a server can declare; drivers say 65535 where nothing is declared.
_MAX_PRECISION = 1000

_DECIMAL128_DIGITS, _DECIMAL256_DIGITS = 38, 76


@dataclass(frozen=True, slots=True)
class PostgresColumn:
    """
    One column of a result.

    :param oid: The server's number of its type, or of its elements' type where it is an array.
    :param type: Arrow type of its values, or of their elements where it is an array.
    """

    name: str
    oid: int
    type: pa.DataType
    is_array: bool


def postgres_columns(
    description: Sequence[Sequence[object]], element_oids: Mapping[int, int]
) -> list[PostgresColumn]:
    """
    Return the columns of a result.

    :param description: The cursor's.
    :param element_oids: Array types to the types of their elements; from :func:`element_oids`.
    """
    columns = []
    for column in description:
        oid = cast("int", column[1])
        element = element_oids.get(oid)
        precision, scale = (None, None) if element else (column[4], column[5])
        kind = _arrow_type(element or oid, cast("int | None", precision), cast("int | None", scale))
        columns.append(PostgresColumn(str(column[0]), element or oid, kind, element is not None))
    return columns


def element_oids(connection: Connection, description: Sequence[Sequence[object]]) -> dict[int, int]:
    """
    Ask the server's catalog which columns are arrays, and of what.

    :param connection: Has a transaction open; asked only where a type is none of the well-known ones.
    """
    known = NATIVE_OIDS | _TEXT_OIDS | _VECTOR_OIDS | {DATE, TIME, TIMESTAMP, TIMESTAMPTZ, NUMERIC, UUID}
    unknown = sorted({cast("int", column[1]) for column in description} - known)
    if not unknown:
        return {}
    cursor: Cursor = connection.cursor()
    query = "select oid, typelem from pg_type where typelem <> 0 and typlen = -1 and oid in ({})"
    execute(cursor, query.format(", ".join("%s" for _ in unknown)), unknown)
    found = {cast("int", oid): cast("int", element) for oid, element in cursor.fetchall()}
    cursor.close()
    return {oid: element for oid, element in found.items() if element != _BOX_OID}


def _arrow_type(oid: int, precision: int | None, scale: int | None) -> pa.DataType:
    import pyarrow as pa

    if oid == NUMERIC:
        return _decimal_type(precision, scale)
    return {
        BOOL: pa.bool_(),
        BYTEA: pa.binary(),
        INT2: pa.int16(),
        INT4: pa.int32(),
        INT8: pa.int64(),
        OID: pa.int64(),
        FLOAT4: pa.float32(),
        FLOAT8: pa.float64(),
        DATE: pa.date32(),
        TIME: pa.time64("us"),
        TIMESTAMP: pa.timestamp("us"),
        TIMESTAMPTZ: pa.timestamp("us", "UTC"),
        UUID: pa.uuid(),
    }.get(oid, pa.string())


def _decimal_type(precision: int | None, scale: int | None) -> pa.DataType:
    """Return text where no precision is declared: no decimal type holds every such value."""
    import pyarrow as pa

    if precision is None or scale is None or not 0 < precision <= _MAX_PRECISION:
        return pa.string()
    if scale > _MAX_PRECISION:  # psycopg2 does not read the sign: eleven bits, two's complement
        scale -= 2048
    digits = max(precision, scale, precision - scale)
    if digits > _DECIMAL256_DIGITS:
        return pa.string()
    make = pa.decimal128 if digits <= _DECIMAL128_DIGITS else pa.decimal256
    return make(digits, max(scale, 0))
