"""A report: one page with all texts, labels and commands, which needs no network and runs nothing that it shows."""

import codecs
import csv
import io
import json
import re
import shlex
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
import yaml
from benches import PROMPT, StubEmbedder, listen, shelved
from typer.main import get_command

from melbo_app.cli import build
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.errors import InputError
from melbo_app.jobs.generators import result_of
from melbo_app.studies.report import MakeReport
from melbo_app.studies.report_page import report_page
from melbo_app.studies.report_table import csv_table, json_lines
from melbo_app.studies.steer import Steer
from melbo_app.studies.steering_command import steering_command
from melbo_app.workbench import Workbench

HOSTILE = "</script><img src=x onerror=alert(1)>${window.hurt=1}"
ASKED: dict[str, Any] = {"bank": "a", "prompts": (PROMPT,), "decoding": Decoding(4)}


class Reader(HTMLParser):
    """The tags of a page with their attributes, and its words without scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self._silent = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._silent = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._silent = False

    def handle_data(self, data: str) -> None:
        self.words += "" if self._silent else data

    def addresses(self) -> Iterator[str]:
        for _, given in self.tags:
            yield from (given[name] or "" for name in ("src", "href", "action", "data", "poster") if name in given)


@pytest.fixture
def steered(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> Workbench:
    monkeypatch.setattr(bench.bench, "embedder", StubEmbedder())
    shelved(bench)
    result_of(bench.run(Steer(**ASKED, radii=[9.0], vectors=(0, 1))))
    result_of(bench.run(Steer(**ASKED, radii=[6.0], vectors=(0, 1))))
    return bench


def report(bench: Workbench, **asked: Any) -> Any:
    return result_of(bench.run(MakeReport(**asked)))


def test_a_report_has_all_texts_at_every_r_and_what_made_them(steered):
    steered.save_label("a", 1, name="the moon", tags=["sky"], rating=4, note="it glows")
    heard, found = listen(steered.run(MakeReport(bank="a")))
    assert [one.stage for one in heard] == ["gathering the texts", "laying the texts out", "comparing the vectors"]
    assert {(one.vector, one.radius) for one in found.texts} == {(None, 0), (0, 6), (1, 6), (0, 9), (1, 9)}
    assert found.comparison.settings["radii"] == [6.0] and found.left_out == []
    assert len(found.map.points) == 5 and found.similarity.delta.shape == (3, 3)
    seen = Reader(report_page(found))
    for one in found.texts:
        assert " ".join(one.text.split()) in " ".join(seen.words.split())
    for words in ("the moon", "sky", "★★★★", "it glows", "R 6", "R 9", found.bank.hash, found.texts[0].model_hash):
        assert words in seen.words
    assert found.bank.record.command in seen.words


def test_a_report_asks_nothing_of_any_network(steered):
    page = report_page(report(steered, bank="a"))
    seen = Reader(page)
    assert {one for one in seen.addresses() if not one.startswith(("data:", "#"))} == set()
    [policy] = [given["content"] for tag, given in seen.tags if tag == "meta" and "http-equiv" in given]
    assert policy.startswith("default-src 'none';") and "http" not in policy
    assert not re.search(r"url\((?!data:)|@import", re.sub(r"<script>.*?</script>", "", page, flags=re.S))
    assert len(page.encode()) < 10_000_000


def test_hostile_text_is_text(steered):
    steered.save_label("a", 0, name=HOSTILE, tags=[HOSTILE[:40]], note=HOSTILE)
    made = report(steered, comparison=steered.comparisons()[0].id)
    texts = [one.model_copy(update={"text": HOSTILE}) for one in made.texts]
    points = [type(one)(**(vars(one) | {"text": HOSTILE, "label": HOSTILE})) for one in made.map.points]
    map = type(made.map)(**(vars(made.map) | {"points": points}))
    hostile = type(made)(**(vars(made) | {"texts": texts, "map": map}))
    page = report_page(hostile)
    seen = Reader(page)
    assert [tag for tag, _ in seen.tags if tag == "img"] == [] and "<img" not in page
    assert seen.words.count(HOSTILE) >= len(texts) + 2


def test_vectors_that_left_the_shelf_and_a_missing_bank_are_said(steered):
    id = steered.comparisons()[0].id
    steered.delete_bank("a")
    found = report(steered, comparison=id)
    assert found.bank is None and found.similarity is None
    assert found.left_out == ["The vectors are in no bank on the shelf: their labels and similarities are missing."]
    assert found.left_out[0] in Reader(report_page(found)).words
    for asked, part in (({}, "needs a bank or a comparison"), ({"bank": "a", "comparison": 1}, "Name one of the two")):
        with pytest.raises(InputError, match=part):
            report(steered, **asked)


def test_a_bank_without_texts_is_refused(bench):
    shelved(bench)
    with pytest.raises(InputError, match="no texts of “a” are stored. Steer with it first"):
        report(bench, bank="a")


@pytest.mark.parametrize(
    "changes",
    [
        {"vectors": (0, 2), "radii": [6.0, -3.5]},
        {"decoding": Decoding(5, temperature=0.7, top_p=0.9, seed=3), "vectors": (1,), "radii": [9.0]},
        {"random_control": True, "decoding": Decoding(4, seed=5), "vectors": (1,), "radii": [2.0]},
        {"prompts": (Prompt("it's \"odd\"; $HOME", template=False), Prompt("two", template=False)), "vectors": (0,)},
        {"prompts": (Prompt("hi", "be brief"),), "vectors": (2,), "radii": [6.0]},
    ],
)  # fmt: skip
def test_the_command_makes_the_same_texts_again(steered, changes):

    made = result_of(steered.run(Steer(**{**ASKED, "radii": [6.0], **changes})))
    words = shlex.split(steering_command("a", made.completions) or "")
    assert words[:4] == ["python", "-m", "melbo_app", "steer"]
    given = get_command(build()).get_command(None, "steer").make_context("steer", words[4:]).params
    asked = made.settings
    assert given["bank"] == "a" and list(given["prompts"]) == [one["user"] for one in asked["prompts"]]
    assert [int(one) for one in given["vectors"].split(",")] == asked["vectors"]
    assert [float(one) for one in given["radii"].split(",")] == asked["radii"]
    decoding = asked["decoding"]
    assert given["max_new_tokens"] == decoding["max_new_tokens"] and given["temperature"] == decoding["temperature"]
    if decoding["temperature"]:
        assert (given["top_p"], given["seed"]) == (decoding["top_p"], decoding["seed"])
    assert given["random_control"] == asked["random_control"]
    assert given["system"] == asked["prompts"][0]["system"]
    assert given["no_template"] == (asked["prompts"][0]["template"] is False)


def test_no_command_is_given_where_none_makes_the_texts(steered):
    made = steered.comparison(steered.comparisons()[0].id).completions
    assert steering_command(None, made) is None
    assert steering_command("a", [one for one in made if one.vector is None]) is None
    other = made[0].model_copy(update={"prompt": made[0].prompt.model_copy(update={"system": "other"})})
    assert steering_command("a", [*made, other]) is None


def test_the_texts_are_a_table_with_what_made_each_and_its_label(steered, tmp_path):
    steered.save_label("a", 1, name="=cmd()", tags=["ciel", "étoile"], rating=4, note="")
    found = report(steered, bank="a", only_texts=True)
    assert (found.map, found.similarity) == (None, None)
    lines = [json.loads(line) for line in json_lines(found).decode().splitlines()]
    assert [(one["vector"], one["R"]) for one in lines] == [(one.vector, one.radius) for one in found.texts]
    [labelled] = [one for one in lines if one["vector"] == 1 and one["R"] == 9]
    assert (labelled["label"], labelled["tags"], labelled["rating"]) == ("=cmd()", ["ciel", "étoile"], 4)
    assert (labelled["prompt"], labelled["bank_hash"]) == (PROMPT.user, found.bank.hash)
    table = csv_table(found)
    assert table.startswith(codecs.BOM_UTF8)  # Excel takes accents for another encoding without it
    read = list(csv.DictReader(io.StringIO(table.decode("utf-8-sig"))))
    assert [one["text"] for one in read] == [one["text"] for one in lines]
    assert {one["label"] for one in read} == {"", "'=cmd()"}  # a spreadsheet would run it


def test_a_dataset_folder_has_a_card_that_names_its_file(steered, tmp_path):
    found = report(steered, bank="a", only_texts=True)
    folder = steered.export_report(found, tmp_path / "data")
    assert sorted(one.name for one in folder.iterdir()) == ["README.md", "texts.jsonl"]
    _, head, words = (folder / "README.md").read_text("utf-8").split("---\n", 2)
    facts = yaml.safe_load(head)
    assert facts["configs"] == [{"config_name": "default", "data_files": "texts.jsonl"}]
    assert found.texts[0].model_hash in words
    assert (folder / "texts.jsonl").read_bytes() == json_lines(found)
    with pytest.raises(InputError, match="already exists"):
        steered.export_report(found, folder, overwrite=True)
