"""Parts: the study on a tiny model, its kept results, and what it refuses."""

from datetime import UTC, datetime

import pytest
import torch
from benches import PROMPT, listen, shelved
from tiny_models import HEADS

from melbo_app.analysis.circuit_figure import Cell, circuit_figure
from melbo_app.analysis.estimate import mean_of
from melbo_app.engine.answer_odds import log_odds, question
from melbo_app.engine.patching import Patching
from melbo_app.engine.prompt import Prompt
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.generators import result_of
from melbo_app.library.bank import PromptRecord
from melbo_app.library.circuits import Circuit
from melbo_app.studies.parts import FindParts
from melbo_app.studies.parts_answer import command_of, lines_of, sentence_of

AFTER = 2 * (HEADS + 1)
"""Parts of the two blocks after the source."""


@pytest.fixture
def ready(bench):
    bank = shelved(bench)
    bench.load_model()
    return bench, bank


def parts(**changed):
    given = {"bank": "a", "vector": 0, "prompt": PROMPT, "measure": "logits:a,b", "random": 4, "radius": 40.0}
    return FindParts(**(given | changed))


def strong(bench, **changed):
    """A request whose effect is larger than those of random vectors."""
    for vector in range(3):
        for pair in ("a,b", "c,d", "e,h", "i,o", "s,t"):
            asked = parts(vector=vector, measure=f"logits:{pair}", **changed)
            found = result_of(bench.run(asked))
            if not found.as_random:
                return asked, found
    raise AssertionError("none is")


def test_effects_are_those_of_plain_passes_and_the_smallest_set_keeps_enough(ready):
    bench, bank = ready
    asked, found = strong(bench)
    lm = bench.bench.model.get()
    theta = torch.from_numpy(
        40.0 * bank.vectors[found.vector] / torch.from_numpy(bank.vectors[found.vector].copy()).norm().item()
    )
    one = question(lm, PROMPT, *found.answers)
    with torch.no_grad():
        plain, steered = float(log_odds(lm, [one])), float(log_odds(lm, [one], (1, theta[None].float())))
    assert (found.unsteered, found.steered) == pytest.approx((plain, steered), abs=1e-3)
    assert len(found.parts) == AFTER and found.finished and len(found.exactly) == AFTER
    patching = Patching(lm, one, 1, theta)

    def share(restored):
        mask = torch.tensor([[at in restored for at in range(AFTER)]])
        return (float(patching.patched(mask)) - plain) / (steered - plain)

    assert found.direct == pytest.approx(share(set(range(AFTER))), abs=1e-3)
    assert found.parts[3].exact == pytest.approx(1 - share({3}), abs=1e-3)
    assert found.parts[3].alone == pytest.approx(share(set(range(AFTER)) - {3}) - found.direct, abs=1e-3)
    inside = set(found.smallest.parts)
    assert found.smallest.kept == pytest.approx(share(set(range(AFTER)) - inside), abs=1e-3)
    assert found.smallest.left == pytest.approx(share(inside), abs=1e-3)
    assert found.smallest.kept >= 0.8 - 1e-3
    for number in inside:  # no single part of it can go
        assert share(set(range(AFTER)) - (inside - {number})) < 0.8 + 1e-3
    assert -1 <= found.agreement <= 1
    assert bench.circuits()[0] == found and result_of(bench.run(asked)) == found
    assert "parts" in sentence_of(found) or "no head or MLP" in sentence_of(found)
    assert command_of(found).startswith("python -m melbo_app parts a --vector")


def test_a_vector_that_does_no_more_than_random_ones_is_said_to(ready):
    bench, _ = ready
    found = result_of(bench.run(parts(radius=1e-6)))
    assert found.as_random and not found.parts and found.finished
    assert "no effect to take apart" in sentence_of(found)


def test_a_stop_keeps_what_was_patched_and_the_same_request_goes_on(ready, monkeypatch):
    bench, _ = ready
    asked, whole = strong(bench)
    bench.bench.circuits = type(bench.bench.circuits)(bench.settings.cache_dir / "others")
    monkeypatch.setattr(Patching, "runs_at_once", 4)
    stopped = False
    work = bench.run(asked, stop=lambda: stopped)
    for now in work:
        if now.stage == "exact patching" and sum(one.exact is not None for one in now.circuit.parts) >= 4:
            break
    stopped = True
    try:
        while True:
            next(work)
    except StopIteration as end:
        half = end.value
    known = len(half.exactly)
    assert 4 <= known < AFTER and not half.finished and bench.circuits()[0].exactly == half.exactly
    assert "not found yet" in sentence_of(half)
    seen, real = [], Patching.patched
    monkeypatch.setattr(
        Patching, "patched", lambda self, restored, stop=None: (seen.append(restored), real(self, restored, stop))[1]
    )
    heard, again = listen(bench.run(asked))
    first = next(now.circuit for now in heard if now.stage == "exact patching")
    assert len(first.exactly) >= known  # those that were measured are not measured again
    assert [one.exact for one in again.parts] == pytest.approx([one.exact for one in whole.parts], abs=1e-3)
    assert again.smallest.parts == whole.smallest.parts and again.finished
    singles = sum(int((mask.sum(1) == 1).sum()) for mask in seen[: 1 + AFTER])
    assert singles <= AFTER - known + 20


def test_a_stop_before_the_estimate_keeps_nothing(ready):
    bench, _ = ready
    with pytest.raises(Stopped):
        result_of(bench.run(parts(), stop=lambda: True))
    assert not bench.circuits()


def test_texts_are_measured_and_tested_again(ready):
    bench, bank = ready
    lm = bench.bench.model.get()
    from melbo_app.engine.decoding import Decoding
    from melbo_app.engine.encoding import encode
    from melbo_app.engine.generation import Rows, generate

    rows = torch.tensor(bank.vectors)
    rows = 40 * rows / rows.norm(dim=1, keepdim=True)
    *_, whole = generate(Rows(lm, encode(lm, [PROMPT]), torch.cat([rows[:1] * 0, rows]), 1, Decoding(6)))
    plain = whole.texts[0]
    for vector, text in enumerate(whole.texts[1:]):
        letter = next((one for one in text if one.isascii() and one.isalpha() and one not in plain), None)
        if letter is None:
            continue
        found = result_of(bench.run(parts(vector=vector, measure=f"regex:{letter}", max_new_tokens=6)))
        assert found.answers == (text, plain) and found.random_shows.n == 4
        if found.smallest is None:
            continue
        assert found.smallest.kept_text.shows == (letter.lower() in found.smallest.kept_text.text.lower())
        assert "text written with the set alone" in sentence_of(found) or not found.smallest.parts
        break
    else:
        raise AssertionError("no vector was taken apart")
    with pytest.raises(InputError, match="does not show"):
        result_of(bench.run(parts(measure="words:kettledrum", max_new_tokens=4)))
    with pytest.raises(InputError, match="shows regex:. too"):
        result_of(bench.run(parts(measure="regex:.", max_new_tokens=4)))


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"measure": "logits:a"}, "two answers"),
        ({"measure": "mood:good"}, "“mood” is not one"),
        ({"vector": 9}, "no vector 9"),
        ({"radius": 0.0}, "0 changes nothing"),
        ({"keep": 1.0}, "keep"),
        ({"exact": 0}, "exact"),
        ({"random": 2}, "random vectors"),
        ({"bank": "nobody"}, "nobody"),
        ({"prompt": Prompt("long " * 60)}, "reads at most"),
        ({"measure": "logits:Ġ , "}, "two answers"),
    ],
)
def test_what_cannot_be_measured_is_named(ready, changed, problem):
    bench, _ = ready
    with pytest.raises(InputError, match=problem):
        result_of(bench.run(parts(**changed)))


def test_a_bank_of_the_last_block_is_refused(ready):
    bench, bank = ready
    record = bank.record.model_copy(update={"name": "last", "source": 3, "target": None})
    bench.bench.banks.save(type(bank)(record, bank.vectors))
    with pytest.raises(InputError, match="last block"):
        result_of(bench.run(parts(bank="last")))


def test_a_model_without_gradients_is_named(ready, monkeypatch):
    bench, _ = ready
    asked, _ = strong(bench)

    def refuse(*_args, **_kwargs):
        raise RuntimeError("element 0 of tensors does not require grad")

    monkeypatch.setattr(torch.autograd, "grad", refuse)
    bench.bench.circuits = type(bench.bench.circuits)(bench.settings.cache_dir / "others")
    with pytest.raises(InputError, match="passes on no gradients"):
        result_of(bench.run(asked))


def test_what_does_not_fit_into_memory_is_refused_with_numbers(ready, monkeypatch):
    bench, _ = ready
    monkeypatch.setattr("melbo_app.engine.patching_memory.budget", lambda lm, memory_gb: 10_000)
    with pytest.raises(InputError, match="tokens needs .* may be used"):
        result_of(bench.run(parts()))


def test_the_map_has_a_cell_for_each_part_and_rings_for_the_set():
    cells = [Cell(2, "0", 0.5, True, True), Cell(2, "1", -0.1, False, False), Cell(2, "MLP", 0.2, True, False)]
    heat, rings = circuit_figure(cells).data
    assert list(map(list, heat.z)) == [[0.5, -0.1, 0.2]] and heat.customdata[0][2] == [2]
    assert "exactly" in heat.hovertext[0][0] and "estimated" in heat.hovertext[0][1]
    assert list(rings.x) == [0] and list(rings.y) == [2]


def test_intervals_of_means():
    mean, low, high = mean_of([0.0, 1.0, 2.0, 3.0])
    assert mean == 1.5 and 0.3 < low < mean < high < 2.7
    assert mean_of([2.0] * 5) == (2.0, 2.0, 2.0)


def test_lines_of_a_circuit_without_an_effect():
    found = Circuit(
        model="m", spec="m", model_hash="h", dtype="float32", bank="b", bank_hash="h", vector=0, radius=1.0,
        own_radius=True, source=1, prompt=PromptRecord(user="hello"), measure="logits:A,B", keep=0.8, exact=3, random=4,
        max_new_tokens=4, seed=0, tokens=9, answers=("A", "B"), unsteered=0.0, steered=0.1,
        random_effects=(0.2, 0.0, -0.3, 0.05), created=datetime.now(UTC),
    )  # fmt: skip
    [line] = lines_of(found)
    assert "+0.10 nats, and 2 of 4 random vectors" in line
