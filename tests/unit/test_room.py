"""The reserve of a disk: large files leave it alone, labels and texts may use it; and the memory that reading takes."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import benches
import pytest

from melbo_app.errors import InputError, StorageError
from melbo_app.library import room as room_module
from melbo_app.library.atomic import write_file, write_folder
from melbo_app.library.room import RESERVE, SHARE, SMALL, room
from melbo_app.workbench import Workbench

Disk = Callable[[int, int], None]


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """Makes every disk one of so many bytes, of which so many are free."""

    def made(total: int, free: int) -> None:
        usage = SimpleNamespace(total=total, free=free)
        monkeypatch.setattr(room_module, "shutil", SimpleNamespace(disk_usage=lambda path: usage))

    return made


@pytest.mark.parametrize(
    ("total", "free", "left"),
    [
        (10**12, 10**11, 10**11 - RESERVE),
        (10**12, RESERVE, 0),
        (10**12, 5, 0),
        (150 * 10**6, 100 * 10**6, 85 * 10**6),  # a small disk keeps a tenth of itself
    ],
)
def test_what_may_be_written_is_what_is_free_less_the_reserve(disk, tmp_path, total, free, left):
    disk(total, free)
    assert room(tmp_path / "not" / "made yet") == left


def test_a_large_file_leaves_the_reserve_and_a_small_one_may_use_it(disk, tmp_path):
    disk(10**12, RESERVE + SMALL)
    write_file(tmp_path / "one", bytes(SMALL), overwrite=False)
    disk(10**12, RESERVE)
    with pytest.raises(StorageError) as refused:
        write_file(tmp_path / "two", bytes(SMALL + 1), overwrite=False)
    assert str(refused.value) == (
        f"“two” needs 1 MB, but only 0 bytes are available on the disk of “{tmp_path}”: the rest is reserved for "
        "labels and texts. Make room and try again."
    )
    with pytest.raises(StorageError, match="^“folder” needs 2 MB, but only 0 bytes are available"):
        write_folder(tmp_path / "folder", {"a": bytes(SMALL), "b": bytes(SMALL)})
    write_file(tmp_path / "three", bytes(SMALL), overwrite=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "three"]


def test_a_disk_that_does_not_say_how_full_it_is_refuses_by_itself(tmp_path, monkeypatch):
    def silent(path: Path) -> None:
        raise OSError("no")

    monkeypatch.setattr(room_module, "shutil", SimpleNamespace(disk_usage=silent))
    write_file(tmp_path / "one", bytes(SMALL + 1), overwrite=False)


def test_on_a_full_disk_labels_are_saved_and_bundles_and_checkpoints_are_not(disk, tmp_path, bench):
    benches.trained(bench, "two")
    disk(SMALL, int(SHARE * SMALL))
    assert bench.save_label("two", 0, name="a name").name == "a name"
    with pytest.raises(StorageError, match=r"^“x\.zip” needs 10 MB, but only 0 bytes are available"):
        bench.export_bundle(tmp_path / "x.zip")
    with pytest.raises(StorageError, match="reserved for labels and texts"):
        write_file(tmp_path / "checkpoint", bytes(2 * SMALL), overwrite=True)
    assert not (tmp_path / "x.zip").exists()


@pytest.mark.parametrize("kind", ["bank", "bundle"])
def test_a_file_that_needs_more_memory_than_may_be_used_is_not_read(tmp_path, model_folder, kind):
    settings = benches.settings(tmp_path / "cache", model_folder).model_copy(update={"memory_gb": 0.03})
    bench, file = Workbench(settings), tmp_path / ("x.zip" if kind == "bundle" else "x.safetensors")
    file.write_bytes(bytes(3_000_000))
    with pytest.raises(InputError) as refused:
        bench.import_bundle(file) if kind == "bundle" else bench.import_bank(file, "x")
    assert str(refused.value) == (
        "memory: a file of 3 MB needs 36 MB and 30 MB may be used. Import a smaller file, or allow more with "
        "MELBO_MEMORY_GB."
    )


def test_files_that_belong_together_are_counted_together(tmp_path, model_folder):
    settings = benches.settings(tmp_path / "cache", model_folder).model_copy(update={"memory_gb": 0.03})
    files = [tmp_path / f"{letter}_x.pt" for letter in "VU"]
    for file in files:
        file.write_bytes(bytes(1_500_000))
    with pytest.raises(InputError, match="^memory: a file of 3 MB needs 36 MB"):
        Workbench(settings).import_bank(files[0], "x", beside=files[1:])
