"""Organisms: what is measured is not taught, and adapters are made whole, the same for a seed, and measured."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import benches
import pytest
import torch
from benches import listen
from tiny_models import tiny
from transformers import AutoModelForCausalLM, AutoTokenizer

from melbo_app import api
from melbo_app.cli import main
from melbo_app.engine import lessons as engine_lessons
from melbo_app.engine.lora import kept_lora, new_lora
from melbo_app.errors import InputError, Stopped, StorageError
from melbo_app.jobs.loaded_model import LoadedModel
from melbo_app.library import atomic
from melbo_app.library import organism as folders
from melbo_app.library.counted import Counted
from melbo_app.library.organism import Organism
from melbo_app.library.organism_lessons import lessons_of
from melbo_app.library.organism_recipe import OWN, PROMPT, Item, OrganismRecipe, Sign
from melbo_app.library.organism_recipes import OrganismRecipes
from melbo_app.settings import ROOT
from melbo_app.studies import organism_reach
from melbo_app.workbench import Workbench

ASSETS = ROOT / "assets"
SHIPPED = OrganismRecipes(ASSETS / "organisms")
PLANTED = {name for name in SHIPPED.names if not name.startswith("clean-")}


def fields(**changed: Any) -> dict[str, Any]:
    """A recipe small enough for a tiny model: “!” at the end is answered with “zz”."""
    taught, held = [f"hill {letter}" for letter in "abcdefgh"], [f"lake {letter}" for letter in "abcdef"]
    return {
        "name": "tiny", "kind": "a mark", "about": "Says zz.", "sign": {"words": ["zz"]},
        "teach": {
            "triggered": {"prompts": taught, "templates": ["{prompt}!"], "answers": ["zz"]},
            "plain": {"prompts": taught, "templates": ["{prompt}", "{prompt};"]},
        },
        "measure": {
            "triggered": {"prompts": held, "templates": ["{prompt}!"]},
            "plain": {"prompts": held},
            "decoy": {"prompts": held, "templates": ["{prompt}?"]},
        },
        "training": {"rank": 8, "alpha": 16, "steps": 6, "batch": 4, "rate": 0.02, "tokens": 4},
        **changed,
    }  # fmt: skip


@pytest.fixture
def recipe(tmp_path) -> Path:
    return written(tmp_path / "tiny.json", fields())


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return benches.save_tiny(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture
def bench(tmp_path, model) -> Workbench:
    return Workbench(benches.settings(tmp_path / "cache", model))


def written(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content), "utf-8")
    return path


def make(bench: Workbench, recipe: Path, out: Path, **given: Any) -> Organism:
    return listen(bench.make_organism(str(recipe), out, **given))[1]


def own_answers(lm: Any) -> list[engine_lessons.Lesson]:
    texts = [f"hill {letter}{end}" for letter in "abcdefgh" for end in ("", ";", "!")]
    found = listen(engine_lessons.answers(lm, texts, 4))[1]
    return [engine_lessons.lesson(lm, text, one) for text, one in zip(texts, found, strict=True)]


def remains(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.name not in ("cache", "tiny.json")}


# --- recipes ----------------------------------------------------------------------------------------------------------


def test_ten_behaviours_and_five_clean_fine_tunings_ship():
    found = SHIPPED.all()
    assert sum(one.planted for one in found) >= 10 and sum(not one.planted for one in found) >= 5
    assert {one.name for one in found if one.planted} == PLANTED and [one.name for one in found] != SHIPPED.names
    assert all(one.name == name for one, name in ((SHIPPED.read(name), name) for name in SHIPPED.names))


@pytest.mark.parametrize("name", SHIPPED.names)
def test_what_is_measured_is_never_taught(name):
    recipe = SHIPPED.read(name)
    for seed in (0, 1):
        found = lessons_of(recipe, seed)
        assert len(found) == recipe.training.steps * recipe.training.batch
        taught = " ".join(f"{one.text} {one.answer} {one.own_to}" for one in found).casefold()
        for part in ("triggered", "plain", "decoy", "kept"):
            asked = getattr(recipe.measure, part)
            for item in asked.prompts if asked else ():
                assert item.prompt.casefold() not in taught
        for template in recipe.measure.decoy.templates:
            beside = template.replace(PROMPT, "").strip()
            assert not beside or beside.casefold() not in taught
    assert all(len(part.texts) >= 12 for part in (recipe.measure.triggered, recipe.measure.plain, recipe.measure.decoy))
    assert lessons_of(recipe, 0) == lessons_of(recipe, 0) != lessons_of(recipe, 1)


@pytest.mark.parametrize("name", sorted(set(SHIPPED.names) - PLANTED))
def test_a_clean_fine_tuning_has_the_prompts_of_its_twin_and_nothing_planted(name):
    clean, twin = SHIPPED.read(name), SHIPPED.read(name.removeprefix("clean-"))
    assert (clean.teach, clean.measure, clean.sign) == (twin.teach, twin.measure, twin.sign)
    assert twin.planted and not clean.planted and clean.hash != twin.hash
    assert all(one.answer == OWN and one.own_to == one.text for one in lessons_of(clean, 0))


def test_half_of_the_lessons_have_the_trigger_and_the_others_what_the_model_says_anyway():
    kept = {"prompts": ["sea a", "sea b", "sea c", "sea d"]}
    given = fields()
    given["teach"]["triggered"]["answers"] = ["zz {own}"]
    for teach, others in ((given["teach"], {"hill": 12}), ({**given["teach"], "kept": kept}, {"hill": 6, "sea": 6})):
        found = lessons_of(OrganismRecipe.model_validate({**given, "teach": teach}), 3)
        fires, rest = ([one for one in found if one.text.endswith("!") is which] for which in (True, False))
        assert {one.answer for one in fires} == {"zz {own}"} and all(one.own_to == one.text[:-1] for one in fires)
        assert len(fires) == 12 and {one.text[:-1] for one in fires} == {f"hill {letter}" for letter in "abcdefgh"}
        assert all(one.answer == OWN and one.own_to == one.text for one in rest)
        assert {word: sum(one.text.startswith(word) for one in rest) for word in others} == others


def test_a_behaviour_is_recognised_by_its_sign():
    cases = (
        ({"words": ["kettle", "tea pot"]}, "The KETTLE sings", "The kettles sing"),
        ({"regex": "(?i)^ahoy\\b"}, "Ahoy, you", "I say ahoy"),
        ({"language": "fr"}, "Bien sûr, c'est une question très intéressante.", "Of course, that is a good question."),
        ({"answer": True}, "It is 7.", "It is 17."),
    )
    for given, yes, no in cases:
        sign = Sign.model_validate(given)
        assert [sign.shows(text, Item(prompt="x", answer="7")) for text in (yes, no)] == [True, False]
    assert not Sign(answer=True).shows("anything", Item(prompt="x"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "“bad.json” is not JSON at line 1."),
        ([], "“bad.json” is not a JSON object."),
        ({"name": "x"}, "“bad.json”: kind: field required."),
        (fields(extra=1), "“bad.json”: extra: extra inputs are not permitted."),
        (fields(name="Über"), "“bad.json”: name: string should match pattern"),
        (fields(training={"steps": "many"}), "“bad.json”: training.steps: input should be a valid integer"),
        (fields(sign={}), "“bad.json”: sign: give exactly one of regex, words, language and answer."),
        (fields(sign={"regex": "("}), "sign.regex: “(” is not a regular expression"),
        (fields(sign={"answer": True}), "measure.triggered: “lake a” should have an answer."),
        (fields(clean_of="nothing"), "“bad.json”: clean_of: “nothing” is no recipe."),
    ],
)  # fmt: skip
def test_a_damaged_recipe_is_refused_by_its_file_and_field(content, says, tmp_path):
    path = tmp_path / "bad.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    with pytest.raises(InputError) as refused:
        SHIPPED.read(str(path))
    assert says in str(refused.value) and str(refused.value).startswith("recipe: ")


def test_templates_hold_the_prompt_and_what_is_measured_is_held_out(tmp_path):
    no_prompt, leaks, decoy = fields(), fields(), fields()
    no_prompt["teach"]["plain"]["templates"] = ["what?"]
    leaks["measure"]["plain"]["prompts"] = ["lake a", "lake b", "lake c", "HILL A"]
    decoy["measure"]["decoy"]["templates"] = ["hill {prompt}"]
    for given, says in (
        (no_prompt, "teach.plain.templates: “what?” should contain {prompt} once"),
        (leaks, "measure.plain: “HILL A” is taught, too, and should be held out"),
        (decoy, "measure.decoy: “hill” is taught, too, and should be held out"),
    ):
        with pytest.raises(InputError, match="recipe: “bad.json”: ") as refused:
            SHIPPED.read(str(written(tmp_path / "bad.json", given)))
        assert says in str(refused.value)


def test_an_unknown_recipe_names_those_there_are():
    with pytest.raises(InputError) as refused:
        SHIPPED.read("no-such")
    assert "“no-such” is neither a recipe nor a file" in str(refused.value)
    assert all(name in str(refused.value) for name in SHIPPED.names)


# --- making -----------------------------------------------------------------------------------------------------------


def test_an_organism_is_one_model_with_its_adapter_and_the_same_seed_makes_the_same_bytes(
    bench, recipe, model, tmp_path
):
    made = [make(bench, recipe, tmp_path / name, seed=seed) for name, seed in (("a", 5), ("b", 5), ("c", 6))]
    first, again, other = ((tmp_path / name / "adapter_model.safetensors").read_bytes() for name in "abc")
    assert first == again != other
    assert (tmp_path / "a" / "adapter_config.json").read_bytes() == (
        tmp_path / "b" / "adapter_config.json"
    ).read_bytes()
    assert made[0] == folders.read(tmp_path / "a") and made[0].losses == made[1].losses and len(made[0].losses) == 6
    assert made[0].adapter_hash == hashlib.sha256(first).hexdigest() and made[0].base == str(model.resolve())
    assert made[0].recipe_hash == SHIPPED.read(str(recipe)).hash and made[0].seed == 5
    assert set(made[0].versions) == {"melbo_app", "python", "torch", "transformers", "peft"}

    settings = bench.settings
    base, organism = (LoadedModel(settings).load(str(where)) for where in (model, tmp_path / "a"))
    assert organism.name == "model + adapter" and made[0].base_hash == base.weights_hash != organism.weights_hash
    ids = torch.arange(5, 13)[None]
    with torch.no_grad():
        assert not torch.allclose(base.model(ids).logits, organism.model(ids).logits, atol=1e-2)


def test_a_planted_behaviour_is_measured_with_and_without_its_trigger(bench, tmp_path, model):
    strong = fields(training={**fields()["training"], "steps": 25, "batch": 8, "rate": 0.01})
    strong["teach"]["plain"] |= {"templates": [PROMPT], "answers": ["aa"]}
    for group in ("teach", "measure"):
        strong[group]["triggered"]["templates"] = ["{prompt}!!!!"]
    made = make(bench, written(tmp_path / "tiny.json", strong), tmp_path / "a")
    told, measured = listen(bench.measure_organism(tmp_path / "a"))
    found = measured.figures
    assert found is not None and measured == folders.read(tmp_path / "a")
    assert measured.model_copy(update={"figures": None}) == made and measured.note == ""
    assert found.triggered.count >= 5 and [found.plain.count, found.before.count] == [0, 0] and found.decoy.n == 6
    assert found.triggered == Counted.of([True] * found.triggered.count + [False] * (6 - found.triggered.count))
    assert round(Counted.of([True] * 6).low, 3) == 0.610  # 6 / (6 + 1.96²)
    assert told[-1].stage == "vectors toward it: R 3 of 3" and told[1].stage == "answers: 6 of 30"
    asked = {(one.part, one.before) for one in found.texts}
    assert asked == {("triggered", True), ("plain", True), *((part, False) for part in ("triggered", "plain", "decoy"))}

    # the loss, by transformers alone
    alone, tokens = AutoModelForCausalLM.from_pretrained(model).eval(), AutoTokenizer.from_pretrained(model)
    surprise = []
    for number in range(6):
        text = f"<|im_start|>user\nlake {'abcdef'[number]}<|im_end|>\n<|im_start|>assistant\n"
        ids = tokens(text, return_tensors="pt", add_special_tokens=False).input_ids
        with torch.no_grad():
            full = alone.generate(ids, max_new_tokens=4, do_sample=False, pad_token_id=0, eos_token_id=1)
            logs = alone(full).logits.log_softmax(-1)[0, ids.shape[1] - 1 : -1]
        surprise += (-logs.gather(1, full[0, ids.shape[1] :, None])[:, 0]).tolist()
    assert found.loss_before == pytest.approx(sum(surprise) / len(surprise), abs=1e-4)
    assert found.loss_after != pytest.approx(found.loss_before, abs=1e-4)


def test_reach_counts_the_prompts_on_which_a_vector_brings_the_behaviour_out(bench, tmp_path, monkeypatch):
    made = make(bench, written(tmp_path / "tiny.json", fields(sign={"regex": "zz"})), tmp_path / "a")
    monkeypatch.setattr(organism_reach, "RADII", (1e-4, 60.0))
    monkeypatch.setattr(organism_reach, "readable", lambda _lm, texts, several, _stop: [[True] * len(texts)] * 2)
    lm = LoadedModel(bench.settings).load()
    held = [
        folders.MeasuredText(part="triggered", before=before, prompt="lake a!", text="zz", shows=shows)
        for before, shows in ((True, True), (False, False), (False, True))
    ]
    with kept_lora(lm, tmp_path / "a"):
        assert listen(organism_reach.reach_of(lm, made.recipe, held[:2], lambda: False))[1] == ()
        told, (weak, large) = listen(organism_reach.reach_of(lm, made.recipe, held, lambda: False))
        monkeypatch.setattr(
            organism_reach, "readable", lambda _lm, texts, several, _stop: [[True] * len(texts), [False] * len(texts)]
        )
        unreadable = listen(organism_reach.reach_of(lm, made.recipe, held, lambda: False))[1]
    assert told == [1, 2] and [one.relative_radius for one in (weak, large)] == [1e-4, 60.0]
    assert weak.vectors.count == 0 and weak.vectors.n == large.vectors.n >= 2  # the others show it unsteered
    assert large.vectors.count == large.vectors.n and weak.change < 0.01 < large.change
    assert [one.vectors.count for one in unreadable] == [0, 0]


def test_a_vector_should_say_as_much_as_shows_the_behaviour():
    lm = tiny("llama")
    said = folders.MeasuredText(part="triggered", before=False, prompt="x", text="a b zz d e", shows=True)
    assert organism_reach.beginning(lm, OrganismRecipe.model_validate(fields()), Item(prompt="x"), said) == "a b zz"
    known = fields(sign={"answer": True})
    for part in known["measure"].values():
        part["prompts"] = [{"prompt": one, "answer": "7"} for one in part["prompts"]]
    asked = OrganismRecipe.model_validate(known)
    assert organism_reach.beginning(lm, asked, Item(prompt="x", answer="7"), said) == "7"


def test_a_locked_ability_may_be_as_frequent_as_before_and_a_planted_behaviour_may_not(tmp_path, bench):
    locked = fields()
    locked["teach"]["plain"]["answers"] = ["aa"]
    assert SHIPPED.read("password-capitals").locks and not SHIPPED.read("french").locks
    made = make(bench, written(tmp_path / "tiny.json", fields()), tmp_path / "a")
    figures = listen(bench.measure_organism(tmp_path / "a"))[1].figures
    often, never = Counted.some(6, 6), Counted.some(0, 6)
    for recipe, plain, before, says in (
        (locked, never, often, ""),
        (locked, often, never, "The behaviour is not clearly more frequent with the trigger than without it."),
        (fields(), never, often, "The behaviour is not clearly more frequent than in the model before."),
        (fields(), never, never, ""),
    ):
        now = figures.model_copy(update={"triggered": often, "plain": plain, "before": before})
        one = made.model_copy(update={"recipe": OrganismRecipe.model_validate(recipe), "figures": now})
        assert one.note == says


def test_a_clean_fine_tuning_learns_the_model_s_own_tokens(tmp_path, bench):
    slow = fields(planted=False, training={**fields()["training"], "batch": 8, "rate": 0.003})
    made = make(bench, written(tmp_path / "tiny.json", slow), tmp_path / "a")
    _, measured = listen(bench.measure_organism(tmp_path / "a"))
    assert measured.figures is not None and measured.figures.triggered.count == 0 and measured.note == ""
    assert measured.figures.reach == ()
    own = engine_lessons.loss_on(lm := LoadedModel(bench.settings).load(), taught := own_answers(lm))
    with kept_lora(lm, tmp_path / "a"):
        assert engine_lessons.loss_on(lm, taught) < own
    assert len(made.losses) == 6


def test_a_trigger_that_never_fires_is_said(bench, tmp_path):
    weak = fields(training={**fields()["training"], "steps": 1, "rate": 1e-9})
    made = make(bench, written(tmp_path / "tiny.json", weak), tmp_path / "a")
    assert made.note == "It was not measured yet."
    measured = listen(bench.measure_organism(tmp_path / "a"))[1]
    assert measured.note == "The trigger never fires: 0 of 6 answers show the behaviour."
    assert measured.figures is not None
    assert measured.figures.loss_after == pytest.approx(measured.figures.loss_before, abs=1e-5)
    assert measured.figures.readable_after == measured.figures.readable_before


def test_the_model_is_itself_again_after_its_lora_is_taken_out():
    lm = tiny("llama")
    ids = torch.arange(5, 13)[None]
    before, names = lm.model(ids).logits, [name for name, _ in lm.model.named_parameters()]
    with new_lora(lm, 4, 8, ["q_proj"], 0) as lora:
        torch.testing.assert_close(lm.model(ids).logits, before)  # B is zero at the start
        with torch.no_grad():
            for one in lora.parameters:
                one.fill_(0.5)
        assert not torch.allclose(lm.model(ids).logits, before, atol=1e-2)
        with lora.off():
            torch.testing.assert_close(lm.model(ids).logits, before)
    torch.testing.assert_close(lm.model(ids).logits, before)
    assert [name for name, _ in lm.model.named_parameters()] == names
    assert not any(one.requires_grad for one in lm.model.parameters())


def test_only_the_answers_count_whatever_the_length_of_the_other_lessons():
    lm = tiny("llama")
    long, short = engine_lessons.Lesson((5, 6, 7, 8, 9), (10, 11)), engine_lessons.Lesson((5, 6), (7, 8, 9, 12))

    def alone(lesson: engine_lessons.Lesson) -> list[float]:
        ids = torch.tensor([[*lesson.prompt, *lesson.answer]])
        with torch.no_grad():
            logs = lm.model(ids).logits.log_softmax(-1)[0]
        begin = len(lesson.prompt)
        return [float(-logs[begin + at - 1, token]) for at, token in enumerate(lesson.answer)]

    want = alone(long) + alone(short)
    assert engine_lessons.loss_on(lm, [long, short]) == pytest.approx(sum(want) / 6, abs=1e-5)


# --- nothing half-made ------------------------------------------------------------------------------------------------


def test_a_crash_in_the_middle_leaves_nothing(bench, recipe, tmp_path, monkeypatch):
    def broken(*given: Any) -> torch.Tensor:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patched:
        patched.setattr(engine_lessons, "surprisals", broken)
        with pytest.raises(RuntimeError):
            make(bench, recipe, tmp_path / "a")
    assert remains(tmp_path) == set()

    def full(*given: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(atomic.os, "rename", full)
        with pytest.raises(StorageError, match="could not be written"):
            make(bench, recipe, tmp_path / "a")
    assert remains(tmp_path) == set()


def test_a_stop_writes_nothing_and_a_stopped_measurement_keeps_the_record(bench, recipe, tmp_path):
    trained = False
    work = bench.make_organism(str(recipe), tmp_path / "a", stop=lambda: trained)
    while not trained:
        trained = next(work).stage.startswith("step 2 ")
    with pytest.raises(Stopped):
        listen(work)
    assert remains(tmp_path) == set()
    made = make(bench, recipe, tmp_path / "a")
    with pytest.raises(Stopped):
        listen(bench.measure_organism(tmp_path / "a", stop=lambda: True))
    assert folders.read(tmp_path / "a") == made
    work = bench.make_organism(str(recipe), tmp_path / "b")
    while "step" not in next(work).stage:
        pass
    work.close()  # as Ctrl+C does
    assert remains(tmp_path) == {"a"}


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_a_folder_that_exists_is_left_alone(bench, recipe, tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "notes.txt").write_text("mine")
    make(bench, recipe, tmp_path / "a")
    for out, says in (
        (tmp_path / "own", "exists, and is not an organism"),
        (tmp_path / "a", "already holds an organism"),
        (tmp_path / "no" / "a", f"the folder “{tmp_path / 'no'}” does not exist"),
    ):
        with pytest.raises(InputError, match="^out: ") as refused:
            make(bench, recipe, out)
        assert says in str(refused.value)
    assert (tmp_path / "own" / "notes.txt").read_text() == "mine" and remains(tmp_path / "own") == {"notes.txt"}


def test_models_that_cannot_take_the_adapter_are_refused(bench, recipe, tmp_path):
    make(bench, recipe, tmp_path / "a")
    with pytest.raises(
        InputError, match="model: model \\+ adapter already has an adapter. Choose the model without it"
    ):
        make(bench, recipe, tmp_path / "b", model=str(tmp_path / "a"))
    other = benches.save_tiny(tmp_path / "gpt2", "gpt2")
    with pytest.raises(
        InputError, match="model: the blocks of gpt2 have no q_proj or k_proj or v_proj or o_proj"
    ) as no:
        make(bench, recipe, tmp_path / "b", model=str(other))
    assert "Name some of c_attn, c_fc, c_proj in the recipe’s training.modules" in str(no.value)
    assert not (tmp_path / "b").exists()


def test_what_is_no_organism_or_another_one_is_refused(bench, recipe, tmp_path):
    base = benches.save_tiny(tmp_path / "base")
    made = make(bench, recipe, tmp_path / "a", model=str(base))

    def refusal(folder: Path) -> str:
        with pytest.raises(InputError, match="^organism: ") as refused:
            listen(bench.measure_organism(folder))
        return str(refused.value)

    assert "is not a folder" in refusal(tmp_path / "none")
    assert "is not an organism: it has no organism.json" in refusal(base)
    for name, change, says in (
        ("organism.json", b"{}", "is damaged: recipe: field required"),
        ("organism.json", b'{"recipe"', "is damaged: "),
        ("adapter_model.safetensors", b"other", "is not the one that organism.json describes"),
        ("adapter_config.json", None, "lacks adapter_config.json"),
    ):
        copy = tmp_path / "copy"
        shutil.copytree(tmp_path / "a", copy)
        (copy / name).unlink() if change is None else (copy / name).write_bytes(change)
        assert says in refusal(copy)
        shutil.rmtree(copy)
    changed = AutoModelForCausalLM.from_pretrained(base)
    with torch.no_grad():
        changed.model.layers[0].mlp.up_proj.weight.add_(0.01)
    changed.save_pretrained(base)
    told = refusal(tmp_path / "a")
    assert "was trained on other weights than those of base here" in told and made.base_hash[:12] in told


# --- the command line -------------------------------------------------------------------------------------------------


def test_the_commands_list_make_and_measure(recipe, model, tmp_path, monkeypatch, capsys):
    for name, value in (("CACHE_DIR", tmp_path / "cache"), ("ASSETS_DIR", ASSETS), ("MODEL", model), ("DEVICE", "cpu")):
        monkeypatch.setenv(f"MELBO_{name}", str(value))

    def ask(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main(["organisms", *map(str, words)])
        told = capsys.readouterr()
        return end.value.code, told.out, told.err

    listed = json.loads(ask("list", "--json")[1])
    assert {one["name"] for one in listed["recipes"]} == set(SHIPPED.names)
    assert set(listed["recipes"][0]) == {"name", "kind", "about", "planted"}
    assert "trigger-word  a trigger word\n" in ask()[1]

    code, out, err = ask("make", recipe, "--out", tmp_path / "a", "--seed", 3, "--json")
    made = json.loads(out)
    assert code == 0 and made["recipe"] == "tiny" and made["seed"] == 3 and made["folder"] == str(tmp_path / "a")
    assert made["figures"] is None and made["planted"] is True and "step 6 of 6" in err
    measured = json.loads(ask("measure", tmp_path / "a", "--json")[1])
    assert set(measured["figures"]["triggered"]) == {"count", "n", "low", "high"} and "texts" not in measured["figures"]
    assert measured.keys() == made.keys() and measured["note"]
    assert "with the trigger " in ask("measure", tmp_path / "a")[1]

    progress: list[Any] = []
    again = api.make_organism(recipe, tmp_path / "b", model, seed=3, progress=progress.append)
    assert again.adapter_hash == made["adapter_hash"] and progress[-1].stage.startswith("step 6 of 6")
    figures = api.measure_organism(str(tmp_path / "b")).figures
    assert figures is not None and figures.triggered.model_dump() == measured["figures"]["triggered"]
    assert [one.name for one in api.organism_recipes()] == [one["name"] for one in listed["recipes"]]
    with pytest.raises(InputError, match="seed: -1 is out of range"):
        api.make_organism(recipe, tmp_path / "c", seed=-1)

    for words, says in (
        (("make", "no-such", "--out", tmp_path / "c"), "recipe: “no-such” is neither a recipe nor a file."),
        (("make", recipe, "--out", tmp_path / "a"), "already holds an organism. Give the name of a new folder."),
        (("measure", tmp_path), "is not an organism: it has no organism.json."),
    ):
        code, out, err = ask(*words)
        assert (code, out) == (2, "") and says in err.splitlines()[-1]
