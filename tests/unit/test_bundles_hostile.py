"""Bundles from strangers: each one is refused in one sentence with the library as it was, or whatever it brought can be
listed, opened and shown."""

import io
import json
import random
import sqlite3
import struct
import zipfile
from pathlib import Path
from typing import Any

import benches
import hostile_json
import libraries
import pytest
from sqlalchemy.pool import QueuePool

from melbo_app.errors import InputError
from melbo_app.library.tensor_file import SEAL, sealed
from melbo_app.workbench import Workbench

CASES, SEED = 10_000, 17
AT_ONCE, PAGES = 40, 30
NAMES = [
    "banks/CON.safetensors", "banks/../../x.safetensors", "../labels.jsonl", "banks/.safetensors", "x",
    "banks/SHIPS.safetensors", "banks/a\\b.safetensors", "labels.jsonl ", f"banks/{'n' * 300}.safetensors",
    "banks/x..safetensors", "BUNDLE.JSON",
]  # fmt: skip


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Nothing here outlives the test: the disk need not be waited for, nor its file be opened again and again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda handle: None)
        patch.setattr("melbo_app.library.sqlite.NullPool", QueuePool)
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        yield


@pytest.fixture(scope="module")
def real(quick: None, tmp_path_factory: pytest.TempPathFactory, model_folder: Path) -> dict[str, bytes]:
    """The files of a bundle with every kind of entry."""
    folder = tmp_path_factory.mktemp("real")
    bench = Workbench(benches.settings(folder / "cache", model_folder))
    libraries.fill(bench)
    bench.export_bundle(folder / "x.zip")
    with zipfile.ZipFile(folder / "x.zip") as archive:
        return {entry.filename: archive.read(entry) for entry in archive.infolist()}


class Library:
    """A workbench that says whether anything in it changed, and can be what it was before again."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.bench = Workbench(benches.settings(folder / "cache", model))
        self.folder, self._bundle = folder / "cache" / "banks", folder / "x.zip"
        self.bench.labels()  # makes the tables
        self._held = self.bench.bench.database._held
        self._before, self._banks = sqlite3.connect(":memory:"), dict[str, bytes]()
        self.keep()

    def keep(self) -> None:
        """What ``reset`` comes back to."""
        self._held.backup(self._before)
        self._banks = {path.name: path.read_bytes() for path in self.folder.glob("*")}

    def reset(self) -> None:
        self._before.backup(self._held)
        for path in self.folder.glob("*"):
            if path.name not in self._banks:
                path.unlink()

    def state(self) -> tuple[Any, ...]:
        """Another one after anything was written."""
        [version] = self._held.execute("PRAGMA data_version").fetchone()
        return version, sorted(path.name for path in self.folder.glob("*"))

    def merge(self, data: bytes) -> InputError | None:
        """The refusal; None where it was merged."""
        self._bundle.write_bytes(data)
        try:
            self.bench.import_bundle(self._bundle)
        except InputError as error:
            return error
        return None


@pytest.fixture(scope="module")
def library(quick: None, tmp_path_factory: pytest.TempPathFactory, model_folder: Path) -> Library:
    return Library(tmp_path_factory.mktemp("library"), model_folder)


@pytest.fixture(scope="module")
def page(library: Library) -> libraries.Shown:
    return libraries.Shown(library.bench)


def packed(files: dict[str, bytes], **how: Any) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", **how) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return stream.getvalue()


def with_lines(data: bytes, chance: random.Random) -> bytes:
    """JSON lines of which one is changed, doubled, lost or no JSON any more."""
    lines = data.split(b"\n")[:-1]
    at, how = chance.randrange(len(lines)), chance.randrange(12)
    if how < 9:
        lines[at] = json.dumps(hostile_json.changed(json.loads(lines[at]), chance)).encode()
    elif how == 9:
        lines[at] = lines[at][: chance.randrange(len(lines[at]))]
    elif how == 10:
        lines.insert(at, chance.choice((lines[at], b"", b"[" * 5000, b"\xff\xfe", b'{"a":1}' * 3, b"null")))
    else:
        del lines[at]
    return b"\n".join(lines) + b"\n"


def with_record(data: bytes, chance: random.Random) -> bytes:
    """A bank of which the header is changed."""
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    if chance.random() < 0.75:
        record = hostile_json.changed(json.loads(header["__metadata__"]["melbo"]), chance)
        said = {**header["__metadata__"], "melbo": json.dumps(record)}
        said.pop(SEAL)
        header["__metadata__"] = sealed(said)  # a stranger can make the checksum as well
    else:
        header = hostile_json.changed(header, chance, 1)
    head = json.dumps(header).encode()
    return struct.pack("<Q", len(head)) + head + data[8 + length :]


def with_bytes(data: bytes, chance: random.Random) -> bytes:
    """Bytes written over, put in, left out or lost at the end."""
    for _ in range(chance.randrange(1, 4)):
        at, how = chance.randrange(len(data)), chance.randrange(4)
        junk = bytes(chance.randrange(256) for _ in range(chance.choice((1, 1, 4, 9))))
        begin, end = data[:at], [data[at + len(junk) :], data[at:], data[at + 3 :], b""][how]
        data = begin + (junk if how < 2 else b"") + end
    return data


def hostile(real: dict[str, bytes], chance: random.Random) -> bytes:
    """The real bundle, changed somewhere."""
    files, how = dict(real), chance.randrange(100)
    if how < 40:
        files["comparisons.jsonl"] = with_lines(files["comparisons.jsonl"], chance)
    elif how < 60:
        files["labels.jsonl"] = with_lines(files["labels.jsonl"], chance)
    elif how < 80:
        name = chance.choice(("banks/ships.safetensors", "banks/tides.safetensors"))
        files[name] = with_record(files[name], chance)
    elif how < 84:
        head = hostile_json.changed(json.loads(files["bundle.json"]), chance)
        files["bundle.json"] = json.dumps(head).encode()
    elif how < 90:
        name = chance.choice(sorted(files))
        files[chance.choice((*NAMES, *files))] = files.pop(name) if chance.random() < 0.5 else files[name]
    elif how < 92:
        return packed(files, compression=zipfile.ZIP_DEFLATED)
    else:
        return with_bytes(packed(files), chance)
    return packed(files)


def test_the_bundle_that_is_changed_below_can_be_merged(real, library, page):
    found = library.bench
    assert library.merge(packed(real)) is None
    assert {line.name for line in found.banks()} == {"tides", "ships"}
    assert len(found.comparisons(None)) == 5 and [label.name for label in found.labels()] == ["greets all"]
    assert page.open() and found.damaged() == []


def test_any_bundle_is_refused_in_one_sentence_or_everything_can_be_listed(real, library, page, monkeypatch):
    """What is not changed in a bundle is in the library already: what is new is what was changed."""
    told: list[Any] = []
    monkeypatch.setattr("gradio.Warning", lambda *words, **_: told.append(words))
    library.merge(packed(real))
    library.keep()
    merged: list[int] = []
    before, refusals, pages = library.state(), 0, 0
    for case in range(CASES):
        refused = library.merge(hostile(real, random.Random(f"{SEED} {case}")))
        if refused is None:
            merged.append(case)
            before = library.state()
        else:
            refusals += 1
            assert library.state() == before, case
            assert str(refused).isprintable() and len(str(refused)) < 600, case
        if len(merged) == AT_ONCE or case == CASES - 1:
            everything = [*libraries.lists(library.bench)]
            assert everything and library.bench.damaged() == [], merged
            if pages < PAGES:
                pages += 1
                assert page.open(), merged
            library.reset()
            before, merged = library.state(), []
    assert CASES // 2 < refusals < CASES * 9 // 10 and pages == PAGES
    assert told == []
