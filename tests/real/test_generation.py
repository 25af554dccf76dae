"""Texts of the bundled model: those that transformers itself generates, and the same in any company."""

import pytest
import torch

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.encoding import encode
from melbo_app.engine.generation import Rows, generate
from melbo_app.engine.prompt import Prompt
from melbo_app.jobs.generators import result_of
from melbo_app.library.bank import Bank
from melbo_app.studies.steer import Steer
from melbo_app.workbench import EXAMPLE, Workbench

TOKENS = 24
FRANCE = Prompt("What is the capital of France? Tell me a little about it.", "You are a friendly guide.")


def by_transformers(bench: Workbench, prompt: Prompt, theta: torch.Tensor | None, source: int) -> str:
    """Greedy text from transformers' own loop, with its own template, steered by a hook of this test's own."""
    lm = bench.bench.model.get()
    messages = [{"role": "user", "content": prompt.user}]
    if prompt.system:
        messages.insert(0, {"role": "system", "content": prompt.system})
    ids = lm.tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=False, tokenize=True
    )
    handles = []
    if theta is not None:
        handles.append(lm.model.model.layers[source].register_forward_hook(lambda _m, _a, out: out + theta))
    made = lm.model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=TOKENS)
    for handle in handles:
        handle.remove()
    return lm.tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True)


def test_the_baseline_says_what_transformers_generate_says(bench: Workbench, bomb: Bank):
    prompts = [EXAMPLE, FRANCE]
    comparison = result_of(
        bench.run(
            Steer(bank="bomb", prompts=prompts, vectors=[3], radii=[bomb.record.radius], decoding=Decoding(TOKENS))
        )
    )
    baselines = comparison.completions[:2]
    assert max(entry.tokens for entry in baselines) >= 20
    assert [entry.text for entry in baselines] == [by_transformers(bench, prompt, None, 0) for prompt in prompts]
    assert "Paris" in baselines[1].text
    theta = torch.tensor(bomb.vectors[3])
    steered = comparison.completions[2:]
    assert [entry.text for entry in steered] == [
        by_transformers(bench, prompt, theta, bomb.record.source) for prompt in prompts
    ]
    assert steered[0].text != baselines[0].text


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_a_text_does_not_depend_on_what_else_is_asked_for(bench: Workbench, bomb: Bank, temperature: float):
    lm = bench.bench.model.get()
    thetas = torch.cat([torch.zeros(1, lm.hidden_size), torch.tensor(bomb.vectors[:2])])
    prompts, decoding = [EXAMPLE, FRANCE], Decoding(8, temperature, seed=3)

    def texts(rows: torch.Tensor, wanted: list[Prompt]) -> list[str]:
        *_, last = generate(Rows(lm, encode(lm, wanted), rows, bomb.record.source, decoding))
        return last.texts

    together = texts(thetas, prompts)
    for at in (0, 3, 4):  # each vector and each prompt once
        assert together[at] == texts(thetas[at // 2][None], [prompts[at % 2]])[0]
    assert len(set(together)) >= 5
