"""Paths in the settings mean the same place wherever one stands, and nothing is made that nobody meant."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

import app
from melbo_app import api
from melbo_app.arguments import file_path
from melbo_app.cli import main
from melbo_app.errors import InputError
from melbo_app.library.database import Database
from melbo_app.library.prompt_sets import PromptSets
from melbo_app.paths import written_path
from melbo_app.settings import ROOT, Settings, fault
from melbo_app.workbench import Workbench


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """A home of one's own, in which one stands, and no settings in the environment."""
    for name in [name for name in os.environ if name.startswith(("MELBO_", "GRADIO_"))]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)
    return home


@pytest.mark.parametrize(
    "written", ["~/melbo", "$HOME/melbo", "${HOME}/melbo", "melbo", "./melbo", "sub/../melbo", "$M"]
)
@pytest.mark.parametrize(
    ("variable", "field"),
    [("MELBO_CACHE_DIR", "cache_dir"), ("MELBO_ASSETS_DIR", "assets_dir"), ("GRADIO_TEMP_DIR", "uploads_dir")],
)
def test_a_folder_is_expanded_and_absolute(home, monkeypatch, tmp_path, variable, field, written):
    monkeypatch.setenv("M", "~/melbo")
    monkeypatch.setenv(variable, written)
    settings = Settings()
    monkeypatch.chdir(tmp_path)
    assert getattr(settings, field) == home / "melbo"
    assert list(home.iterdir()) == []


def test_a_link_before_two_dots_leads_where_it_leads_on_the_disk(home, tmp_path, monkeypatch):
    (tmp_path / "far" / "away").mkdir(parents=True)
    (home / "link").symlink_to(tmp_path / "far" / "away")
    monkeypatch.setenv("MELBO_CACHE_DIR", "link/../melbo")
    assert Settings().cache_dir == (tmp_path / "far" / "melbo").resolve()


@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_folder_is_none(monkeypatch, value):
    for name in ("MELBO_CACHE_DIR", "MELBO_ASSETS_DIR", "GRADIO_TEMP_DIR"):
        monkeypatch.setenv(name, value)
    found = Settings()
    assert (found.cache_dir, found.assets_dir, found.uploads_dir) == (ROOT / "cache", ROOT / "assets", None)


def test_every_empty_variable_counts_as_not_given(monkeypatch):
    usual = Settings()
    for name in ("MODEL", "DEVICE", "DTYPE", "MEMORY_GB", "DATABASE_URL", "HOST", "PORT", "MCP"):
        monkeypatch.setenv(f"MELBO_{name}", "")
    assert Settings() == usual


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("MELBO_CACHE_DIR", "letter.txt", "“{home}/letter.txt” is a file. Name a folder."),
        ("MELBO_CACHE_DIR", "/dev/null", "“/dev/null” is a file. Name a folder."),
        ("MELBO_ASSETS_DIR", "~/letter.txt", "“{home}/letter.txt” is a file. Name a folder."),
        ("GRADIO_TEMP_DIR", "~/letter.txt", "“{home}/letter.txt” is a file. Name a folder."),
        (
            "MELBO_CACHE_DIR",
            "$HOEM/a",
            "“$HOEM/a” cannot be read: the variable $HOEM is not set. Write the path in full.",
        ),
        (
            "MELBO_CACHE_DIR",
            "~nobody-here/a",
            "“~nobody-here/a” cannot be read: the user ~nobody-here does not exist. Write",
        ),
        ("MELBO_DATABASE_URL", "sqlite:///~", "“{home}” is a folder. Name a file in it."),
        ("MELBO_DATABASE_URL", "sqlite:///$HOEM/x", "“$HOEM/x” cannot be read: the variable $HOEM is not set."),
    ],
)
def test_a_path_that_cannot_be_meant_is_one_sentence(home, monkeypatch, capsys, variable, value, told):
    (home / "letter.txt").write_text("x")
    monkeypatch.setenv(variable, value)
    told = told.format(home=home)
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert fault(refused.value).startswith(f"{variable}: {told}")
    with pytest.raises(SystemExit) as ended:
        main(["banks"])
    assert ended.value.code == 2 and capsys.readouterr().err.startswith(f"{variable}: {told}")
    with pytest.raises(SystemExit, match="2"):
        app.main([])
    assert capsys.readouterr().err.startswith(f"{variable}: {told}")
    assert [path.name for path in home.iterdir()] == ["letter.txt"]


def test_a_word_of_the_command_is_named_as_it_was_written(monkeypatch, capsys):
    with pytest.raises(SystemExit, match="2"):
        app.main(["--port", "0"])
    assert capsys.readouterr().err.startswith("port: ")
    monkeypatch.setenv("MELBO_PORT", "0")
    with pytest.raises(SystemExit, match="2"):
        app.main([])
    assert capsys.readouterr().err.startswith("MELBO_PORT: ")


def test_a_folder_of_that_very_name_is_meant(home, monkeypatch):
    (home / "$x").mkdir()
    monkeypatch.setenv("MELBO_CACHE_DIR", "$x")
    assert Settings().cache_dir == home / "$x"


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///~/labels.sqlite", "labels.sqlite"),
        ("sqlite:///$HOME/labels.sqlite", "labels.sqlite"),
        ("sqlite:///labels.sqlite", "labels.sqlite"),
        ("sqlite+pysqlite:///sub/labels.sqlite?mode=rw", "sub/labels.sqlite"),
    ],
)
def test_a_database_in_a_file_is_a_path_like_others(home, monkeypatch, tmp_path, url, path):
    monkeypatch.setenv("MELBO_DATABASE_URL", url)
    settings = Settings()
    monkeypatch.chdir(tmp_path)
    database = Database(settings.cache_dir / "melbo.sqlite", settings.database_url)
    assert database.path == home / path


@pytest.mark.parametrize("url", ["postgresql+psycopg://melbo:$ecret@host/~/x", "sqlite://", "sqlite:///:memory:"])
def test_other_addresses_stay_as_they_are(monkeypatch, url):
    monkeypatch.setenv("MELBO_DATABASE_URL", url)
    assert Settings().database_url == url


def test_a_model_is_a_name_unless_it_is_a_path_that_is_there(home, monkeypatch):
    (home / "models" / "mine").mkdir(parents=True)
    (home / "qwen2.5-0.5b").mkdir()
    for written in ("~/models/mine", "$HOME/models/mine", "models/mine", "./models/mine"):
        monkeypatch.setenv("MELBO_MODEL", written)
        assert Settings().model == str(home / "models" / "mine")
    for name in ("qwen2.5-0.5b", "Qwen/Qwen2.5-0.5B", "SmolLM2-135M-Instruct"):
        monkeypatch.setenv("MELBO_MODEL", name)
        assert Settings().model == name


def test_what_a_command_is_to_read_and_write_is_expanded(home, monkeypatch, capsys):
    monkeypatch.setenv("MELBO_CACHE_DIR", "~/cache")
    with pytest.raises(SystemExit) as ended:
        main(["labels", "export", "--out", "~/labels.csv"])
    assert ended.value.code == 0 and str(home / "labels.csv") in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(["library", "export", "--out=$HOME/all.zip"])
    assert ended.value.code == 0
    with pytest.raises(SystemExit) as ended:
        main(["labels", "export", "--out", "$HOEM/labels.csv"])
    assert ended.value.code == 2 and "the variable $HOEM is not set" in capsys.readouterr().err
    assert sorted(path.name for path in home.iterdir()) == ["all.zip", "cache", "labels.csv"]
    (home / "mine.txt").write_text("Why?\n")
    assert [one.text for one in PromptSets(ROOT / "assets" / "prompts").read("~/mine.txt")] == ["Why?"]


def test_notebooks_write_paths_in_the_same_way(home):
    assert file_path("~/a.safetensors") == file_path(Path("$HOME/a.safetensors")) == home / "a.safetensors"
    assert written_path("a") == Path("a")
    with pytest.raises(InputError, match="the user ~nobody-here does not exist"):
        api.open_bank("~nobody-here/a.safetensors")


@pytest.mark.parametrize("words", [["banks"], ["labels", "list"], ["jobs"], ["library", "search", "x"]])
def test_a_command_that_finds_nothing_says_where_it_looked(home, monkeypatch, capsys, words):
    monkeypatch.setenv("MELBO_CACHE_DIR", "here")
    with pytest.raises(SystemExit):
        main([*words, "--json"])
    told = capsys.readouterr()
    assert told.err == f"Banks, labels and models are kept in “{home / 'here'}”.\n" and told.out.startswith("{")


def test_labels_that_are_elsewhere_are_said_to_be_and_without_the_password(monkeypatch):
    monkeypatch.setenv("MELBO_DATABASE_URL", "sqlite:///~/labels.sqlite")
    kept = Workbench(Settings()).kept_in
    assert kept.startswith("Banks and models are kept in “") and "labels.sqlite”." in kept
    pytest.importorskip("psycopg")
    monkeypatch.setenv("MELBO_DATABASE_URL", "postgresql+psycopg://melbo:secret@host/melbo")
    assert "secret" not in Workbench(Settings()).kept_in
