"""The example of docs/learning.md runs as it stands, and learns."""

import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs" / "learning.md"


def test_the_example_runs() -> None:
    found = re.search(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert found is not None
    assert len(found[1].strip().splitlines()) <= 15
    names: dict[str, Any] = {}
    exec(compile(found[1], str(DOCS), "exec"), names)
    assert names["result"].scores.accuracy > 0.8
    assert len(names["by_class"]) == 10
