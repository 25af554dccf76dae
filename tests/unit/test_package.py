"""What `pip install .` brings: the program, what ships beside it, and a command."""

import json
import os
import subprocess
import sys
import tarfile
from importlib.metadata import PathDistribution
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = [path for folder in ("assets", "melbo_app") for path in sorted((ROOT / folder).rglob("*"))]
SHIPPED = [path for path in SHIPPED if path.is_file() and "__pycache__" not in path.parts]
WHERE = """
import json, sys
from melbo_app.library.bundled import WHEELS
from melbo_app.settings import ROOT, Settings
print(json.dumps([str(ROOT), str(Settings().cache_dir), str(Settings().assets_dir), WHEELS.is_file()]))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    out = tmp_path_factory.mktemp("built")
    build = "import sys; from hatchling.build import build_sdist; print(build_sdist(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", build, str(out)], cwd=ROOT, check=True, capture_output=True)
    [sdist] = out.glob("*.tar.gz")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--wheel-dir", str(out), str(sdist)], cwd=out, check=True, capture_output=True)
    return out


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as pip would unpack it."""
    folder = tmp_path_factory.mktemp("installed")
    [wheel] = built.glob("*.whl")
    with ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run(installed: Path, home: Path, *command: str, **environment: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MELBO_", "XDG_"))}
    kept |= {"PYTHONPATH": str(installed), "HOME": str(home), **environment}
    done = subprocess.run([sys.executable, *command], cwd=home, env=kept, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_everything_that_ships_is_in_both(built: Path, installed: Path):
    [sdist] = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert not [path for path in SHIPPED if str(path.relative_to(ROOT)) not in inside]
    assert {"app.py", "Makefile", "README.md", "requirements.txt", "requirements-weights.txt"} <= inside
    for path in SHIPPED:
        name = path.relative_to(ROOT)
        there = installed / (name if name.parts[0] == "melbo_app" else Path("melbo_app") / name)
        assert there.read_bytes() == path.read_bytes(), name


def test_the_wheel_holds_nothing_else(installed: Path):
    assert {path.name.partition("-")[0] for path in installed.iterdir()} == {"melbo_app", "melbo_explorer"}


def test_what_ships_is_found_and_the_cache_is_the_users(installed: Path, tmp_path: Path):
    root, cache, assets, wheels = json.loads(run(installed, tmp_path, "-c", WHERE))
    assert (root, assets, wheels) == (str(installed / "melbo_app"), str(installed / "melbo_app" / "assets"), True)
    assert Path(cache).is_relative_to(tmp_path) and not Path(cache).is_relative_to(installed)
    assert json.loads(run(installed, tmp_path, "-c", WHERE, MELBO_CACHE_DIR=str(tmp_path / "own")))[1] == str(
        tmp_path / "own"
    )


def test_a_clone_keeps_its_cache_in_its_folder(tmp_path: Path):
    root, cache, *_ = json.loads(run(ROOT, tmp_path, "-c", WHERE))
    assert (root, cache) == (str(ROOT), str(ROOT / "cache"))


def test_the_command_is_there_and_needs_what_a_clone_needs(installed: Path, tmp_path: Path):
    [folder] = installed.glob("*.dist-info")
    distribution = PathDistribution(folder)
    [command] = distribution.entry_points
    assert (command.name, command.value) == ("melbo", "melbo_app.cli:main")
    pinned = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and line[0] not in "#-"]
    assert len(distribution.requires or []) == len(pinned)
    script = tmp_path / "melbo"
    script.write_text("import sys; from melbo_app.cli import main; sys.exit(main())")
    assert "melbo serve [OPTIONS]" in run(installed, tmp_path, str(script), "serve", "--help")
    assert "weekend" in run(installed, tmp_path, str(script), "banks", "list")
