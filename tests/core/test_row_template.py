import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_claude_batch.core.row_template import (
    Placeholder,
    check_columns,
    compile_template,
    value_to_text,
)
from airflow_provider_claude_batch.errors import RowTemplateError


def test_a_template_is_cut_into_literals_and_placeholders():
    template = compile_template("Rate {name} at {price:.2f}!")
    assert template.pieces == ("Rate ", Placeholder("name", ""), " at ", Placeholder("price", ".2f"), "!")
    assert template.columns == ("name", "price")


@pytest.mark.parametrize(
    "text", ['{"label": "x"}', "{}", "{ a }", "{a.b}", "{a[0]}", "{1}", "{a!r}", "{a: b}", "{"]
)
def test_a_brace_that_encloses_no_column_is_literal(text):
    assert compile_template(text).pieces == (text,)


@given(st.text())
def test_nothing_of_a_template_is_lost(text):
    pieces = compile_template(text).pieces
    written = [
        p if isinstance(p, str) else "{" + p.column + (f":{p.spec}" if p.spec else "") + "}" for p in pieces
    ]
    assert "".join(written) == text


def test_an_unknown_column_is_named_beside_the_ones_there_are():
    with pytest.raises(RowTemplateError, match=r"\{colour\}.*only id, color"):
        check_columns(compile_template("{colour} {id}"), ["id", "color"], where="prompt")


@pytest.mark.parametrize(
    ("value", "spec", "text"),
    [
        (7, "", "7"),
        (7, "03d", "007"),
        (True, "", "true"),
        (0.1, "", "0.1"),
        (Decimal("1.50"), "", "1.50"),
        (dt.date(2026, 1, 2), "", "2026-01-02"),
        (dt.date(2026, 1, 2), "%d.%m.%Y", "02.01.2026"),
        ("{{ conn.x.password }}", "", "{{ conn.x.password }}"),
    ],
)
def test_values_become_text(value, spec, text):
    assert value_to_text(value, Placeholder("c", spec)) == text


@pytest.mark.parametrize(("value", "spec"), [(None, ""), (b"x", ""), ("secret", "d"), ([1], ">3")])
def test_a_value_without_a_text_is_refused_without_being_quoted(value, spec):
    with pytest.raises((TypeError, ValueError)) as caught:
        value_to_text(value, Placeholder("c", spec))
    assert "secret" not in str(caught.value)


def test_a_binary_value_is_base64_where_the_data_of_an_image_goes():
    assert value_to_text(b"\x00\xff", Placeholder("c", "", is_base64=True)) == "AP8="
