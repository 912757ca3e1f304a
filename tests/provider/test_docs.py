"""The documentation: code that is the examples' own, links that lead somewhere, no warning of Sphinx."""

import re
import subprocess
import sys
import textwrap
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

import pytest
from packaging.version import Version

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
DOCUMENTS = [ROOT / "README.md", *PAGES]
OTHERS = [ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
_SNIPPET = re.compile(r"<!-- START (\S+) (\S+) -->\n(.*?)<!-- END -->", re.DOTALL)
_MARK = re.compile(r"^[ ]*# \[(?:START|END) \w+\]\n", re.MULTILINE)


def region(path, name):
    text = (ROOT / path).read_text()
    found = re.search(rf"# \[START {name}\]\n(.*?)[ ]*# \[END {name}\]", text, re.DOTALL)
    assert found is not None, f"{path} has no region {name}"
    code = textwrap.dedent(_MARK.sub("", found[1])).rstrip("\n")
    return f"```python\n{code}\n```\n"


def with_snippets(text):
    return _SNIPPET.sub(lambda m: f"<!-- START {m[1]} {m[2]} -->\n{region(m[1], m[2])}<!-- END -->", text)


def name_of(path):
    return str(path.relative_to(ROOT))


def links(document):
    """Return the relative links of a document, as a path and an anchor, both perhaps empty."""
    text = re.sub(r"^(`{3,}).*?^\1", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    targets = re.findall(r"\]\((?!\w+:)([^)\s]+)\)", text)
    return [target.partition("#")[::2] for target in targets]


def anchors(document):
    """Return the anchors of a document's headings, as a code host makes them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-").lower() for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_code_in_the_docs_is_the_code_of_the_examples(document):
    text = document.read_text()
    assert with_snippets(text) == text


def test_the_readme_shows_a_dag():
    assert _SNIPPET.search((ROOT / "README.md").read_text()) is not None


@pytest.mark.parametrize(
    "document", [*DOCUMENTS, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=name_of
)
def test_what_the_docs_link_to_is_there(document):
    for path, anchor in links(document):
        target = document.parent / path if path else document
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), f"{path}#{anchor}"


def test_every_page_is_in_the_table_of_contents():
    listed = {DOCS / "index.md"}
    for index in PAGES:
        for toctree in re.findall(r"^```\{toctree\}\n(.*?)^```", index.read_text(), re.DOTALL | re.MULTILINE):
            names = [line for line in toctree.splitlines() if line and not line.startswith(":")]
            listed |= {index.parent / f"{name}.md" for name in names}
    assert listed == set(PAGES)


def test_every_example_has_its_paragraph():
    dags = {file.stem for file in (ROOT / "example_dags").glob("*.py") if "dag_id=" in file.read_text()}
    assert dags <= anchors(DOCS / "examples.md")


def test_the_tests_that_promises_are_shown_by_are_there():
    named = set(re.findall(r"`(tests/[^`]+)`", (DOCS / "promises.md").read_text()))
    assert named
    assert all((ROOT / path).exists() for path in named)


def test_the_picture_has_a_text_and_brings_nothing_from_elsewhere():
    svg = (DOCS / "data-flow.svg").read_text()
    picture = ElementTree.fromstring(svg)  # noqa: S314
    names = {element.tag.rpartition("}")[2] for element in picture.iter()}
    assert {"title", "desc"} <= names
    assert not names & {"image", "script", "use", "a"}
    assert "@media (prefers-color-scheme: dark)" in svg


@pytest.mark.skipif(
    Version(version("apache-airflow")) < Version("3.2"), reason="the reference shows its types"
)
def test_sphinx_builds_the_docs_without_a_warning_and_without_a_network(tmp_path):
    before = sorted(DOCS.rglob("*"))
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-n", "-b", "html", str(DOCS)]
    build = subprocess.run(
        [*command, "-d", str(tmp_path / "doctrees"), str(tmp_path / "html")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (build.returncode, build.stderr) == (0, "")
    assert sorted(DOCS.rglob("*")) == before
    for page in (tmp_path / "html").rglob("*.html"):
        loaded = re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=\"([^\"]+)\"", page.read_text())
        assert [address for address in loaded if "//" in address] == [], page


if __name__ == "__main__":
    for path in DOCUMENTS:
        path.write_text(with_snippets(path.read_text()))
