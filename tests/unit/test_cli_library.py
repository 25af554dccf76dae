"""The library's commands: searching, checking, rebuilding, keeping a size, and the history of labels."""

import getpass
import json
from datetime import UTC, datetime

import numpy as np
import pytest
from benches import StubEmbedder, settings
from test_answers import answered
from test_cli import Ask, ask, cache, environment  # noqa: F401
from test_completions import SCORES, baseline, steered

from melbo_app.library.bank import Bank, BankRecord, PromptRecord
from melbo_app.library.completions import Completions
from melbo_app.library.database import Database
from melbo_app.workbench import Workbench

RECORD = BankRecord(
    name="ships", model="tiny", model_hash="ab" * 32, hidden_size=2, source=1, radius=1.0, method="joint",
    prompts=[PromptRecord(user="Who sails?")], created=datetime(2026, 11, 21, tzinfo=UTC),
)  # fmt: skip
BANK = Bank(RECORD, np.eye(2, dtype=np.float32))


@pytest.fixture
def bench(cache, environment, model_folder):  # noqa: F811
    made = Workbench(settings(cache, model_folder))
    made.bench.banks.save(BANK)
    return made


@pytest.fixture
def completions(bench, cache):  # noqa: F811
    found = Completions(Database(cache / "melbo.sqlite"))
    of_bank = {"bank": "ships", "bank_hash": BANK.hash}
    found.add_comparison({}, [
        baseline(text="I sail."), steered(**of_bank, vector=0, text="No  sails\nhere", scores=SCORES),
        steered(**of_bank, vector=1, text="x" * 200),
    ])  # fmt: skip
    return found


def test_a_search_looks_through_banks_labels_and_completions(ask: Ask, completions):  # noqa: F811
    ask("labels", "set", "ships", 1, "--name", "Sailor", "--tag", "sea")
    told = ask("library", "search", "sail", "--json").json
    assert told["banks"] == ["ships"] and [entry["name"] for entry in told["labels"]] == ["Sailor"]
    assert [entry["text"] for entry in told["completions"]] == ["No  sails\nhere", "I sail."]
    assert ask("library", "search", "sail", "--limit", 1).out.splitlines() == [
        "bank ships: 2 vectors", "label ships 1: Sailor [sea]", "completion 2: ships 0, R = -8.5: No sails here",
    ]  # fmt: skip
    assert ask("library", "search", "nowhere").out == "“nowhere” was not found.\n"
    assert ask("library", "search", " ").sentence == "text: it is empty. Write what to search for."


def test_a_search_by_meaning_says_how_many_texts_are_left_out(ask: Ask, completions, monkeypatch):  # noqa: F811
    monkeypatch.setattr("melbo_app.analysis.embedding.Embedder", lambda folder: StubEmbedder())
    words = ("library", "search", "I sail.", "--meaning")
    assert ask(*words, "--seconds", 0, "--json").json == {"completions": [], "chat": [], "compared": 0, "left_out": 3}
    told = ask(*words, "--limit", 2, "--json").json
    assert (told["compared"], told["left_out"], len(told["completions"])) == (3, 0, 2)
    assert told["completions"][0]["text"] == "I sail." and told["completions"][0]["cosine"] == 1
    assert ask(*words, "--limit", 1).out.splitlines() == ["1.00  1: [1] baseline, R = 0: I sail.", "3 texts compared."]
    assert ask("library", "search", " ", "--meaning").sentence == "text: it is empty. Write a sentence to compare with."


def test_answers_of_conversations_are_found_by_words_and_by_meaning(ask: Ask, bench, monkeypatch):  # noqa: F811
    turn = answered(bench, "Who are you?", "I sail the sea.", "I am a model.")
    [entry] = ask("library", "search", "SAIL", "--json").json["chat"]
    assert (entry["conversation"], entry["turn"], entry["column"]) == (1, turn, "steered")
    assert (entry["text"], entry["message"], entry["vector"]) == ("I sail the sea.", "Who are you?", 3)
    line = f"conversation 1, turn {turn}, vector 3, R = 9: I sail the sea."
    assert ask("library", "search", "sail").out.splitlines() == ["bank ships: 2 vectors", f"chat {line}"]
    monkeypatch.setattr("melbo_app.analysis.embedding.Embedder", lambda folder: StubEmbedder())
    told = ask("library", "search", "I sail the sea.", "--meaning")
    assert told.out.splitlines()[0] == f"1.00  {line}" and told.out.splitlines()[-1] == "2 texts compared."


def test_completions_are_filtered(ask: Ask, completions):  # noqa: F811
    def ids(*words):
        return [entry["id"] for entry in ask("library", "completions", *words, "--json").json["completions"]]

    assert ids() == [3, 2, 1] and ids("--limit", 1) == [3]
    assert ids("--bank", "ships") == [3, 2] and ids("--bank", "ships", "--vector", 0) == [2]
    assert ids("--verdict", "readable") == [2] and ids("--text", "i sail") == [1]
    assert ask("library", "completions", "--vector", 1).out == f"3: ships 1, R = -8.5: {'x' * 99}…\n"
    assert ask("library", "completions", "--text", "nowhere").out == "No completions match.\n"


def test_labels_are_filtered_and_have_a_history(ask: Ask, bench):  # noqa: F811
    ask("labels", "set", "ships", 0, "--name", "old", "--rating", 2)
    ask("labels", "set", "ships", 0, "--name", "new", "--tag", "sea", "--note", "n")
    ask("labels", "set", "ships", 1, "--name", "other", "--rating", 5)
    told = ask("labels", "history", "ships", 0, "--json").json["history"]
    assert [(entry["name"], entry["author"]) for entry in told] == [
        ("new", getpass.getuser()), ("old", getpass.getuser()),
    ]  # fmt: skip
    first, second = ask("labels", "history", "ships", 0).out.splitlines()
    assert first.endswith(f" {getpass.getuser()}: new [sea], 2 of 5 n") and second.endswith("old [], 2 of 5")
    assert ask("labels", "list", "--rating", 3).out == "ships 1: other []\n"
    assert ask("labels", "list", "--tag", "sea", "--text", "NEW").out == "ships 0: new [sea]\n"
    assert ask("labels", "list", "--tag", "lake").out == "No labels match.\n"
    bench.save_label("ships", 0)
    assert ask("labels", "history", "ships", 0).out.splitlines()[0].endswith(": removed")
    assert ask("labels", "history", "ships", 2).sentence == "vector: “ships” has no vector 2. Choose 0 to 1."


def test_a_check_names_what_is_wrong_and_says_so_by_its_code(ask: Ask, bench, cache):  # noqa: F811
    assert ask("library", "check").out == "Nothing is missing or damaged.\n"
    (cache / "banks" / "copied.safetensors").write_bytes(BANK.to_bytes())
    told = ask("library", "check")
    assert told.code == 1 and told.out.splitlines() == [
        "bank “copied”: its file is not in the database yet. Run: python -m melbo_app library rebuild.",
        "1 problem in total.",
    ]
    as_json = ask("library", "check", "--json")
    assert as_json.code == 1 and json.loads(as_json.out)["wrong"] == 1


def test_what_a_deleted_bank_left_behind_is_a_note_and_nothing_wrong(ask: Ask, completions):  # noqa: F811
    ask("banks", "delete", "ships")
    told = ask("library", "check")
    assert told.code == 0 and told.out.splitlines() == [
        f"(note) bank “ships”: 2 completions of the vectors {BANK.hash[:16]}, which no bank holds now.",
        "Nothing is missing or damaged.",
    ]


def test_a_rebuild_makes_a_lost_catalogue_again(ask: Ask, bench, cache):  # noqa: F811
    for file in cache.glob("melbo.sqlite*"):
        file.unlink()
    (cache / "banks" / "broken.safetensors").write_bytes(b"")
    told = ask("library", "rebuild")
    assert told.code == 0 and told.out.splitlines() == [
        "broken was left out: bank file: it is cut short or not a safetensors file. Copy or download it again.",
        "The catalogue now holds: banks 1, vectors 2, runs 1, models 1, prompts 1.",
    ]
    (cache / "banks" / "ships.safetensors").unlink()
    again = ask("library", "rebuild", "--json").json
    assert (again["removed"], again["banks"], again["runs"]) == (["ships"], 0, 1)


def test_gc_keeps_a_size_and_says_what_it_did(ask: Ask, bench, cache):  # noqa: F811
    completions = Completions(Database(cache / "melbo.sqlite"))
    for _ in range(3):
        completions.add_comparison({}, [steered(text="x" * 50_000)])
    tried = ask("library", "gc", "--limit", "10kB", "--dry-run", "--json").json
    assert tried["dry_run"] and tried["removals"][0]["count"] == 2 and len(completions.recent()) == 3
    lines = ask("library", "gc", "--limit", "10kB").out.splitlines()
    assert lines[0].startswith("completions of the oldest comparisons: 2, ") and lines[0].endswith("were freed")
    assert lines[1].startswith("The cache took ") and lines[2].startswith("That is more than 10 kB, ")
    assert len(completions.recent()) == 1 and ask("banks", "--json").json["banks"][0]["name"] == "ships"
    assert ask("library", "gc", "--limit", "1GB").out.count("\n") == 1
    assert ask("library", "gc", "--limit", "lots").sentence == "limit: 'lots' is not a size. Write 500MB or 2GB."
    assert ask("library", "gc").sentence.startswith("Missing option '--limit'.")


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("nonsense", "MELBO_DATABASE_URL: it is not the address of a database. Write postgresql+psycopg://"),
        ("postgresql+nodriver://h/d", "MELBO_DATABASE_URL: the driver “postgresql+nodriver” is not installed."),
    ],
)
def test_a_database_that_cannot_be_reached_is_one_line(ask: Ask, monkeypatch, url, sentence):  # noqa: F811
    monkeypatch.setenv("MELBO_DATABASE_URL", url)
    assert ask("labels").sentence.startswith(sentence)


def test_another_file_can_be_the_database(ask: Ask, bench, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("MELBO_DATABASE_URL", f"sqlite:///{tmp_path / 'elsewhere.sqlite'}")
    ask("labels", "set", "ships", 0, "--name", "here")
    assert (tmp_path / "elsewhere.sqlite").exists() and ask("labels").out == "ships 0: here []\n"
    monkeypatch.delenv("MELBO_DATABASE_URL")
    assert ask("labels", "--json").json == {"labels": [], "damaged": []}


def test_a_check_names_the_copies_and_the_command_that_goes_back_to_one(ask: Ask, bench, cache):  # noqa: F811
    ask("labels", "set", "ships", 1, "--name", "Sailor")
    day = bench.copy_database()
    told = ask("library", "check")
    assert f"(note) copies of the database: those of {day} are sound. To go back to one: python -m" in told.out
    assert "library restore." in told.out and told.code == 0
    assert ask("library", "restore").sentence.startswith("copy: the database is sound")
    bench.bench.database.compact()
    bench.bench.database.close()
    file = cache / "melbo.sqlite"
    file.write_bytes(file.read_bytes()[:4096] + b"\xff" * (file.stat().st_size - 4096))
    told = ask("library", "check")
    assert told.code == 1 and f"It restores the copy of {day}" in told.out and "library restore" in told.out
    assert f"It restores the copy of {day}" in ask("labels").sentence
    told = ask("library", "restore", "--json").json
    assert (told["copy"], told["labels"], told["whole"]) == (day, 0, False)
    assert [entry["name"] for entry in ask("labels", "--json").json["labels"]] == ["Sailor"]
    assert ask("library", "check").code == 0
