"""The workbench as strangers have it: each use decided once, quotas by visitor, others' work left alone, no folders."""

import inspect
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from benches import LENT, PROMPT, QUICK, save_tiny, settings, shelved, trained
from patience import PATIENCE
from safetensors.numpy import save_file
from test_meanings import Topics

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.errors import BusyError, InputError, MelboError, StorageError
from melbo_app.jobs.generators import result_of
from melbo_app.library.formats.known import FORMATS
from melbo_app.library.label import LabelChanged
from melbo_app.library.offered_models import OfferedModels
from melbo_app.public import uses
from melbo_app.public.discretion import Discretion
from melbo_app.public.quotas import BANKS, COMPUTING, DAY, JOBS, LOOKING, Quotas
from melbo_app.public.visitors import Visitors
from melbo_app.public.workbench import _PublicWorkbench, public_workbench
from melbo_app.studies import STUDIES
from melbo_app.studies.atlas import MeasureAtlas
from melbo_app.studies.calibrate import Calibrate
from melbo_app.studies.chat import Chat
from melbo_app.studies.curve import MeasureCurve
from melbo_app.studies.judge_endpoint import KEY
from melbo_app.studies.search_meaning import SearchMeaning
from melbo_app.studies.similarity import Compare
from melbo_app.studies.steer import Steer
from melbo_app.studies.sweep import Sweep
from melbo_app.studies.train import Train
from melbo_app.web.proxies import SOMEBODY
from melbo_app.workbench import Workbench

ANNA, BEN = "192.0.2.1", "192.0.2.2"
SHORT = Decoding(3)


class Person:
    """Who asks at the moment."""

    address = ANNA


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a blank in its name, as people have it, and a model in it."""
    made = tmp_path_factory.mktemp("where it is")
    LENT.add(str(save_tiny(made / "models of ours" / "tiny")))
    return made


@pytest.fixture
def folder(where: Path) -> Iterator[Path]:
    """That one, without a cache."""
    yield where
    shutil.rmtree(where / "cache", ignore_errors=True)


@pytest.fixture
def plain(folder: Path) -> Workbench:
    given = settings(folder / "cache", folder / "models of ours" / "tiny").model_copy(update={"public": True})
    return Workbench(given, offered=OfferedModels.of(given))


@pytest.fixture
def person() -> Person:
    return Person()


@pytest.fixture
def bench(plain: Workbench, person: Person) -> Workbench:
    return public_workbench(plain, lambda: person.address)


SPECIAL = {name for name in vars(_PublicWorkbench) if not name.startswith("_")}


def test_every_use_of_the_workbench_is_decided_once():
    decided = [uses.FREE, uses.LOOKING, uses.OWN, uses.NAMED, SPECIAL, {*uses.REFUSED}, uses.OPERATORS]
    methods = {name for name, _ in inspect.getmembers(Workbench) if not name.startswith("_")}
    known = methods | ({*uses.REFUSED} & {study.verb for study in STUDIES})
    assert set().union(*decided) == known
    assert sum(map(len, decided)) == len(known), "decided twice"


def test_what_the_page_asks_of_the_workbench_visitors_have():
    root = Path(inspect.getfile(Workbench)).parents[1]
    files = [*(root / "ui").rglob("*.py"), root / "defaults.py"]
    asked = {name for file in files for name in re.findall(r"(?<!\w)_?workbench\.([a-z]\w*)", file.read_text("utf-8"))}
    asked -= {name for name in asked if (root / "workbench" / f"{name}.py").exists()}  # modules
    mine = uses.FREE | uses.LOOKING | uses.OWN | uses.NAMED | SPECIAL | {*uses.REFUSED}
    assert asked and asked <= mine


@pytest.mark.parametrize("name", [*sorted(uses.OPERATORS), "settings", "queue", "bench"])
def test_what_is_the_server_s_own_is_not_there_for_visitors(bench, name):
    with pytest.raises(AttributeError):
        getattr(bench, name)


# --- what nobody gets -------------------------------------------------------------------------------------------------


def test_nothing_is_deleted_merged_or_given_away_as_a_whole(bench, plain, tmp_path):
    shelved(plain)
    for refused in (
        lambda: bench.delete_bank("a"),
        lambda: bench.import_bundle(tmp_path / "x.zip"),
        lambda: bench.export_bundle(tmp_path / "x.zip"),
    ):
        with pytest.raises(InputError, match="public page"):
            refused()
    assert [line.name for line in bench.banks()] == ["a"] and not (tmp_path / "x.zip").exists()
    assert {use: bool(bench.why_not(use)) for use in ("delete_bank", "import_bundle", "steer", "import_bank")} == {
        "delete_bank": True, "import_bundle": True, "steer": False, "import_bank": False,
    }  # fmt: skip
    assert plain.why_not("delete_bank") == ""


def test_no_prompts_are_read_from_the_server_s_files(bench, tmp_path):
    file = tmp_path / "secret.txt"
    file.write_text("password")
    for name in (str(file), "/nonexistent", "../../etc/passwd"):
        with pytest.raises(InputError, match=r"^sets: there is no such set\."):
            bench.prompt_set([name])


def test_a_judge_is_the_operator_s_or_none(plain, person, monkeypatch):
    monkeypatch.setenv(KEY, "secret")
    bench = public_workbench(plain, lambda: person.address)
    for url in ("https://evil.example/v1", ""):
        with pytest.raises(InputError, match="only asks its operator's judge"):
            bench.judge_endpoint(url, "m", here=True)
    plain.settings = plain.settings.model_copy(update={"judge_url": "https://ours.example/v1", "judge_model": "big"})
    endpoint = bench.judge_endpoint("https://evil.example/v1", "dear", here=True)
    assert (endpoint.url, endpoint.model, endpoint._key) == ("https://ours.example/v1", "big", "secret")


# --- others' work -----------------------------------------------------------------------------------------------------


def long_job(bench: Workbench, name: str = "a"):
    return bench.start(
        Sweep(bank=name, prompts=(PROMPT,), vectors=(0,), radii=tuple(map(float, range(1, 200))), decoding=SHORT)
    )


def test_only_who_asked_for_a_job_can_stop_it(bench, plain, person):
    shelved(plain)
    job = long_job(bench)
    assert job.record().who.startswith("visitor ") and ANNA not in job.record().model_dump_json()
    for address in (BEN, "", SOMEBODY, "2001:db8::1"):
        person.address = address
        for stop in (job.stop, bench.active_jobs()[0].stop, lambda: bench.stop_job(job.id)):
            with pytest.raises(InputError, match="somebody else's"):
                stop()
        assert bench.why_not("stop_job", bench.job(job.id))
    assert job.is_active
    person.address = ANNA
    assert not bench.why_not("stop_job", bench.job(job.id))
    bench.stop_job(job.id)
    assert job.wait(PATIENCE) and job.state == "stopped"


def test_a_label_of_somebody_else_stays(bench, plain, person):
    shelved(plain)
    bench.save_label("a", 0, name="mine", author="root")
    assert plain.label_history("a", 0)[0].author.startswith("visitor ")
    bench.save_label("a", 0, name="mine, better")
    for address in (BEN, "", SOMEBODY):
        person.address = address
        assert bench.why_not("save_label", ("a", 0)) and not bench.why_not("save_label", ("a", 1))
        with pytest.raises(InputError, match="somebody else has labelled this vector"):
            bench.save_label("a", 0, name="worse")
    plain.save_label("a", 1, name="the operator's")
    with pytest.raises(InputError, match="somebody else"):
        bench.save_label("a", 1)
    person.address = ANNA
    bench.save_label("a", 0)  # taken away again
    person.address = BEN
    bench.save_label("a", 0, name="his")
    assert [plain.label("a", vector).name for vector in (0, 1)] == ["his", "the operator's"]


def test_a_conversation_is_its_writer_s_alone(bench, plain, person):
    shelved(plain)
    asked = {"bank": "a", "vector": 0, "radius": 6.0, "decoding": SHORT}
    where = result_of(bench.run(Chat(text="a secret", who="root", **asked)))
    assert plain.conversations()[0].who.startswith("visitor ") and ANNA not in str(plain.conversations())
    other = result_of(plain.run(Chat(text="the operator's", **asked)))
    for address in (BEN, "", SOMEBODY):
        person.address = address
        assert bench.conversations() == []
        for use in (
            lambda: bench.conversation(where.conversation),
            lambda: bench.show_branch(where.conversation, where.turn),
            lambda: bench.rename_conversation(where.conversation, "mine"),
            lambda: bench.delete_conversation(where.conversation),
            lambda: bench.fork_conversation(where.conversation, where.turn),
            lambda: bench.conversation(other.conversation),
            lambda: result_of(bench.run(Chat(text="more", conversation=1, parent=where.turn, **asked))),
        ):
            with pytest.raises(InputError, match="not one of yours|yours is not known"):
                use()
    with pytest.raises(InputError, match="kept by address, and yours is not known"):
        result_of(bench.run(Chat(text="hello", **asked)))
    person.address = ANNA
    bench.rename_conversation(where.conversation, "mine")
    fork = bench.fork_conversation(where.conversation, where.turn, "root")
    assert {line.id: line.title for line in bench.conversations(who="root")} == {
        where.conversation: "mine", fork: "mine (fork)",
    }  # fmt: skip
    bench.delete_conversation(fork)
    assert bench.show_branch(where.conversation, where.turn).shown[0].text == "a secret"
    assert len(plain.conversations()) == 2


def test_a_visitor_finds_answers_of_own_conversations_only(bench, plain, person):
    shelved(plain)
    vars(plain.bench)["embedder"] = Topics()
    asked = {"bank": "a", "vector": 0, "radius": 6.0, "decoding": SHORT}
    mine = result_of(bench.run(Chat(text="a secret", **asked)))
    result_of(plain.run(Chat(text="the operator's secret", **asked)))

    def near(**how):
        return {one.answer.turn for one in result_of(bench.run(SearchMeaning(text="sea", **how))).answers}

    assert [one.turn for one in bench.search_conversations("secret")] == [mine.turn]
    assert near() == near(whose=None) == {mine.turn} and len(plain.search_conversations("secret")) == 2
    for address in (BEN, ""):
        person.address = address
        assert bench.search_conversations("secret", who="") == [] and near(whose="") == set()


def test_who_changed_a_label_meanwhile_is_not_told(bench, plain):
    shelved(plain)
    empty = bench.label("a", 0)
    bench.save_label("a", 0, name="in one window")
    with pytest.raises(LabelChanged, match="it says “in one window” now") as caught:
        bench.save_label("a", 0, name="in another", seen=empty)
    assert (caught.value.stored.name, caught.value.stored.author) == ("in one window", "")


def test_only_who_began_a_download_can_stop_it(bench, plain, person):
    stopped = []
    getting = SimpleNamespace(stop=lambda: stopped.append(1))
    bench._getter = bench._visitors.of(ANNA)
    person.address = BEN
    with pytest.raises(InputError, match="Only the person who started it can stop it"):
        bench._stop_getting(getting)
    person.address = ANNA
    bench._stop_getting(getting)
    assert stopped == [1]


# --- quotas -----------------------------------------------------------------------------------------------------------


def test_so_many_requests_of_one_visitor_are_computed_at_a_time(bench, plain, person):
    shelved(plain)

    def steered():
        work = bench.run(Steer(bank="a", prompts=[PROMPT], vectors=[0], radii=[6.0], decoding=Decoding(50)))
        next(work)
        return work

    works = [steered() for _ in range(COMPUTING)]
    for ask in (
        steered,
        lambda: result_of(bench.run(Compare(bank="a"))),
        lambda: result_of(bench.run(Calibrate(prompts=[PROMPT]))),
    ):
        with pytest.raises(BusyError, match=rf"^Each visitor can run {COMPUTING} requests at a time.*or stop it\.$"):
            ask()
    assert bench.tokens([PROMPT], "all") and bench.load_model().loaded  # what a page does by itself goes on
    person.address = BEN
    steered().close()
    person.address = ANNA
    works.pop().close()  # a client that left
    steered().close()
    result_of(works.pop())
    assert result_of(bench.run(Compare(bank="a")))


def test_small_requests_have_a_limit_of_their_own():
    quotas = Quotas()
    entered = [quotas.looking("a") for _ in range(LOOKING)]
    for one in entered:
        one.__enter__()
    with pytest.raises(BusyError, match=f"Each visitor can run {LOOKING} small requests"), quotas.looking("a"):
        pass
    with quotas.looking("b"), quotas.computing("a"):
        pass
    for one in entered:
        one.__exit__(None, None, None)
    with quotas.looking("a"):
        pass
    assert not quotas._looking and not quotas._computing  # nothing is kept of visitors who left


def test_so_many_jobs_of_one_visitor_wait_or_run(bench, plain, person):
    shelved(plain)
    jobs = [long_job(bench) for _ in range(JOBS)]
    asks: list[Callable[[], object]] = [
        lambda: long_job(bench), lambda: bench.start(Train(prompts=[PROMPT], config=QUICK, name="b")),
        lambda: bench.start(MeasureAtlas(prompts=[PROMPT], sources=[1], targets=[3], scope="all")),
        lambda: bench.start(MeasureCurve(prompts=[PROMPT])),
        lambda: bench.run_again(jobs[0].id),
    ]  # fmt: skip
    for ask in asks:
        with pytest.raises(BusyError, match=rf"^Each visitor can have {JOBS} jobs at a time\. Wait"):
            ask()
    person.address = BEN
    other = long_job(bench)
    other.stop()
    person.address = ANNA
    for job in jobs:
        job.stop()
    assert all(job.wait(PATIENCE) for job in [*jobs, other])
    again = bench.run_again(jobs[0].id)
    assert again.record().who == jobs[0].record().who
    again.stop()
    assert again.wait(PATIENCE)


def test_a_job_that_is_on_its_way_into_the_queue_counts_once():
    """Two that are asked for at the same moment both fit: the first was in the queue and still being put there."""
    quotas, queue, put = Quotas(), list[str](), list[str]()

    def put_another() -> None:
        with quotas.job("anna", queue.count):
            put.append("anna")

    with quotas.job("anna", queue.count):
        queue.append("anna")
        other = threading.Thread(target=put_another)
        other.start()
        other.join(0.2)
    other.join(60)
    assert put == ["anna"]


def test_so_many_banks_of_one_visitor_are_kept_in_a_day():
    now = [0.0]
    quotas = Quotas(lambda: now[0])
    for _ in range(BANKS):
        with quotas.bank("a"):
            now[0] += 60
    with pytest.raises(BusyError, match=f"Each visitor can make {BANKS} banks per day.*the next one in 24 h"):
        quotas.bank("a").__enter__()
    with pytest.raises(RuntimeError), quotas.bank("b"):
        raise RuntimeError  # what failed does not count
    for _ in range(BANKS):
        with quotas.bank("b"):
            pass
    now[0] = DAY + 1
    with quotas.bank("a"):
        pass
    now[0] = 3 * DAY
    with quotas.bank("c"):
        pass
    assert {*quotas._banks} == {"c"}


def test_imports_and_formulas_count_as_banks_and_are_small(bench, plain, tmp_path, monkeypatch):
    shelved(plain)
    monkeypatch.setattr("melbo_app.public.quotas.BANKS", 2)
    monkeypatch.setattr("melbo_app.public.workbench.BANK_BYTES", 20_000)
    file, large = tmp_path / "v.safetensors", tmp_path / "large.safetensors"
    file.write_bytes(plain.bank("a").to_bytes())
    save_file({"vectors": np.ones((200, 32), np.float32)}, large)
    with pytest.raises(InputError, match="^bank file: the file has"):
        bench.import_bank(large, source=1)
    with pytest.raises(InputError, match="^formula: its .* vectors take .*At most .* are allowed here"):
        bench.combine_banks("join(" + ", ".join(["'a'"] * 60) + ")", "big")
    bench.import_bank(file, "b")
    bench.combine_banks("'a'[0] + 'a'[1]", "c")
    for ask in (
        lambda: bench.import_bank(file, "d"),
        lambda: bench.start(Train(prompts=[PROMPT], config=QUICK, name="e")),
    ):
        with pytest.raises(BusyError, match="Each visitor can make 2 banks"):
            ask()
    assert sorted(line.name for line in bench.banks()) == ["a", "b", "c"]


# --- visitors ---------------------------------------------------------------------------------------------------------


def test_a_visitor_keeps_a_name_that_does_not_tell_the_address(tmp_path):
    visitors = Visitors(tmp_path / "cache")
    anna = visitors.of(ANNA)
    assert anna == Visitors(tmp_path / "cache").of(ANNA) != Visitors(tmp_path / "other").of(ANNA)
    assert anna != visitors.of(BEN) and ANNA not in anna.name and anna.alone
    assert visitors.of(f"::ffff:{ANNA}") == anna
    assert visitors.of("2001:db8:1:2::1") == visitors.of("2001:db8:1:2:ffff::9") != visitors.of("2001:db8:1:3::1")
    nobody = visitors.of("")
    assert nobody == visitors.of("unix:") == visitors.of("testclient") and not nobody.alone
    assert not visitors.of(SOMEBODY).alone


def test_where_the_key_of_names_cannot_be_kept_names_last_as_long_as_the_server(tmp_path):
    (tmp_path / "cache").write_text("a file")
    visitors = Visitors(tmp_path / "cache")
    assert visitors.of(ANNA) == visitors.of(ANNA) != visitors.of(BEN)


# --- folders ----------------------------------------------------------------------------------------------------------


def old_bank(plain: Workbench, folder: Path) -> str:
    """One from a time when the server was not public, which names the folder of its model."""
    bank = trained(plain, "old")
    path = str(folder / "models of ours" / "tiny")
    record = bank.record.model_copy(
        update={"model": path, "command": f"python -m melbo_app train --model '{path}'", "note": f"Read from {path}."}
    )
    plain.bench.banks.delete("old")
    plain.bench.banks.save(replace(bank, record=record))
    return path


def test_no_bank_names_a_folder_neither_here_nor_in_a_file(bench, plain, folder, tmp_path):
    path = old_bank(plain, folder)
    assert plain.bank("old").record.model == path
    told = [bench.bank("old").record, bench.banks()[0].record, bench.search("old").banks[0].record]
    for record in told:
        assert record.model == "models of ours/tiny" or record.model == "tiny"
        assert str(folder) not in record.model_dump_json() and "--model" in record.command
    for format in FORMATS:
        for vector, radius in ((None, None), (0, None), (0, 5.0)):
            out = tmp_path / f"{format.key}-{vector}-{radius}{format.writes[0]}"
            try:
                bench.export_bank("old", out, format=format.key, vector=vector, radius=radius)
            except InputError:
                continue  # a format for one vector only, or for a target
            files = [file for file in out.rglob("*") if file.is_file()] if out.is_dir() else [out]
            assert files and not any(str(folder).encode() in file.read_bytes() for file in files), format.key
    again = bench.import_bank(tmp_path / "safetensors-None-None.safetensors", "again")
    assert again.hash == plain.bank("old").hash


def test_a_bank_that_names_no_folder_is_exported_byte_for_byte(bench, plain, tmp_path):
    shelved(plain)
    whole, shown = tmp_path / "whole.safetensors", tmp_path / "shown.safetensors"
    plain.export_bank("a", whole)
    bench.export_bank("a", shown)
    assert whole.read_bytes() == shown.read_bytes()


def test_no_error_names_a_folder(bench, plain, folder, monkeypatch):
    where = folder / "cache" / "banks" / "my bank.safetensors"

    def fails(error: Exception):
        def fail(*_, **__):
            raise error

        return fail

    for error, told in (
        (StorageError(f"“{where}” could not be read (No such file)."), "“banks/my bank.safetensors” could not be read"),
        (InputError("file", f"there is no file {where}", f"Look in {folder / 'cache'}"), "there is no file banks/my"),
        (OSError(28, "No space left on device", str(where)), "Something went wrong: OSError."),
    ):
        for name in ("bank", "import_bank", "load_model", "stop_job", "tokens", "start"):
            monkeypatch.setattr(plain, "job", fails(error))
            monkeypatch.setattr(plain, name, fails(error))
            asked = {
                "import_bank": (where,),
                "load_model": ("tiny",),
                "start": (Train(prompts=[PROMPT], config=QUICK, name="x"),),
            }
            with pytest.raises(MelboError) as refused:
                getattr(bench, name)(*asked.get(name, (1,)))
            assert str(folder) not in str(refused.value) and told in str(refused.value)
            monkeypatch.undo()


def test_neither_the_state_of_the_model_nor_a_job_names_a_folder(bench, plain, folder):
    path = folder / "models of ours" / "tiny"
    away = (path / "config.json").rename(folder / "away.json")
    try:
        with pytest.raises(InputError) as refused:
            bench.load_model("tiny")
    finally:
        away.rename(path / "config.json")
    state = bench.model_state()
    for text in (str(refused.value), state.error, state.name, str(bench.models()), str(bench.catalogue())):
        assert text and str(folder) not in text


def test_jobs_of_another_time_name_neither_people_nor_folders(bench, plain, folder):
    shelved(plain)
    path = str(folder / "models of ours" / "tiny")
    asked = [Prompt("What is in /etc/passwd?")]
    job = plain.start(Train(prompts=asked, config=QUICK, name="b"), who="192.0.2.77")
    assert job.wait(PATIENCE)
    records = plain.queue._records
    records.save(job.record().model_copy(update={"error": f"“{path}” is gone."}))
    record = bench.job(job.id)
    assert record.who == "somebody" and str(folder) not in record.model_dump_json()
    assert record.request["prompts"][0]["user"] == "What is in /etc/passwd?"  # people's own words stay
    assert bench.jobs()[0].who == "somebody"


def test_texts_keep_what_is_no_path(folder):
    discretion = Discretion(settings(folder / "cache", folder / "m"))
    for text in ("https://host.example/v1/chat/completions", "a/b and/or c", "3 / 4", "s → t", "", "1/2/3"):
        assert discretion.text(text) == text


def test_a_visitor_tests_labels_under_the_name_of_their_address(bench, plain, person):
    shelved(plain)
    mine = bench.label_trial("a", 1, "cats", "somebody else")
    assert mine.who and mine.who != "somebody else"
    person.address = "203.0.113.77"
    assert bench.label_trial("a", 1, "cats").who not in ("", mine.who)
    assert bench.label_readings("a") == ()
