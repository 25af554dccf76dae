"""Two vectors become one: their mean at their norm, and everything else as it is."""

import numpy as np
import pytest
from benches import PROMPT, QUICK, shelved

from melbo_app.engine.decoding import Decoding
from melbo_app.jobs.generators import result_of
from melbo_app.library.merging import merging
from melbo_app.studies.similarity import Compare
from melbo_app.studies.steer import Steer


@pytest.mark.parametrize(("one", "other", "kept"), [(0, 2, [1]), (2, 0, [1]), (0, 1, [2]), (1, 2, [0])])
def test_the_mean_has_the_norm_of_its_parts_and_the_others_stay(bench, one, other, kept):
    bank = shelved(bench)
    assert len(bank.vectors) == 3
    plan = merging(bank, one, other)
    made = bench.combine_banks(plan.formula, f"merged {one} {other}", note=plan.note)
    assert plan.place == min(one, other) and len(made.vectors) == 2
    mean = bank.vectors[[one, other]].mean(axis=0)
    assert np.linalg.norm(mean) == pytest.approx(QUICK.radius / 2**0.5, rel=1e-3)  # at right angles: shortened by √2
    assert np.linalg.norm(made.vectors[plan.place]) == pytest.approx(QUICK.radius, rel=1e-5)
    np.testing.assert_allclose(made.vectors[plan.place], mean * 2**0.5, rtol=2e-3, atol=1e-5)
    np.testing.assert_array_equal(made.vectors[1 - plan.place], bank.vectors[kept[0]])
    again = bench.bank(made.record.name).record
    assert f"Vectors {min(one, other)} and {max(one, other)} of “{bank.record.name}” are merged" in again.note
    assert again.parts == {bank.record.name: bank.hash} and again.whole


def test_texts_are_compared_on_this_prompt_and_missing_ones_are_said(bench):
    shelved(bench)
    study = Compare(bank="a", prompts=(PROMPT,), scope="all")
    assert result_of(bench.run(study)).texts is None
    result_of(bench.run(Steer(bank="a", prompts=(PROMPT,), vectors=(0, 2), radii=(6.0,), decoding=Decoding(4))))
    found = result_of(bench.run(study))
    assert found.without_texts == [1]
    assert found.texts[0, 0] == pytest.approx(1) and found.texts[2, 2] == pytest.approx(1)
    assert -1 <= found.texts[0, 2] == found.mean_texts <= 1
    assert study.answer(found, None)["texts"][1] == [None] * 3
    other = Compare(bank="a", prompts=(PROMPT.__class__("another prompt"),), scope="all")
    assert result_of(bench.run(other)).texts is None
