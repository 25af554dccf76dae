"""What a chat template made of a prompt stands in every record, and is made again on another day."""

from datetime import date, datetime

import pytest
from benches import QUICK, listen, save_tiny, settings, trained
from test_chat_template import DATED

from melbo_app.defaults import own_prompts
from melbo_app.engine.chat_template import render
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.library.bank import Bank, PromptRecord
from melbo_app.studies.steer import Steer
from melbo_app.studies.trained_bank import is_of
from melbo_app.studies.training_command import command
from melbo_app.workbench import Workbench


@pytest.fixture
def bench(tmp_path):
    return Workbench(settings(tmp_path / "cache", save_tiny(tmp_path / "tiny", chat_template=DATED)))


def test_a_bank_keeps_the_day_and_what_was_rendered(bench):
    bank = trained(bench, prompts=[Prompt("hello", "be brief")])
    [prompt] = bank.record.prompts
    assert prompt.template == f"date={date.today().isoformat()}"
    assert prompt.rendered == render(bench.bench.model.get(), Prompt("hello", "be brief")).text
    assert f"--template {prompt.template}" in bank.record.command
    assert is_of(bank.record, [Prompt("hello", "be brief")], QUICK)
    assert not is_of(bank.record, [Prompt("hello", "be brief", template=False)], QUICK)
    again = Bank.from_bytes(bank.to_bytes())
    assert again.record.prompts == bank.record.prompts


def test_a_bank_of_another_day_is_steered_on_the_prompt_that_it_was_trained_on(bench):
    bank = trained(bench, prompts=[Prompt("hello", template="date=2024-07-26")])
    [own] = own_prompts(bank, None, None)
    _, comparison = listen(bench.run(Steer(bank="a", prompts=[own], vectors=[0], radii=[6.0], decoding=Decoding(2))))
    for entry in comparison.completions:
        assert entry.prompt.rendered.startswith("26 Jul 2024\n")
    assert bench.comparison(comparison.id) == comparison
    [other] = own_prompts(bank, None, True)
    assert render(bench.bench.model.get(), other).text.startswith(datetime.now().strftime("%d %b %Y"))


def test_a_plain_prompt_has_no_rendering():
    assert PromptRecord.of(Prompt("hello", template=False)).model_dump() == {
        "user": "hello", "system": None, "template": False,
    }  # fmt: skip
    assert command("m", [Prompt("hello", template="tool_use a=b")], QUICK, "n").count("--template 'tool_use a=b'") == 1
