"""Vector arithmetic: formulas give what is written in them, and are never code."""

import numpy as np
import pytest
from benches import PROMPT, QUICK, shelved, trained
from hypothesis import given
from hypothesis import strategies as st

from melbo_app.defaults import chosen, own_prompts
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.recipe import evaluate
from melbo_app.errors import InputError
from melbo_app.jobs.generators import result_of
from melbo_app.studies.completing import variants
from melbo_app.studies.steer import Steer
from melbo_app.studies.top_tokens import TopTokens

A = np.array([[3.0, 0, 0, 0], [0, 4, 0, 0], [1, 1, 1, 1]])
B = np.array([[0.0, 0, 2, 0], [0, 0, 0, 5]])


def rows_of(name):
    if name not in ("a", "b-question"):
        raise InputError("bank", f"there is no bank “{name}”")
    return A if name == "a" else B


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("'a'", A),
        ("a[1]", A[[1]]),
        ("'a'[0:2]", A[:2]),
        ("a[2, 0]", A[[2, 0]]),
        ("a[0] + 'b-question'[1]", [[3, 0, 0, 5]]),
        ("a - 'b-question'[0]", A - B[0]),
        ("a[0:2] - 'b-question'", A[:2] - B),
        ("-a[0] / 2", [[-1.5, 0, 0, 0]]),
        ("2 * a[0] - a[1] * 0.5", [[6, -2, 0, 0]]),
        ("mean(a)", [A.mean(axis=0)]),
        ("mean(a[0], 'b-question')", [(A[0] + B[0] + B[1]) / 3]),
        ("without(a[2], a[0])", [[0, 1, 1, 1]]),
        ("without(a[2], a[0:2], 'b-question'[0])", [[0, 0, 0, 1]]),
        ("without(a[2], join(a[0], 2 * a[0]))", [[0, 1, 1, 1]]),
        ("scaled(a, 8)", 8 * A / np.array([[3], [4], [2]])),
        ("join('b-question', a[0])", [*B, A[0]]),
        ("scaled(without(a[2], a[0]) + a[1], 2 * 3)", [6 * np.array([0, 5, 1, 1]) / np.sqrt(27)]),
    ],
)
def test_a_formula_gives_what_is_written_in_it(formula, expected):
    np.testing.assert_allclose(evaluate(formula, rows_of), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("", "it is empty"),
        ("   ", "it is empty"),
        ("a[", "cannot be read"),
        ("a[3]", "there is no vector 3. Choose from 0 to 2"),
        ("a[-1]", "is not a vector's number"),
        ("a[5:9]", "selects no vector"),
        ("a[0] + 1", "adds a number and a vector"),
        ("a * a", "multiplies two vectors"),
        ("1 / a", "divides by a vector"),
        ("a / 0", "divides by zero"),
        ("a + 'b-question'", "adds 3 and 2 vectors"),
        ("a[0] - a[0]", "row 0 of its result is zero"),
        ("without(a[0], a)", "row 0 of its result is zero"),
        ("without(a)", "nothing to remove"),
        ("scaled(a)", "needs vectors and a norm"),
        ("scaled(a, -1)", "-1 is not a norm"),
        ("scaled(3, 1)", "the first argument is the number 3"),
        ("3 + 4", "gives the number 7, not vectors"),
        ("2[0]", "the value before the [ is the number 2"),
        ("pow(a, 2)", "“pow” is not a function. The functions are mean, without, scaled, join"),
        ("a ** 9", "cannot be read"),
        ("a if a else a", "cannot be read"),
        ("a.shape", "cannot be read"),
        ("a[0] * 1e400", "not finite"),
        ("nobody[0]", "there is no bank “nobody”"),
        ("a" * 2001, "2,001 characters long"),
        ("(" * 900 + "a" + ")" * 900, "cannot be read"),
        ("-" * 1900 + "a", "cannot be read"),
        ("a[True]", "is not a vector's number"),
    ],
)
def test_what_cannot_be_computed_is_refused_in_words(formula, words):
    with pytest.raises(InputError) as refused:
        evaluate(formula, rows_of)
    assert words in str(refused.value)


@given(st.text(alphabet="ab'[]()+-*/.,:0123 mean_without\\x00é", max_size=60))
def test_any_text_is_computed_or_refused(formula):
    try:
        value = evaluate(formula, rows_of)
    except InputError:
        return
    assert value.ndim == 2 and value.shape[1] == 4 and np.isfinite(value).all()


def test_code_in_a_formula_is_never_run(tmp_path):
    path = tmp_path / "made"
    for formula in (f"open('{path}', 'w')", f"__import__('os').mkdir('{path}')", "[x for x in a]", "(lambda: a)()"):
        with pytest.raises(InputError):
            evaluate(formula, rows_of)
    assert not path.exists()


def test_a_combined_bank_has_its_recipe_and_steers(bench):
    bank = shelved(bench)
    made = bench.combine_banks(" a[0] - 0.5 * 'a'[2] ", "mix")
    assert bench.bank("mix").hash == made.hash
    np.testing.assert_allclose(made.vectors, bank.vectors[[0]] - 0.5 * bank.vectors[[2]], rtol=1e-6)
    record = made.record
    assert (record.method, record.formula, record.parts) == ("combined", "a[0] - 0.5 * 'a'[2]", {"a": bank.hash})
    assert (record.source, record.target, record.model_hash) == (QUICK.source, QUICK.target, bank.record.model_hash)
    assert record.radius == pytest.approx(QUICK.radius * 1.25**0.5, rel=1e-4)  # a bank's vectors are at right angles
    texts = result_of(
        bench.run(Steer(bank="mix", prompts=[PROMPT], vectors=[0], radii=[6.0], decoding=Decoding(4)))
    ).completions
    assert [entry.vector for entry in texts] == [None, 0]


def norms_of(comparison):
    return [(entry.vector, entry.radius) for entry in comparison.completions]


def test_a_combined_bank_is_steered_with_at_the_norms_that_the_formula_gave_it(bench):
    shelved(bench)
    bank = bench.combine_banks("join(0.2 * a[0], a[0], 5 * a[0])", "mix")
    assert (bank.record.radius, bank.norms) == (pytest.approx(6.0), pytest.approx((1.2, 6.0, 30.0)))
    found = result_of(
        bench.run(
            Steer(
                bank="mix", prompts=[PROMPT], vectors=[0, 1, 2], radii=None, decoding=Decoding(4), random_control=True
            )
        )
    )
    own = list(enumerate(bank.norms))
    assert norms_of(found) == [(None, 0.0), *(("random", norm) for _, norm in own), *own]
    kl = [entry.scores.kl_prompt for entry in found.completions[4:]]
    assert kl == sorted(kl) and kl[2] > 10 * kl[0] > 0
    both = result_of(
        bench.run(Steer(bank="mix", prompts=[PROMPT], vectors=[2], radii=None, decoding=Decoding(4), both_signs=True))
    )
    assert norms_of(both) == [(None, 0.0), (2, bank.norms[2]), (2, -bank.norms[2])]
    given = result_of(bench.run(Steer(bank="mix", prompts=[PROMPT], vectors=[0, 2], radii=[8.0], decoding=Decoding(4))))
    assert norms_of(given) == [(None, 0.0), (0, 8.0), (2, 8.0)]


def test_where_no_radius_is_given_it_is_that_of_each_vector(bench):
    shelved(bench)
    bench.combine_banks("join(a[0], 3 * a[0])", "mix")
    assert chosen(bench.bank("mix"), None, None) == ([0, 1], None)
    drawn = variants(bench.bank("mix"), [1, 0], None)
    assert [row.radius for row in drawn] == [0.0, pytest.approx(18.0), pytest.approx(6.0)]
    assert [row.radius for row in variants(bench.bank("a"), [0, 2], None, random_control=True)] == [0.0, 6.0, 6.0, 6.0]
    bench.combine_banks("1e7 * a[0]", "huge")
    with pytest.raises(InputError, match="R: 6e\\+07 cannot be used"):
        variants(bench.bank("huge"), [0], None)


def test_top_tokens_are_read_at_the_norms_of_the_bank_or_at_a_signed_radius(bench):
    shelved(bench)
    bench.combine_banks("join(a[0], 3 * a[0], -3 * a[0])", "mix")
    own = result_of(bench.run(TopTokens(bank="mix", count=3)))
    for row, radius in enumerate((6.0, 18.0, -18.0)):
        [same] = result_of(bench.run(TopTokens(bank="a", vectors=[0], count=3, radius=radius)))
        [given] = result_of(bench.run(TopTokens(bank="mix", vectors=[0], count=3, radius=radius)))
        for found in (same, given):
            for kind in ("promoted", "suppressed"):
                told, wanted = getattr(found, kind), getattr(own[row], kind)
                assert [token for token, _ in told] == [token for token, _ in wanted]
                assert [by for _, by in told] == pytest.approx([by for _, by in wanted], abs=1e-4)
    assert own[0].promoted != own[1].promoted != own[2].promoted


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("a[0] * 1e40", "row 0 holds infinity"),
        ("a[0] * 1e200", "row 0 holds infinity"),
        ("scaled(a, 1e20)", "row 0 has the norm 1e+20. Every vector needs a norm between 1e-09 and 1e+09"),
        ("a[0] * 1e-10", "row 0 of its result is zero"),
    ],
)
def test_vectors_that_no_bank_can_hold_are_refused_in_words(bench, formula, words):
    shelved(bench)
    with pytest.raises(InputError) as refused:
        bench.combine_banks(formula, "mix")
    assert str(refused.value).startswith("formula: ") and words in str(refused.value)
    assert [line.name for line in bench.banks()] == ["a"]


def test_a_combined_bank_has_the_prompts_of_all_its_banks(bench):
    other = Prompt("a heath")
    shelved(bench)
    trained(bench, "b", prompts=[PROMPT, other])
    made = bench.combine_banks("b[0] + a[0]", "mix")
    assert own_prompts(made, None, None) == [PROMPT, other]


def test_banks_of_other_layers_are_not_mixed(bench):
    shelved(bench)
    other = bench.bank("a")
    record = other.record.model_copy(update={"name": "b", "source": QUICK.source + 1, "target": None})
    bench.bench.banks.save(type(other)(record, other.vectors))
    with pytest.raises(InputError, match="“a” and “b” differ in their source layer"):
        bench.combine_banks("a[0] + b[0]", "mix")
    assert {line.name for line in bench.banks()} == {"a", "b"}


def test_a_name_that_is_taken_is_refused(bench):
    shelved(bench)
    with pytest.raises(InputError, match="name"):
        bench.combine_banks("a[0]", "a")
