import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_SNIPPET = re.compile(r"<!-- START (\S+) (\S+) -->\n(.*?)<!-- END -->", re.DOTALL)


def region(path, name):
    text = (ROOT / path).read_text()
    found = re.search(rf"# \[START {name}\]\n(.*?)# \[END {name}\]", text, re.DOTALL)
    assert found is not None, f"{path} has no region {name}"
    return f"```python\n{found[1]}```\n"


def with_snippets(text):
    return _SNIPPET.sub(lambda m: f"<!-- START {m[1]} {m[2]} -->\n{region(m[1], m[2])}<!-- END -->", text)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_code_in_the_docs_is_the_code_of_the_examples(document):
    text = document.read_text()
    assert with_snippets(text) == text


def test_the_readme_shows_a_dag():
    assert _SNIPPET.search((ROOT / "README.md").read_text()) is not None


@pytest.mark.parametrize("document", [*DOCUMENTS, ROOT / "CONTRIBUTING.md"], ids=lambda path: path.name)
def test_files_that_the_docs_link_to_are_there(document):
    for target in re.findall(r"\]\((?!http)([^)#]+)", document.read_text()):
        assert (document.parent / target).exists(), target


def test_the_tests_that_promises_are_shown_by_are_there():
    named = set(re.findall(r"`(tests/[^`]+)`", (ROOT / "docs" / "promises.md").read_text()))
    assert named
    assert all((ROOT / path).exists() for path in named)


if __name__ == "__main__":
    for path in DOCUMENTS:
        path.write_text(with_snippets(path.read_text()))
