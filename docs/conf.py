"""Sphinx's configuration: ``python -m sphinx -W --keep-going -n -b html docs .docs``. Needs no network."""

import ast
import importlib
import inspect
import os
import re
import sys
import tempfile
from pathlib import Path
from types import ModuleType

from sphinx.application import Sphinx

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent))

# Importing Airflow writes its configuration into its home: the builder's own is left alone.
_home = tempfile.TemporaryDirectory(prefix="claude_batch_docs_")
os.environ["AIRFLOW_HOME"] = _home.name


def resolve_annotations(module: ModuleType) -> None:
    """Run the imports that a module makes for type checkers only, so that its annotations have a meaning."""
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            code = compile(ast.Module(node.body, type_ignores=[]), str(module.__file__), "exec")
            exec(code, vars(module))  # noqa: S102


for page in DOCS.glob("api/*.md"):
    for name in re.findall(r"^\.\. (?:current|auto)module:: (\S+)", page.read_text(), re.MULTILINE):
        resolve_annotations(importlib.import_module(name))

project = "airflow-provider-claude-batch"
author = "airflow-provider-claude-batch"
release = version = importlib.import_module("airflow_provider_claude_batch").__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"{project} {version}"
html_copy_source = False
html_show_sphinx = False

autodoc_class_signature = "mixed"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 88

# Types of others stand in our signatures, and without a network there is no inventory of what they document.
OTHERS = "airflow|anthropic|collections|datetime|decimal|fsspec|pandas|pathlib|pyarrow"
nitpick_ignore_regex = [("py:.*", rf"({OTHERS})\..*")]
# Fields of a NamedTuple keep the names that stand in the source.
nitpick_ignore = [("py:class", "TaskGroup"), ("py:class", "XComArg")]


def offer_files_outside(app: Sphinx, page: str, source: list[str]) -> None:
    """Let links to files of the repository, which are right beside the sources, be downloads in the pages."""
    here = Path(app.env.doc2path(page)).parent

    def offered(link: re.Match[str]) -> str:
        return link[0] if (here / link[1]).resolve().is_relative_to(DOCS) else f"](path:{link[1]})"

    source[0] = re.sub(r"\]\((\.\./[^)#]+)\)", offered, source[0])


def setup(app: Sphinx) -> None:
    """Add what the extensions leave out."""
    app.connect("source-read", offer_files_outside)
