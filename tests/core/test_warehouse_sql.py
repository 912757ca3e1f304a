import pytest

from airflow_provider_claude_batch.core.sql_dialect import POSTGRES, other_dialect
from airflow_provider_claude_batch.core.warehouse_sql import WriteSql, table_parts
from airflow_provider_claude_batch.errors import ClaudeBatchInputError

MYSQL = other_dialect("mysql", quotes=("`", "`"), reserved=frozenset({"rank"}))
STANDARD = other_dialect("snowflake", quotes=('"', '"'), reserved=frozenset({"rank"}))


def write_sql(dialect, *, table="lake.labels", columns=("id", "rank"), match=("id",)):
    return WriteSql(
        dialect=dialect, table=table_parts(table), columns=columns, match=match, staging_name="staged"
    )


@pytest.mark.parametrize(
    ("table", "parts"),
    [
        ("labels", [("labels", False)]),
        ("lake.labels", [("lake", False), ("labels", False)]),
        ('lake."a.b ""c"""', [("lake", False), ('a.b "c"', True)]),
        ("`a.b`.[c d]", [("a.b", True), ("c d", True)]),
    ],
)
def test_a_table_s_name_is_split_at_its_dots(table, parts):
    assert table_parts(table) == parts


@pytest.mark.parametrize("table", ["", ".", "a.", ".a", "a..b", 'a"b"', '"a', '""', " "])
def test_what_is_no_table_s_name_is_refused(table):
    with pytest.raises(ClaudeBatchInputError, match="is not a name"):
        table_parts(table)


def test_names_that_fold_are_quoted_only_where_they_must_be():
    sql = write_sql(STANDARD, table='lake."Labels"', columns=("id", "rank", "a b"))
    assert sql.target == 'lake."Labels"'
    assert sql.names == 'id, "rank", "a b"'
    assert sql.staging == "lake.staged"


def test_names_that_do_not_fold_are_always_quoted():
    sql = write_sql(POSTGRES, columns=("id", 'a"b'))
    assert (sql.target, sql.names, sql.staging) == ('"lake"."labels"', '"id", "a""b"', '"staged"')


def test_mysql_joins_where_others_update_from():
    assert write_sql(MYSQL).apply(replaces=False) == [
        "update lake.labels d join staged s on d.id = s.id set d.`rank` = s.`rank`",
        "insert into lake.labels (id, `rank`) select s.id, s.`rank` from staged s "
        "left join lake.labels d on d.id = s.id where d.id is null",
    ]
    assert write_sql(MYSQL).create_staging().startswith("create temporary table staged as select")


def test_the_standard_merges_in_one_statement():
    assert write_sql(STANDARD).apply(replaces=False) == [
        'merge into lake.labels d using lake.staged s on (d.id = s.id) when matched then update set "rank" = '
        's."rank" when not matched then insert (id, "rank") values (s.id, s."rank")'
    ]
