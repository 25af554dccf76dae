"""Every line of Python in docs/api.md runs, in order, on the bundled model."""

import re
from pathlib import Path

import numpy as np

PAGE = Path(__file__).resolve().parents[2] / "docs" / "api.md"


def test_the_lines_of_the_page_run_as_they_stand(tmp_path, monkeypatch, cache):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MELBO_CACHE_DIR", str(cache))
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)
    assert len(blocks) == 3
    names: dict = {}
    for block in blocks:
        exec(compile(block, PAGE, "exec"), names)
    assert (tmp_path / "bomb.safetensors").is_file()
    texts, alike, steered = names["texts"], names["alike"], names["steered"]
    assert len(texts) == 9 and len({entry.text for entry in texts}) == 9
    assert alike.delta.shape == (8, 8) and np.allclose(alike.theta, np.eye(8), atol=1e-3)
    assert len({str(row) for row in steered.tolist()}) == 3
