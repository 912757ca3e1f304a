"""Texts of an operator that may stand in a file beside the Dag."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow.sdk import BaseOperator

#: A path and nothing else, so that a prompt which only ends like one stays a prompt.
_FILE_NAME = re.compile(r"[\w./-]+\.(sql|md|txt)")


#: Fields of a submit task that may be such a name.
_FIELDS = ("sql", "prompt", "system")


def read_template_files(operator: BaseOperator, *, mapped: Collection[int] = ()) -> None:
    """
    Replace fields that are names of ``.sql``, ``.md`` or ``.txt`` files by the files' texts.

    Airflow's own way, ``template_ext``, would take every text that ends like a file name for one, also a
    bound parameter or a stop sequence.

    Airflow asks for it when it loads a Dag file, but not for a mapped task, and not in ``DAG.test`` of a file
    that is run as a script: so it is done again before rendering, where it changes nothing that is a text.

    :param mapped: Ids of values that upstream tasks gave to a mapped task, which are no author's text.
    :raises jinja2.TemplateNotFound: There is no such file in the template search path.
    """
    environment = operator.get_template_env()
    for name in _FIELDS:
        value = getattr(operator, name)
        is_name = isinstance(value, str) and id(value) not in mapped and _FILE_NAME.fullmatch(value)
        if environment.loader and is_name:
            setattr(operator, name, environment.loader.get_source(environment, value)[0])
