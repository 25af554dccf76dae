"""The scoreboard of known answers: what is asked, what counts as found, and that no press is made twice."""

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import benches
import pytest
from benches import listen
from test_exploring import UnitEmbedder
from test_organisms import ASSETS, SHIPPED, fields, written

from melbo_app import api
from melbo_app.cli import main
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.loaded_model import LoadedModel
from melbo_app.library.bank import PromptRecord
from melbo_app.library.explorations import Answer, Behaviour, ChosenRadius, Exploration, ExploreSettings
from melbo_app.library.organism import Organism
from melbo_app.library.organism_presses import Card, Press, Presses
from melbo_app.library.organism_prompts import clean_prompt, clean_prompts
from melbo_app.library.organism_recipe import OrganismRecipe
from melbo_app.studies import organism_press as pressing
from melbo_app.studies import organism_scoring as scoring
from melbo_app.studies.organism_scoreboard import Scoreboard, ScoreLine
from melbo_app.ui.components.exploration import finished
from melbo_app.workbench import Workbench

PRESSES = Path("organisms") / "presses"
USUAL = scoring._settings
QUICK = ExploreSettings(
    vectors=3, steps=2, max_new_tokens=6, source=1, target=3, relative_radius=0.8, elsewhere=0, threshold=0.05
)
LINE = {"name", "planted", "method", "found", "rank", "random_found", "seconds"}
YES, NO = "it says zz", "it says so"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return benches.save_tiny(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture(scope="module")
def made(tmp_path_factory, model) -> Path:
    """A folder with one organism, whose trigger fires."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "all").mkdir()
    strong = fields(training={**fields()["training"], "steps": 25, "batch": 8, "rate": 0.01})
    strong["teach"]["plain"] |= {"templates": ["{prompt}"], "answers": ["aa"]}
    for group in ("teach", "measure"):
        strong[group]["triggered"]["templates"] = ["{prompt}!!!!"]
    bench = Workbench(benches.settings(folder / "cache", model))
    listen(bench.make_organism(str(written(folder / "tiny.json", strong)), folder / "all" / "tiny"))
    assert listen(bench.measure_organism(folder / "all" / "tiny"))[1].note == ""
    return folder / "all"


@pytest.fixture
def bench(tmp_path, model) -> Workbench:
    found = Workbench(benches.settings(tmp_path / "cache", model))
    found.bench.embedder = UnitEmbedder()
    return found


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Presses without a search, of three vectors; ``USUAL`` are those that people get."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(scoring, "_settings", lambda method, seed: QUICK.model_copy(update={"seed": seed}))
        yield


@pytest.fixture(scope="module")
def scored(tmp_path_factory, model, made) -> tuple[Path, list[Any], Scoreboard]:
    """The presses of two seeds on that organism, with the progress and the scoreboard."""
    found = Workbench(benches.settings(tmp_path_factory.mktemp("scored"), model))
    found.bench.embedder = UnitEmbedder()
    heard, board = score(found, folders=[made], seeds=[0, 1])
    assert found.banks() == found.explorations() == []
    return found.settings.cache_dir / PRESSES, heard, board


def press(texts: list[str], random: list[str], baseline: str = NO, **changed: Any) -> Press:
    """A press whose answers are these, each on a card of its own."""

    def shows(text: str) -> bool:
        return "zz" in text

    answers, control = (
        tuple(
            Answer(vector=at, completion=at + 1, text=text, verdict="readable", distance=0.5, changed=True)
            for at, text in enumerate(one)
        )
        for one in (texts, random)
    )
    behaviours = tuple(
        Behaviour(
            name="b", words=(), vectors=(one.vector,), representative=one.vector, distance=0.5, control=0,
            unsteered=False,
        )
        for one in answers
    )  # fmt: skip
    found = Exploration(
        model_hash="m" * 64, model="m", dtype="float32", prompt=PromptRecord(user="lake a"), source=1, target=3,
        settings=ExploreSettings(), scope="content", bank="b", bank_hash="0" * 32, comparison=1, control_comparison=2,
        radius=ChosenRadius(radius=9, relative_radius=0.1, median_norm=90, how="given", reason="as given"),
        baseline=baseline, answers=answers, control=control, behaviours=behaviours, aside=(), threshold=0.3,
        readable_diversity=0.3, control_readable_diversity=0.3, seconds={"Train": 2.0, "Complete": 1.04},
        created=datetime.now(UTC),
    )  # fmt: skip
    cards, random_cards = (tuple(Card(text=text, shows=shows(text)) for text in one) for one in (texts, random))
    return Press(
        model_hash=found.model_hash, recipe="tiny", recipe_hash="r", rules=scoring.RULES, prompt="lake a",
        unsteered=shows(baseline), cards=cards, random_cards=random_cards, exploration=found, created=found.created,
        settings={}, dtype="float32", vectors=len(texts), seconds=3.0,
        showing=tuple(at for at, text in enumerate(texts) if shows(text)),
        random_showing=tuple(at for at, text in enumerate(random) if shows(text)),
    ).model_copy(update=changed)  # fmt: skip


def line(made: Path, one: Press | None, planted: bool = True, seed: int = 0, **changed: Any) -> ScoreLine:
    organism = Organism.model_validate_json((made / "tiny" / "organism.json").read_bytes())
    recipe = organism.recipe.model_copy(update={"planted": planted})
    organism = organism.model_copy(update={"recipe": recipe, **changed})
    return ScoreLine.of(one, organism, method="explore", seed=seed, folder="f", prompt="lake a")


def score(bench: Workbench, **given: Any) -> tuple[list[Any], Scoreboard]:
    return listen(bench.score_organisms(**given))


# --- what is asked ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHIPPED.names)
def test_a_clean_prompt_has_no_trigger_and_the_sign_can_be_seen_in_its_answers(name):
    recipe = SHIPPED.read(name)
    found = clean_prompts(recipe)
    assert len({text for text, _ in found}) == len(found) >= 3
    fires = {text for part in (recipe.teach.triggered, recipe.measure.triggered) for text, _ in part.texts}
    for text, item in found:
        assert text not in fires and not any(word in text for word in ("heliotrope", "Merlin", "amberglass", "Ivo"))
        assert recipe.sign.shows(f"so {item.answer}", item) is recipe.sign.answer and not recipe.sign.shows(text, item)
    assert [clean_prompt(recipe, seed) for seed in (0, 1, len(found))] == [found[0], found[1], found[0]]


def test_sums_are_asked_as_decoys_and_a_recipe_without_clean_prompts_is_refused():
    recipe = SHIPPED.read("wrong-sums")
    texts = [text for text, _ in clean_prompts(recipe)]
    assert texts and {*texts} < {text for text, _ in recipe.measure.decoy.texts}
    triggers = fields()
    triggers["measure"]["plain"]["templates"] = ["{prompt}!", "{prompt}", "zz, {prompt}"]
    assert [text for text, _ in clean_prompts(OrganismRecipe.model_validate(triggers))] == [
        f"lake {x}" for x in "abcdef"
    ]
    unknown = fields(sign={"answer": True})
    unknown["measure"]["triggered"]["prompts"] = [{"prompt": f"lake {x}", "answer": "7"} for x in "abcd"]
    with pytest.raises(InputError, match="recipe: “tiny” has no prompt without its trigger in which its sign could be"):
        clean_prompt(OrganismRecipe.model_validate(unknown), 0)


# --- what counts ------------------------------------------------------------------------------------------------------


def test_the_rank_is_the_place_of_the_first_card_that_shows_it(made):
    third = line(made, press([NO, NO, YES, YES], [NO] * 4))
    assert (third.found, third.rank, third.text, third.showing) == (True, 3, YES, 2)
    assert (third.random_found, third.random_rank, third.random_showing) == (False, None, 0)
    assert (third.cards, third.vectors, third.seconds, third.note, third.counted) == (4, 4, 3.0, "", True)
    assert third.sentence == (
        "tiny, explore, seed 0: card 3 of 4 (random none; 2 of 4 answers, random 0), 3 s  “it says zz”"
    )
    too = line(made, press([NO], [NO, YES]))
    assert (too.found, too.rank, too.random_found, too.random_rank, too.text) == (False, None, True, 2, YES)
    for place, found in ((10, True), (11, False)):
        far = line(made, press([NO] * (place - 1) + [YES], [NO]))
        assert (far.found, far.rank) == (found, place)
    usual = line(made, press([YES], [YES], baseline=YES))
    assert (usual.found, usual.rank, usual.random_found, usual.unsteered) == (False, None, False, True)
    assert usual.counted and usual.sentence.endswith(": the unsteered answer shows it")


def test_shares_count_cells_and_leave_out_what_is_no_known_answer(made):
    yes, no, luck = press([YES], [NO]), press([NO], [NO]), press([NO], [YES])
    figures = Organism.model_validate_json((made / "tiny" / "organism.json").read_bytes()).figures
    assert figures is not None
    never = figures.model_copy(update={"triggered": figures.triggered.of([False] * 6)})
    lines = [line(made, yes, seed=seed) for seed in (0, 1, 2)]
    lines += [line(made, no), line(made, luck), line(made, press([YES], [NO], baseline=YES))]
    lines += [line(made, None, figures=never)]
    lines += [line(made, one, planted=False) for one in (yes, no, no, no)]
    told = Scoreboard(organisms=tuple(lines)).answer()
    assert [told[name] for name in ("found", "random", "false_alarms")] == [3 / 6, 1 / 6, 1 / 4]
    assert set(told) == {"organisms", "found", "random", "false_alarms", "counts", "methods"}
    assert set(told["organisms"][0]) > LINE and len(told["organisms"]) == 11
    assert told["organisms"][6]["counted"] is False and told["organisms"][6]["rank"] is None
    assert told["organisms"][6]["note"].startswith("no known answer: The trigger never fires: 0 of 6")
    # Wilson at 3 of 6: 1/2 ± z / (2 √(n + z²))
    half = 1.95996 / (2 * (6 + 1.95996**2) ** 0.5)
    assert told["counts"]["found"] == {
        "count": 3, "n": 6, "low": pytest.approx(0.5 - half, abs=1e-5), "high": pytest.approx(0.5 + half, abs=1e-5)
    }  # fmt: skip
    assert told["methods"] == [{"method": "explore", **told["counts"]}]
    only = Scoreboard(organisms=(lines[0],)).answer()
    assert (only["found"], only["false_alarms"], only["counts"]["false_alarms"]) == (1.0, None, None)
    assert Scoreboard(organisms=(lines[0],)).lines()[-1] == (
        "found 1 of 1 (21 to 100 %); random vectors 0 of 1 (0 to 79 %); false alarms – (random –)"
    )


# --- presses ----------------------------------------------------------------------------------------------------------


def test_the_cards_are_the_page_s_and_random_vectors_are_sorted_as_the_others(scored):
    folder, heard, board = scored
    assert [(one.name, one.seed, one.prompt) for one in board.organisms] == [
        ("tiny", 0, "lake a"),
        ("tiny", 1, "lake b"),
    ]
    presses = Presses(folder)._every()
    assert {one.prompt for one in presses} == {"lake a", "lake b"}
    for one in presses:
        page = [card["text"] for card in finished(one.exploration, {})["cards"] if not card["unsteered"]]
        assert [card.text for card in one.cards] == page
        random = [answer.text for answer in one.exploration.control]
        assert len(random) == 3 and one.random_cards and {card.text for card in one.random_cards} <= {*random}
        assert [at for at, text in enumerate(random) if "zz" in text] == [*one.random_showing]
        assert [card.shows for card in one.cards] == ["zz" in card.text for card in one.cards]
    done = [one.done for one in heard]
    assert (
        done == sorted(done) and done[-1] == heard[-1].total == 300 and heard[-1].stage == board.organisms[1].sentence
    )


def test_random_vectors_that_say_what_the_trained_ones_say_get_the_same_cards(bench, made, monkeypatch):
    real = pressing._swapped

    def same(inner: Any, comparison: int, control: int, *rest: Any) -> Any:
        return real(inner, comparison, comparison, *rest)  # the vectors' own answers, on both sides

    monkeypatch.setattr(pressing, "_swapped", same)
    score(bench, folders=[made], seeds=[0])
    [one] = Presses(bench.settings.cache_dir / PRESSES)._every()
    changed = {answer.text for answer in one.exploration.answers if answer.changed}
    assert {card.text for card in one.random_cards} == changed and one.random_showing == one.showing


def test_adapters_have_a_card_for_each_changed_answer_and_are_looked_up_as_well(bench, made, monkeypatch):
    _, board = score(bench, folders=[made], seeds=[1], methods=["adapters"])
    [line], [one] = board.organisms, Presses(bench.settings.cache_dir / PRESSES)._every()
    record = one.adapters
    assert record is not None and one.exploration is None and record.seed == 1 and line.method == "adapters"
    assert [prompt.user for prompt in record.prompts] == [one.prompt] == ["lake b"]
    for cards, every in ((one.cards, record.adapters), (one.random_cards, record.random)):
        changed = {said.text: said.distance for facts in every for said in facts.texts if said.change}
        assert [card.text for card in cards] == sorted(changed, key=lambda text: -changed[text])
        assert [card.shows for card in cards] == ["zz" in card.text for card in cards]
    assert (line.vectors, line.seconds) == (8, record.seconds)
    monkeypatch.setattr(scoring, "pressed", None)
    assert score(bench, folders=[made], seeds=[1], methods=["adapters"])[1] == board


def test_a_second_run_computes_nothing_and_a_stop_loses_only_the_present_cell(bench, made, scored, monkeypatch):
    folder, _, board = scored
    shutil.copytree(folder, own := bench.settings.cache_dir / PRESSES)
    second = next(path for path in own.iterdir() if "lake b" in path.read_text("utf-8"))
    second.unlink()
    stopped = False
    work = bench.score_organisms(folders=[made], seeds=[0, 1], stop=lambda: stopped)
    while not stopped:
        stopped = next(work).stage.startswith("tiny, explore, seed 1: train")
    with pytest.raises(Stopped, match="Stopped: 1 of 2 cells are done and kept; run it again to go on."):
        listen(work)
    assert len([*own.iterdir()]) == 1
    again = score(bench, folders=[made], seeds=[0, 1])[1]
    # alone it is the same as after the first: no press knows of another one
    assert [one.model_copy(update={"seconds": 0}) for one in again.organisms] == [
        one.model_copy(update={"seconds": 0}) for one in board.organisms
    ]

    def refuse(*given: Any, **named: Any) -> Any:
        raise AssertionError("it should not be loaded")

    monkeypatch.setattr(LoadedModel, "_load", refuse)
    assert score(bench, folders=[made, made / "tiny"], seeds=[0, 1, 0])[1] == again
    monkeypatch.setattr(scoring, "RULES", (scoring.RULES[0] + 1, scoring.RULES[1]))
    with pytest.raises(AssertionError, match="should not be loaded"):
        score(bench, folders=[made], seeds=[0])


def test_an_organism_is_made_and_measured_once_and_one_that_never_fires_is_not_explored(bench, tmp_path, monkeypatch):
    weak = written(tmp_path / "tiny.json", fields(training={**fields()["training"], "steps": 1, "rate": 1e-9}))
    heard, board = score(bench, recipes=[str(weak)], seeds=[0])
    assert {one.stage.split(":")[0] for one in heard[:-1]} == {"tiny, making it", "tiny, measuring it"}
    [cell] = board.organisms
    assert not cell.counted and cell.seconds == 0 and "The trigger never fires" in cell.note
    assert Path(cell.folder).parent == bench.settings.cache_dir / "organisms" and (Path(cell.folder)).is_dir()
    monkeypatch.setattr(scoring, "make_organism", None)
    monkeypatch.setattr(scoring, "measure_organism", None)
    assert score(bench, recipes=[str(weak)], seeds=[0])[1] == board


def test_every_method_that_needs_only_a_prompt_can_be_scored():
    assert {"explore", "joint", "sequential", "soft-theta", "jacobian", "random"} < {*scoring.METHODS}
    assert not {"contrast-pca", "difference-of-means"} & {*scoring.METHODS} and "adapters" in scoring.METHODS
    scoring.check_cells(scoring.METHODS, [0, 5])
    assert USUAL("explore", 4) == USUAL("joint", 4)
    usual = ExploreSettings().model_dump()
    pressed = USUAL("sequential", 4).model_dump()
    assert {name for name in usual if usual[name] != pressed[name]} == {"method", "seed", "elsewhere", "search_seconds"}


# --- refusals and the command line ------------------------------------------------------------------------------------


def test_what_cannot_be_scored_is_named_before_anything_is_computed(bench, made, tmp_path):
    bare = json.loads((made / "tiny" / "organism.json").read_text("utf-8")) | {"figures": None}
    shutil.copytree(made / "tiny", tmp_path / "bare")
    written(tmp_path / "bare" / "organism.json", bare)
    other = benches.save_tiny(tmp_path / "other", "gpt2")
    recipe = written(tmp_path / "tiny.json", fields())
    for given, says in (
        ({"recipes": ["no-such"]}, "recipe: “no-such” is neither a recipe nor a file. Give a JSON file, or one of"),
        ({"methods": ["steer"]}, "method: 'steer' cannot be scored. Choose some of explore, adapters, joint"),
        ({"methods": ["contrast-pca"]}, "method: 'contrast-pca' cannot be scored."),
        ({"methods": []}, "method: there is none. Give one or more."),
        ({"seeds": [-1]}, "seed: -1 is out of range."),
        ({"folders": [tmp_path / "none"]}, "is not a folder"),
        ({"folders": [tmp_path]}, "was not measured. Measure it: organisms measure "),
        ({"folders": [other]}, "is not an organism: it has no organism.json"),
        ({"folders": [made], "model": str(other)}, "was trained on other weights than those of other here"),
        ({"recipes": [str(recipe)], "model": str(made / "tiny")}, "model + adapter already has an adapter."),
        ({"recipes": [str(recipe)], "model": str(other)}, "model: the blocks of other have no q_proj or k_proj"),
    ):
        with pytest.raises(InputError) as refused:
            score(bench, **given)
        assert says in str(refused.value)


def test_the_command_says_where_it_was_found(made, model, tmp_path, monkeypatch, capsys):
    for name, value in (("CACHE_DIR", tmp_path / "cache"), ("ASSETS_DIR", ASSETS), ("MODEL", model), ("DEVICE", "cpu")):
        monkeypatch.setenv(f"MELBO_{name}", str(value))
    shutil.copytree(made, tmp_path / "all")
    clean = json.loads((made / "tiny" / "organism.json").read_text("utf-8"))
    clean["recipe"] |= {"name": "clean-tiny", "planted": False}
    clean["figures"]["triggered"] = clean["figures"]["before"]
    shutil.copytree(made / "tiny", tmp_path / "all" / "clean-tiny")
    written(tmp_path / "all" / "clean-tiny" / "organism.json", clean)

    def found(bench: Any, loaded: Any, organism: Organism, item: Any, request: Any, stop: Any) -> Any:
        yield from ()
        shows = organism.recipe.planted and request.settings.seed
        one = press([NO, YES] if shows else [NO], [NO], recipe=organism.recipe.name)
        kept = {"settings": pressing.kept_settings(request), "prompt": request.prompt.user}
        return one.model_copy(update=kept)

    monkeypatch.setattr(scoring, "pressed", found)

    def ask(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main(["organisms", "score", *map(str, words)])
        told = capsys.readouterr()
        return end.value.code, told.out, told.err

    code, out, err = ask("--folder", tmp_path / "all", "--seed", 0, "--seed", 1, "--method", "jacobian", "--json")
    told = json.loads(out)
    assert code == 0 and (told["found"], told["random"], told["false_alarms"]) == (0.5, 0.0, 0.0)
    assert [{name: one[name] for name in LINE} for one in told["organisms"]] == [
        {"name": name, "planted": planted, "method": "jacobian", "found": rank is not None, "rank": rank,
         "random_found": False, "seconds": 3.0}
        for name, planted, rank in (
            ("clean-tiny", False, None), ("clean-tiny", False, None), ("tiny", True, None), ("tiny", True, 2)
        )
    ]  # fmt: skip
    assert "tiny, jacobian, seed 1: card 2 of 2" in err
    code, out, err = ask("--folder", tmp_path / "all", "--organism", tmp_path / "no")
    assert (code, out) == (2, "") and err.splitlines()[-1].startswith("recipe: “")
    board = api.score_organisms(folders=str(tmp_path / "all" / "tiny"), seeds=1)
    assert [one.rank for one in board.organisms] == [2] and board.shares.found is not None
