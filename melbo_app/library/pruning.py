"""Pruning: keeps the cache within a size by removing only what can be made again."""

import os
import shutil
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import and_, delete, func, select
from sqlalchemy.orm import Session

from melbo_app.errors import StorageError
from melbo_app.library import sqlite, weights
from melbo_app.library.database import Database
from melbo_app.library.tables import ComparisonRow, CompletionRow, EmbeddingRow, LabelRow, ProjectionRow

A_DAY = 86_400.0
AT_ONCE = 20  # comparisons removed between two measurements of the size


@dataclass(frozen=True)
class Removal:
    """What was removed, or would be: the kind, the number and the freed bytes."""

    what: str
    count: int
    size: int


@dataclass(frozen=True)
class Pruned:
    """The size of the cache in bytes before and after, and what was removed."""

    before: int
    after: int
    removals: list[Removal]


class _TriedOnly(Exception):
    """Rolls back a transaction that only measured what a removal would free."""


def prune(cache_dir: Path, database: Database, limit: int, model: str, *, dry_run: bool = False) -> Pruned:
    """Remove what can be made again until the cache has at most ``limit`` bytes, cheapest to remake first.

    The order is: uploads and half-written files older than a day; layouts of maps; embeddings; the vectors of diversity
    curves; unpacked models (except the default one and ``model``) whose .gguf file still exists; and last the oldest
    comparisons, unless one of their vectors has a label. Banks, labels with their history, runs and the newest
    comparison always stay, so the limit may not be reached. A ``dry_run`` removes nothing. Raises StorageError.
    """
    before = size_of(cache_dir, database)
    removals: list[Removal] = []
    patterns = ("uploads/*", ".*.part", "*/.*.part", "models/.part-*")
    leftovers = (path for pattern in patterns for path in cache_dir.glob(pattern))

    def excess() -> int:
        return before - sum(removal.size for removal in removals) - limit

    steps: list[Callable[[int], list[Removal]]] = [
        # recent ones stay, because the page may still need them
        lambda most: _remove_paths("uploads and leftovers", leftovers, A_DAY, dry_run),
        lambda most: _in_database(database, "layouts of maps", lambda session: _empty(session, ProjectionRow), dry_run),
        lambda most: _in_database(database, "embeddings", lambda session: _empty(session, EmbeddingRow), dry_run),
        lambda most: _remove_paths("vectors of diversity curves", cache_dir.glob("curves/*.safetensors"), 0, dry_run),
        lambda most: _remove_models(cache_dir, model, most, dry_run),
        lambda most: _in_database(
            database, "completions of the oldest comparisons", lambda session: _remove_oldest(session, most), dry_run
        ),
    ]
    for step in steps:
        if (most := excess()) > 0:
            removals += step(most)
    if removals and not dry_run:
        with suppress(StorageError):  # in use, or the disk is full: the database reuses the freed space itself
            database.compact()
        return Pruned(before, size_of(cache_dir, database), removals)
    return Pruned(before, before - sum(removal.size for removal in removals), removals)


def size_of(cache_dir: Path, database: Database) -> int:
    """Bytes of the files in the cache, counting only the bytes in use of the database. Copies of the database do not
    count: nothing should be removed for their sake."""
    total = 0
    own = database.path.name if database.path is not None else None
    for folder, folders, files in os.walk(cache_dir):
        folders[:] = [name for name in folders if Path(folder, name) != database.backups.folder]
        for file in files:
            if own is None or file not in (own, f"{own}-wal", f"{own}-shm"):
                with suppress(FileNotFoundError):
                    total += os.lstat(os.path.join(folder, file)).st_size
    if own is not None:
        with database.read() as session:
            total += sqlite.used_bytes(session.connection())
    return total


def _remove_paths(what: str, paths: Iterable[Path], age: float, dry_run: bool) -> list[Removal]:
    """Remove files and folders that are at least ``age`` seconds old."""
    count = size = 0
    for path in paths:
        try:
            if age and time.time() - path.lstat().st_mtime < age:
                continue
            inside = [path, *path.rglob("*")] if path.is_dir() else [path]
            size += sum(one.lstat().st_size for one in inside if one.is_file())
            count += 1
            if not dry_run:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        except FileNotFoundError:  # another process removed it
            continue
        except OSError as error:
            raise StorageError(f"“{path}” could not be removed ({error.strerror or error}).") from error
    return [Removal(what, count, size)] if count else []


def _remove_models(cache_dir: Path, model: str, most: int, dry_run: bool) -> list[Removal]:
    removals: list[Removal] = []
    for files, size in weights.removable(cache_dir, model):
        if most <= 0:
            break
        if not dry_run:
            weights.remove(files)
        removals.append(Removal(f"unpacked model {files.name}", 1, size))
        most -= size
    return removals


def _in_database(database: Database, what: str, remove: Callable[[Session], int], dry_run: bool) -> list[Removal]:
    """Call ``remove``, which returns a number of rows, and measure the freed bytes."""
    if database.path is None:
        return []
    count = size = 0
    with suppress(_TriedOnly), database.write() as session:
        before = sqlite.used_bytes(session.connection())
        count = remove(session)
        size = before - sqlite.used_bytes(session.connection())
        if dry_run:
            raise _TriedOnly
    return [Removal(what, count, size)] if count else []


def _empty(session: Session, table: type[ProjectionRow] | type[EmbeddingRow]) -> int:
    count = session.scalar(select(func.count()).select_from(table)) or 0
    session.execute(delete(table))
    return count


def _remove_oldest(session: Session, most: int) -> int:
    """Remove the oldest comparisons until ``most`` bytes are freed; returns the number of completions removed."""
    connection = session.connection()
    newest = session.scalar(select(func.max(ComparisonRow.id))) or 0
    same_vector = and_(LabelRow.bank_hash == CompletionRow.bank_hash, LabelRow.vector == CompletionRow.vector)
    labelled = select(CompletionRow.comparison_id).join(LabelRow, same_vector)
    goal, last, count = sqlite.used_bytes(connection) - most, -1, 0
    kept = set(session.scalars(labelled.distinct()))
    while sqlite.used_bytes(connection) > goal:
        between = (ComparisonRow.id > last, ComparisonRow.id < newest)
        ids = session.scalars(select(ComparisonRow.id).where(*between).order_by(ComparisonRow.id).limit(AT_ONCE)).all()
        if not ids:
            break
        last = ids[-1]
        going = [id for id in ids if id not in kept]
        of_these = CompletionRow.comparison_id.in_(going)
        count += session.scalar(select(func.count()).select_from(CompletionRow).where(of_these)) or 0
        session.execute(delete(ComparisonRow).where(ComparisonRow.id.in_(going)))
    return count
