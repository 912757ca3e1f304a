"""Run every benchmark: ``python -m bench``, with ``--requests N`` for a smaller run."""

from __future__ import annotations

import runpy
from pathlib import Path

for path in sorted(Path(__file__).parent.glob("*.py")):
    if not path.stem.startswith("__"):
        print(f"== {path.stem}", flush=True)
        runpy.run_path(str(path), run_name="__main__")
