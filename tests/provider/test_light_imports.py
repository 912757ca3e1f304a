import subprocess
import sys
from pathlib import Path

import pytest

import airflow_provider_claude_batch

PACKAGE = Path(airflow_provider_claude_batch.__file__).parent
DAG_FACING = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for folder in (
        "decorators",
        "hooks",
        "links",
        "operators",
        "sensors",
        "sources",
        "submission",
        "task_groups",
        "transfers",
        "triggers",
        "warehouse",
    )
    for path in (PACKAGE / folder).glob("*.py")
    if path.stem != "__init__"
)
HEAVY = ("anthropic", "pyarrow", "pandas")


def heavy_modules_after(imports):
    code = f"import sys\n{imports}\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout.splitlines()[-1].split()


def test_a_dag_file_imports_nothing_heavy():
    assert heavy_modules_after("\n".join(f"import {module}" for module in DAG_FACING)) == []


def test_the_example_dags_import_nothing_heavy():
    folder = PACKAGE.parent / "example_dags"
    dag_files = sorted(folder.glob("*.py"))
    if not dag_files:
        pytest.fail("there are no example Dags")
    # Airflow puts the folder of the Dags on the path, where they find what lies beside them.
    code = f"import runpy\nsys.path.insert(0, {str(folder)!r})\n"
    code += "\n".join(f"runpy.run_path({str(path)!r})" for path in dag_files)
    assert heavy_modules_after(code) == []
