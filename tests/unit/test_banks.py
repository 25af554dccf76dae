"""The shelf of banks: nothing is overwritten, half-written or believed."""

import errno
import os
import threading
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from melbo_app.errors import InputError, StorageError
from melbo_app.library import atomic
from melbo_app.library import banks as shelf
from melbo_app.library.bank import Bank, BankRecord
from melbo_app.library.banks import MOST_OPENED, Banks

DAY = datetime(2026, 11, 21, tzinfo=UTC)
VECTORS = np.array([[3, 4, 0], [0, 3, -4]], dtype=np.float32)


def bank(name="first", vectors=VECTORS, created=DAY, **changes):
    facts = {"model": "tiny", "model_hash": "ab" * 32, "hidden_size": 3, "source": 2, "radius": 5.0, "method": "joint"}
    return Bank(BankRecord(name=name, created=created, **(facts | changes)), vectors)


@pytest.fixture
def own(tmp_path):
    return tmp_path / "cache" / "banks"


@pytest.fixture
def samples(tmp_path):
    folder = tmp_path / "assets" / "banks"
    folder.mkdir(parents=True)
    (folder / "Sample.safetensors").write_bytes(bank("Sample").to_bytes())
    return folder


@pytest.fixture
def banks(own, samples):
    return Banks(own, samples)


def names(folder):
    return sorted(os.listdir(folder)) if folder.exists() else []


def test_a_saved_bank_is_on_the_shelf(banks, own):
    path = banks.save(bank())
    assert path == own / "first.safetensors" and names(own) == ["first.safetensors"]
    loaded = banks.load("first")
    assert loaded.record == bank().record and loaded.vectors.tolist() == VECTORS.tolist()
    assert loaded.hash == bank().hash


def test_the_shelf_is_empty_where_there_are_no_folders(tmp_path):
    assert Banks(tmp_path / "no", tmp_path / "none").list() == []


def test_own_banks_come_newest_first_and_samples_after_them(banks):
    for days, name in enumerate(["b", "a", "c"]):
        banks.save(bank(name, created=DAY - timedelta(days=days)))
    lines = banks.list()
    assert [(line.name, line.sample) for line in lines] == [("b", False), ("a", False), ("c", False), ("Sample", True)]
    assert all((line.vectors, line.hash, line.damaged) == (2, bank().hash, None) for line in lines)
    assert lines[0].record == bank("b").record


def test_the_list_reads_headers_only(banks, own, monkeypatch):
    banks.save(bank())
    monkeypatch.setattr(np, "frombuffer", lambda *_, **__: pytest.fail("the vectors were read"))
    assert banks.list()[0].name == "first"


@pytest.mark.parametrize("content", [b"", b"garbage" * 9, bank().to_bytes()[:-3]])
def test_a_damaged_file_is_listed_as_damaged_and_can_be_deleted(banks, own, content):
    banks.save(bank())
    (own / "broken.safetensors").write_bytes(content)
    lines = {line.name: line for line in banks.list()}
    assert lines["broken"].damaged.startswith("bank file: ") and lines["broken"].record is None
    assert lines["first"].damaged is None
    with pytest.raises(InputError, match="^bank: “broken” cannot be read: it"):
        banks.load("broken")
    banks.delete("broken")
    assert names(own) == ["first.safetensors"]


def test_a_file_that_vanishes_while_the_shelf_is_listed_is_left_out(banks, own, monkeypatch):
    banks.save(bank())
    os.symlink(own / "gone", own / "dangling.safetensors")
    assert [line.name for line in banks.list()] == ["first", "Sample"]


def test_what_is_no_bank_file_is_not_listed(banks, own):
    banks.save(bank())
    (own / ".hidden.safetensors").write_bytes(b"")
    (own / "left-over.part").write_bytes(b"")
    (own / "folder.safetensors").mkdir()
    assert [line.name for line in banks.list() if not line.sample] == ["first"]


def test_a_file_renamed_by_hand_goes_by_its_new_name(banks, own):
    banks.save(bank())
    (own / "first.safetensors").rename(own / "second.safetensors")
    assert banks.list()[0].record.name == banks.load("second").record.name == "second"


@pytest.mark.parametrize("name", ["First 2", "ä-Übung_1.5", "-x", "a" * 80, "感情", " padded "])
def test_a_good_name_is_accepted(banks, name):
    banks.save(bank(name))
    assert banks.load(name).record.name == name.strip()


@pytest.mark.parametrize(
    "name",
    ["", "  ", ".hidden", "..", "a/b", "..\\b", "a\nb", "a\0b", "a" * 81, "感" * 80, "x:y", "a*", "🙂", "\ud800"],
)
def test_a_bad_name_is_refused(banks, own, name):
    with pytest.raises(InputError, match="^name: "):
        banks.save(bank("x").renamed(name))
    assert names(own) == []


@pytest.mark.parametrize("name", ["../first", "/etc/passwd", "first/", "", "nothing", "*"])
def test_an_unknown_name_is_an_input_error_wherever_it_points(banks, own, name):
    banks.save(bank())
    for use in (banks.load, banks.delete):
        with pytest.raises(InputError, match="^bank: there is no bank called"):
            use(name)
    assert names(own) == ["first.safetensors"]


def test_names_are_found_and_taken_in_any_case(banks, own):
    banks.save(bank("First"))
    assert banks.load("fIRST").record.name == "First"
    for name in ("first", "FIRST", "First", "sample"):
        with pytest.raises(InputError, match="^name: a bank called .* already exists"):
            banks.check_free(f" {name}")
        with pytest.raises(InputError, match="^name: a bank called .* already exists"):
            banks.save(bank(name, VECTORS * 2, radius=10.0))
    assert names(own) == ["First.safetensors"]
    assert banks.check_free(" Second ") == "Second"
    assert banks.load("First").hash == bank().hash


def test_samples_cannot_be_deleted(banks, samples):
    with pytest.raises(InputError, match="^bank: “Sample” is a sample"):
        banks.delete("sample")
    assert names(samples) == ["Sample.safetensors"]


def test_of_many_simultaneous_saves_of_one_name_exactly_one_wins(own, samples):
    shelves = [Banks(own, samples) for _ in range(8)]
    barrier, outcomes, refused = threading.Barrier(8), [], []

    def save(number):
        mine = bank("same" if number % 2 else "SAME", VECTORS * (number + 1), radius=5.0 * (number + 1))
        barrier.wait()
        try:
            shelves[number].save(mine)
            outcomes.append(mine.hash)
        except InputError as error:
            refused.append(error.field)

    threads = [threading.Thread(target=save, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 1 and refused == ["name"] * 7 and len(names(own)) == 1
    assert shelves[0].load("same").hash == outcomes[0]


def test_another_process_that_takes_the_name_in_the_last_moment_is_not_overwritten(banks, own, monkeypatch):
    link = os.link

    def late(part, path):
        path.write_bytes(b"theirs")
        link(part, path)

    monkeypatch.setattr(os, "link", late)
    with pytest.raises(InputError, match="^name: "):
        banks.save(bank())
    assert names(own) == ["first.safetensors"]
    assert (own / "first.safetensors").read_bytes() == b"theirs"


def no_space(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def no_links(*_, **__):
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


class FullDisk:
    """A file on a disk that is full after a few bytes."""

    def __init__(self, path, mode):
        self.file = open(path, mode)  # noqa: SIM115

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, data):
        self.file.write(data[:5])
        no_space()


FAULTS = {
    "open": (atomic, "open", no_space),
    "write": (atomic, "open", FullDisk),
    "fsync": (os, "fsync", no_space),
    "link": (os, "link", no_space),
}


@pytest.mark.parametrize("fault", ["open", "write", "fsync", "link"])
def test_a_full_disk_leaves_nothing_behind_and_the_sentence_says_what_is_needed(banks, own, monkeypatch, fault):
    banks.save(bank("earlier"))
    module, function, broken = FAULTS[fault]
    with monkeypatch.context() as patch:
        patch.setattr(module, function, broken, raising=False)
        told = r"No space left .* needs [\d.]+ (bytes|kB|MB), and .* are free .*Make room"
        with pytest.raises(StorageError, match=told):
            banks.save(bank())
    assert names(own) == ["earlier.safetensors"]
    assert banks.load("earlier").hash == bank().hash
    banks.save(bank())  # and works again once there is room


def test_a_disk_without_hard_links_is_written_to_as_safely(banks, own, monkeypatch):
    monkeypatch.setattr(os, "link", no_links)
    banks.save(bank())
    assert names(own) == ["first.safetensors"] and banks.load("first").hash == bank().hash
    with pytest.raises(FileExistsError):
        atomic.write_file(own / "first.safetensors", b"other", overwrite=False)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", no_space)
        with pytest.raises(StorageError):
            banks.save(bank("second"))
    assert names(own) == ["first.safetensors"] and banks.load("first").hash == bank().hash


def test_a_shelf_that_cannot_be_made_is_a_storage_error(tmp_path, samples):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="could not be made"):
        Banks(tmp_path / "file" / "banks", samples).save(bank())


def test_a_file_that_the_disk_cannot_read_is_a_storage_error(banks, own, monkeypatch):
    banks.save(bank())

    def broken(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Bank, "read", broken)
    with pytest.raises(StorageError, match="could not be read"):
        banks.load("first")


def test_a_bank_is_read_once_for_as_long_as_its_file_is_the_same(banks, own, monkeypatch):
    banks.save(bank("mine"))
    read = []
    monkeypatch.setattr(shelf, "_load", lambda path, load=shelf._load: read.append(path.stem) or load(path))
    first = banks.load("mine")
    assert banks.load("mine") is first and read == ["mine"]

    banks.delete("mine")
    banks.save(bank("mine", VECTORS[::-1].copy()))
    assert np.array_equal(banks.load("mine").vectors, VECTORS[::-1]) and read == ["mine"] * 2

    file = own / "mine.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(InputError, match="cannot be read"):
        banks.load("mine")


def test_few_banks_stay_open(banks):
    for number in range(2 * MOST_OPENED):
        banks.save(bank(f"bank {number}"))
        banks.load(f"bank {number}")
    assert len(banks._opened) == MOST_OPENED
