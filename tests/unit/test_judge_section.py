"""The judge's section of the page: what is wrong is told in a sentence that names the field, and nothing is sent."""

from types import SimpleNamespace

import gradio as gr
import pytest
from benches import save_tiny, settings

from melbo_app.library.judges import JudgeScore, JudgeScores
from melbo_app.studies.judge_endpoint import KEY
from melbo_app.ui.assistant_fields import ENDPOINT, LOADED
from melbo_app.ui.tabs.judge import JudgeSection
from melbo_app.workbench import Workbench

HERE, ELSEWHERE = (SimpleNamespace(client=SimpleNamespace(host=host)) for host in ("127.0.0.1", "192.0.2.7"))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    folder = tmp_path_factory.mktemp("judge")
    return Workbench(settings(folder / "cache", save_tiny(folder / "tiny", max_position_embeddings=1024)))


@pytest.fixture
def section(bench: Workbench) -> JudgeSection:
    with gr.Blocks():
        return JudgeSection(bench)


@pytest.mark.parametrize(
    ("person", "key", "url", "model", "words"),
    [
        (HERE, None, "https://host/v1", "", "Write the endpoint's address and its model's name."),
        (HERE, None, "https://host/v1", "  ", "Endpoint model: none was given. "),
        (HERE, None, "host/v1", "big", "Endpoint: “host/v1” is not an address. "),
        (HERE, "k", "https://host/v1#x", "big", "Endpoint: the address contains a #. "),
        (
            ELSEWHERE,
            "k",
            "https://host/v1",
            "big",
            "Endpoint: only the operator's endpoint can be used",
        ),
        (
            ELSEWHERE,
            None,
            "https://host/v1",
            "big",
            "Endpoint: only the operator's endpoint can be used",
        ),
    ],
)
def test_an_endpoint_that_cannot_be_used_is_refused_by_the_field(section, monkeypatch, person, key, url, model, words):
    monkeypatch.delenv(KEY, raising=False)
    if key:
        monkeypatch.setenv(KEY, key)
    button, told = section.look(person, ENDPOINT, url, model).values()
    assert not button.interactive and told["lines"][0].startswith(words)


def test_each_loaded_model_is_a_judge_of_its_own_and_the_button_follows_its_score(section, bench, tmp_path):
    assert section.look(ELSEWHERE, LOADED, "", "")[section.message]["lines"] == ["The model is not loaded yet."]
    bench.load_model(bench.settings.model)
    button, told = section.look(ELSEWHERE, LOADED, "", "").values()
    assert not button.interactive and told["lines"][0].startswith("tiny was never compared with the reader: off.")
    identity = bench.judge_standing().judge
    best = JudgeScore(judge=identity, texts=70, same=63, same_readable=70)
    JudgeScores(bench.settings.cache_dir / "judges.json").keep(best)
    button, told = section.look(ELSEWHERE, LOADED, "", "").values()
    assert button.interactive
    assert told["lines"] == ["tiny agrees with the reader on 63 of 70, the built-in verdict on 61 of 70: on"]
    bench.load_model(str(save_tiny(tmp_path / "other", hidden_size=48, intermediate_size=96)))
    button, told = section.look(ELSEWHERE, LOADED, "", "").values()
    assert not button.interactive and told["lines"][0].startswith("other was never compared")
