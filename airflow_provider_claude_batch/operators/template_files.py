"""Texts of an operator that may stand in a file beside the Dag."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import BaseOperator

#: A path and nothing else, so that a prompt which only ends like one stays a prompt.
_FILE_NAME = re.compile(r"[\w./-]+\.(sql|md|txt)")


def read_template_files(operator: BaseOperator, fields: Sequence[str]) -> None:
    """
    Replace fields that are names of ``.sql``, ``.md`` or ``.txt`` files by the files' texts.

    Airflow's own way, ``template_ext``, would take every text that ends like a file name for one, also a
    bound parameter or a stop sequence.

    :param fields: Names of attributes.
    :raises jinja2.TemplateNotFound: There is no such file in the template search path.
    """
    environment = operator.get_template_env()
    for name in fields:
        value = getattr(operator, name)
        if environment.loader and isinstance(value, str) and _FILE_NAME.fullmatch(value):
            setattr(operator, name, environment.loader.get_source(environment, value)[0])
