"""Texts about Python that every Python has: its reference by topic, and what its library says of itself."""

import ast
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics
from typing import NamedTuple

_KINDS = {ast.FunctionDef: "function", ast.AsyncFunctionDef: "function", ast.ClassDef: "class"}


class Docstring(NamedTuple):
    """
    What one public object of the standard library says of itself.

    :param object_name: Module and name, ``json.dumps``.
    :param kind: ``module``, ``class`` or ``function``.
    """

    object_name: str
    module: str
    kind: str
    docstring: str


def reference_topics() -> list[tuple[str, str]]:
    """Return the sections of Python's reference that ``help()`` shows, name and text, by name."""
    return sorted(topics.items())


def library_docstrings() -> list[Docstring]:
    """Return the docstrings of the library's top-level modules, read from their sources; none is imported."""
    library = Path(sysconfig.get_paths()["stdlib"])
    names = (name for name in sorted(sys.stdlib_module_names) if not name.startswith("_"))
    found = {
        docstring.object_name: docstring
        for name in names
        for path in (library / f"{name}.py", library / name / "__init__.py")
        if path.exists()
        for docstring in _docstrings(name, ast.parse(path.read_bytes()))
    }
    return [*found.values()]


def _docstrings(module: str, tree: ast.Module) -> Iterator[Docstring]:
    if text := ast.get_docstring(tree):
        yield Docstring(module, module, "module", text)
    for node in tree.body:
        kind = _KINDS.get(type(node))
        if kind and not node.name.startswith("_") and (text := ast.get_docstring(node)):
            yield Docstring(f"{module}.{node.name}", module, kind, text)
