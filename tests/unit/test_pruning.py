"""Keeping the cache within a size: what can be made again goes, and nothing else."""

import json
import os
import time
from datetime import UTC, datetime

import numpy as np
import pytest

from melbo_app.analysis.projection import Projection
from melbo_app.errors import InputError, StorageError
from melbo_app.library import weights
from melbo_app.library.bank import PromptRecord
from melbo_app.library.completion import Completion
from melbo_app.library.completions import Completions
from melbo_app.library.database import Database
from melbo_app.library.embeddings import Embeddings
from melbo_app.library.labels import Labels
from melbo_app.library.pruning import A_DAY, prune, size_of
from melbo_app.sizes import parse_size

NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture
def cache(tmp_path):
    (tmp_path / "cache" / "banks").mkdir(parents=True)
    (tmp_path / "cache" / "banks" / "first.safetensors").write_bytes(b"x" * 5000)
    return tmp_path / "cache"


@pytest.fixture
def database(cache):
    return Database(cache / "melbo.sqlite")


def completion(vector, text="x"):
    return Completion(
        bank="b", bank_hash="h" * 64, vector=vector, radius=1.0, source=1, prompt=PromptRecord(user="p"), text=text,
        tokens=1, finished=True, model="m", model_hash="m" * 64, max_new_tokens=1, temperature=0.0, top_p=1.0, seed=0,
        created=NOW,
    )  # fmt: skip


def fill(database, comparisons=40, size=20_000):
    """Comparisons of one large text each, by vectors 0, 1, 2 …"""
    completions = Completions(database)
    return [completions.add_comparison({}, [completion(number, "x" * size)]).id for number in range(comparisons)]


def model(cache, name, source, size=50_000):
    """A model as it lies in the cache after it was unpacked from ``source``."""
    folder = cache / "models" / name
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"w" * size)
    record = {"name": name, "source_sha256": name * 8, "files": {"model.safetensors": size}}
    (folder / weights.RECORD).write_text(json.dumps(record | ({"source_path": str(source)} if source else {})))
    return folder


def old(path):
    then = time.time() - 2 * A_DAY
    os.utime(path, (then, then))


def test_a_cache_within_the_limit_stays_as_it_is(cache, database):
    fill(database, 2)
    pruned = prune(cache, database, 10**9, "")
    assert pruned.removals == [] and pruned.before == pruned.after == size_of(cache, database)


def test_what_is_cheapest_to_make_goes_first_and_no_more_than_is_needed(cache, database):
    ids = fill(database)
    embeddings = Embeddings(database)
    embeddings.add("e", {str(number): np.ones(20_000, np.float32) for number in range(4)})
    embeddings.add_projection("e", ["a"], Projection(np.ones((20_000, 2), np.float32), "UMAP", ""))
    before = size_of(cache, database)
    first = prune(cache, database, before - 1000, "")
    assert [entry.what for entry in first.removals] == ["layouts of maps"] and first.after <= before - 1000
    assert set(embeddings.find("e", ["0", "3"])) == {"0", "3"}
    second = prune(cache, database, first.after - 1000, "")
    assert [entry.what for entry in second.removals] == ["embeddings"]
    third = prune(cache, database, second.after - 100_000, "")
    assert [entry.what for entry in third.removals] == ["completions of the oldest comparisons"]
    left = [line.id for line in Completions(database).recent(100)]
    assert left == ids[: -len(left) - 1 : -1] and 0 < len(left) < len(ids)  # the newest are there, the oldest are not
    assert third.after == size_of(cache, database) <= second.after - 100_000


def test_the_room_is_given_back_to_the_disk(cache, database):
    def on_disk():
        return sum(file.stat().st_size for file in cache.glob("melbo.sqlite*"))

    fill(database)
    before = on_disk()
    prune(cache, database, 0, "")
    assert on_disk() < before / 5


def test_labels_their_comparisons_the_newest_one_and_banks_stay_whatever_the_limit(cache, database):
    ids = fill(database)
    labels = Labels(database)
    kept = labels.save("b", "h" * 64, 7, name="kept", tags=["t"], rating=3, note="")
    pruned = prune(cache, database, 0, "")
    assert [line.id for line in Completions(database).recent(100)] == [ids[-1], ids[7]]
    assert labels.search() == [kept] and len(labels.history("h" * 64, 7)) == 1
    assert (cache / "banks" / "first.safetensors").exists() and pruned.after > 0
    assert database.faults() == []
    assert prune(cache, database, 0, "").removals == []


def test_a_dry_run_says_what_would_go_and_removes_nothing(cache, database, tmp_path):
    gguf = tmp_path / "other.gguf"
    gguf.write_bytes(b"")
    fill(database)
    Embeddings(database).add("e", {"a": np.ones(20_000, np.float32)})
    upload = cache / "uploads" / "a"
    upload.mkdir(parents=True)
    (upload / "file").write_bytes(b"x" * 700)
    old(upload)
    folder = model(cache, "other", gguf)
    before = size_of(cache, database)
    tried = prune(cache, database, 0, "", dry_run=True)
    assert [entry.what for entry in tried.removals] == [
        "uploads and leftovers", "embeddings", "unpacked model other", "completions of the oldest comparisons",
    ]  # fmt: skip
    assert size_of(cache, database) == before and folder.exists() and upload.exists()
    assert len(Completions(database).recent(100)) == 40
    done = prune(cache, database, 0, "")
    assert [(entry.what, entry.count) for entry in done.removals] == [
        (entry.what, entry.count) for entry in tried.removals
    ]
    assert not folder.exists() and not upload.exists()


def test_only_models_that_can_be_unpacked_again_go(cache, database, tmp_path, monkeypatch):
    gguf = tmp_path / "there.gguf"
    gguf.write_bytes(b"")
    wanted = model(cache, "wanted", gguf)
    gone, unknown = model(cache, "gone", tmp_path / "gone.gguf"), model(cache, "unknown", None)
    again = model(cache, "again", gguf)
    default = model(cache, "default", gguf)
    monkeypatch.setattr(weights, "DEFAULT_SHA256", "default" * 8)
    pruned = prune(cache, database, 0, str(wanted))
    assert [entry.what for entry in pruned.removals] == ["unpacked model again"]
    assert not again.exists() and all(folder.exists() for folder in (wanted, gone, unknown, default))


def test_leftovers_go_when_they_are_a_day_old_and_not_before(cache, database):
    for name, is_old in (("banks/.ab.part", True), ("banks/.cd.part", False), ("uploads/new", False)):
        path = cache / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
        if is_old:
            old(path)
    prune(cache, database, 0, "")
    assert sorted(path.name for path in (cache / "banks").iterdir()) == [".cd.part", "first.safetensors"]
    assert (cache / "uploads" / "new").exists()


def test_atlases_curves_and_explorations_stay_but_not_what_was_half_written_beside_them(cache, database):
    for folder in ("atlases", "curves", "explorations"):
        (cache / folder).mkdir()
        for name in ("whole.json", ".ab.part"):
            (cache / folder / name).write_bytes(b"x")
            old(cache / folder / name)
    prune(cache, database, 0, "")
    left = {path.relative_to(cache).as_posix() for path in cache.glob("[!b]*/*")}
    assert left == {"atlases/whole.json", "curves/whole.json", "explorations/whole.json"}


def test_a_disk_that_refuses_is_a_sentence_and_keeps_the_rest(cache, database, monkeypatch):
    upload = cache / "uploads" / "a"
    upload.parent.mkdir()
    upload.write_bytes(b"x")
    old(upload)
    fill(database, 3)

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "unlink", refuse)
    monkeypatch.setattr("pathlib.Path.unlink", refuse)
    with pytest.raises(StorageError, match="could not be removed"):
        prune(cache, database, 0, "")
    assert len(Completions(database).recent()) == 3


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("12", 12), ("3 kB", 3000), ("1.5MB", 1_500_000), (" 2gb ", 2 * 10**9), ("1T", 10**12), ("7B", 7)],
)
def test_a_size_is_read_as_a_person_writes_it(text, size):
    assert parse_size("limit", text) == size


@pytest.mark.parametrize("text", ["", "many", "-1", "1 PB", "1,5MB", "٣", "1e9", "9" * 40])
def test_what_is_no_size_is_an_input_error(text):
    with pytest.raises(InputError, match="^limit: .* is not a size. Write 500MB or 2GB"):
        parse_size("limit", text)
