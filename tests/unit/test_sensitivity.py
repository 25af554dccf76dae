"""Sensitivity of layer pairs: the values of banks trained on them, for every pair that goes upwards."""

import numpy as np
import pytest
from benches import PROMPT, listen, trained

from melbo_app.engine.training_config import TrainingConfig
from melbo_app.errors import InputError
from melbo_app.jobs.generators import result_of
from melbo_app.studies.sensitivity import LayerPair, MeasureSensitivity
from melbo_app.studies.sensitivity import _line as line


def test_every_pair_that_goes_upwards_has_the_values_of_a_bank_trained_on_it(bench):
    bench.load_model()
    heard, pairs = listen(
        bench.run(MeasureSensitivity(prompts=[PROMPT], sources=[0, 2], targets=[1, 3], scope="assistant", count=2))
    )
    assert [(pair.source, pair.target) for pair in pairs] == [(0, 1), (0, 3), (2, 3)]
    for number, pair in enumerate(pairs):
        config = TrainingConfig(pair.source, pair.target, 1.0, 4, "jacobian")
        record = trained(bench, f"bank {number}", config).record
        assert record.strength is not None
        np.testing.assert_allclose(pair.values, record.strength[::2], rtol=1e-5)
        assert pair.median_norm == record.median_norm
        assert pair.residual == record.residual
    done = [progress.done for progress in heard]
    assert done == sorted(done) and heard[-1].total == 3 * 60


def test_a_stop_keeps_the_pairs_that_are_done(bench):
    bench.load_model()
    pressed: list[bool] = []
    work = bench.run(
        MeasureSensitivity(prompts=[PROMPT], sources=[0], targets=[1, 2, 3], scope="assistant", count=1),
        stop=lambda: bool(pressed),
    )
    while not next(work).stage.startswith("block 0 → 2: Jacobian"):
        pass
    pressed.append(True)
    assert [(pair.source, pair.target) for pair in result_of(work)] == [(0, 1)]


@pytest.mark.parametrize(
    ("sources", "targets", "count", "part"),
    [
        ([2], [1, 2], 1, "target layers: none is above a source layer. Choose higher ones"),
        ([0], [1], 0, "values: 0 is out of range. Choose 1 to"),
        ([0], [9], 1, "target layer: tiny has no block 9"),
    ],
)
def test_what_gives_no_pair_is_refused(bench, sources, targets, count, part):
    bench.load_model()
    with pytest.raises(InputError, match=part):
        result_of(
            bench.run(
                MeasureSensitivity(prompts=[PROMPT], sources=sources, targets=targets, scope="assistant", count=count)
            )
        )


@pytest.mark.parametrize(
    ("residual", "rest"),
    [(9e-6, ""), (0.02, "  (squares to within 0.02 of the largest)")],
)
def test_rough_values_are_said_to_be_rough(residual, rest):
    assert line(LayerPair(0, 2, [3.25, 1.0], 5.0, residual)) == f"0 → 2: 3.25  1{rest}"
