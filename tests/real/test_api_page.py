"""Every line of Python in docs/api.md runs, in order, on the bundled model, and makes a bank that was kept again."""

import re
from pathlib import Path

import numpy as np

from melbo_app.library.banks import Banks

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "api.md"


def test_the_lines_of_the_page_run_as_they_stand(tmp_path, monkeypatch, cache):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MELBO_CACHE_DIR", str(cache))
    monkeypatch.setenv("MELBO_DTYPE", "float32")  # as the sample was made
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)
    assert len(blocks) == 9
    names: dict = {}
    for block in blocks:
        exec(compile(block, PAGE, "exec"), names)
    assert (tmp_path / "lock.safetensors").is_file()
    bank, sample = names["bank"], Banks(ROOT / "no-own-banks", ROOT / "tests" / "banks").load("lock")
    # not bit for bit: another processor rounds otherwise
    assert ((bank.vectors * sample.vectors).sum(axis=1) / sample.record.radius**2).min() > 0.99
    assert np.allclose(bank.record.objective, sample.record.objective, rtol=0.02)
    assert (bank.record.steps, bank.record.saturation) == (sample.record.steps, sample.record.saturation)
    texts, alike, steered = names["texts"], names["alike"], names["steered"]
    assert len(texts) == 9 and len({entry.text for entry in texts}) == 9
    assert alike.delta.shape == (8, 8) and np.allclose(alike.theta, np.eye(8), atol=1e-3)
    assert len({str(row) for row in steered.tolist()}) == 3
    np.testing.assert_allclose(np.linalg.norm(names["less"].vectors, axis=1), 9, rtol=1e-5)
    for ranking in (names["strongest"], names["order"]):
        assert sorted(vector for vector, _ in ranking) == [0, 1]
    assert [one.vector for one in names["general"].vectors] == [3] and len(names["general"].random) == 4
    watched = names["watched"]
    assert watched.clean >= 10 and [one["text"] for one in watched.answers] == list(names["prompts"])
    assert (names["found"].source, names["found"].target) == (7, 9) and names["found"].radius > 0
    assert [(pair.source, pair.target) for pair in names["pairs"]] == [(7, 9), (7, 11)]
