"""The library as a whole: search, check, rebuild, and limit its size."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from melbo_app.commands.labels import label_line
from melbo_app.commands.options import Json, OverwriteOption, say_where
from melbo_app.commands.output import StopOnInterrupt, name_damaged, run, show
from melbo_app.library.completion import Completion
from melbo_app.listings import plain
from melbo_app.paths import written_path
from melbo_app.settings import Settings
from melbo_app.sizes import parse_size, size_text
from melbo_app.studies.as_json import one_line
from melbo_app.studies.search_meaning import SECONDS, SearchMeaning, chat_line
from melbo_app.workbench import Workbench

library = typer.Typer(help="The library as a whole: search, export, import, check, rebuild, restore, gc.")

LimitOption = Annotated[int, typer.Option("--limit", min=1, help="Maximum number of each.")]


@library.command("search")
def search(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="Text to search for, ignoring case, or a sentence.")],
    limit: LimitOption = 20,
    meaning: Annotated[
        bool, typer.Option("--meaning", help="Instead, find the completions and answers nearest in meaning to TEXT.")
    ] = False,
    seconds: Annotated[
        float, typer.Option("--seconds", help="With --meaning: how long to embed texts that have no embedding yet.")
    ] = SECONDS,
    as_json: Json = False,
) -> None:
    """Find banks, labels, completions and answers of conversations that contain a text, or texts that mean something
    similar."""
    workbench = Workbench(Settings())
    if meaning:
        study = SearchMeaning(text=text, limit=limit, seconds=seconds)
        near = run(workbench.run(study, stop=StopOnInterrupt()))
        if not near.every:
            say_where(workbench)
        return show(study.answer(near, None), study.lines(near), as_json)
    found = workbench.search(text, limit)
    answers = workbench.search_conversations(text, limit)
    name_damaged([*found.damaged, *answers.damaged])
    lines = [f"bank {entry.name}: {entry.vectors} vectors" for entry in found.banks]
    lines += [f"label {label_line(entry)}" for entry in found.labels]
    lines += [f"completion {_completion_line(entry)}" for entry in found.completions]
    lines += [f"chat {chat_line(entry)}" for entry in answers]
    result = {
        "banks": [entry.name for entry in found.banks],
        "labels": [plain(entry) for entry in found.labels],
        "completions": [plain(entry) for entry in found.completions],
        "chat": [plain(entry) for entry in answers],
    }
    if not lines:
        say_where(workbench)
    show(result, lines or [f"“{text}” was not found."], as_json)


@library.command("completions")
def completions(
    text: Annotated[str, typer.Option("--text", help="Only completions with this in text or prompt.")] = "",
    bank: Annotated[str | None, typer.Option("--bank", help="Only completions of this bank.")] = None,
    vector: Annotated[int | None, typer.Option("--vector", help="Only completions of this vector.")] = None,
    verdict: Annotated[str | None, typer.Option("--verdict", help="readable, strange or broken.")] = None,
    limit: LimitOption = 20,
    as_json: Json = False,
) -> None:
    """The newest completions, all or selected."""
    workbench = Workbench(Settings())
    found = workbench.search_completions(text, bank=bank, vector=vector, verdict=verdict, limit=limit)
    name_damaged(found.damaged)
    if not found:
        say_where(workbench)
    lines = [_completion_line(entry) for entry in found] or ["No completions match."]
    show({"completions": [plain(entry) for entry in found]}, lines, as_json)


@library.command("export")
def export(
    out: Annotated[Path, typer.Option("--out", help="File to write, .zip.", parser=written_path)],
    bank: Annotated[list[str] | None, typer.Option("--bank", help="Only this bank; repeat it for more.")] = None,
    overwrite: OverwriteOption = False,
    as_json: Json = False,
) -> None:
    """Write banks with their labels, completions and maps to one file, for import elsewhere."""
    made = Workbench(Settings()).export_bundle(out, bank, overwrite=overwrite)
    line = f"{made.out}: {made.banks} banks, {made.labels} labels, {made.comparisons} comparisons"
    line += f", {made.preferences} preferences" if made.preferences else ""
    line += f", {made.readings} readings of labels" if made.readings else ""
    line += f", {made.conversations} conversations" if made.conversations else ""
    show(asdict(made), [line, *(f"Left out: {one}." for one in made.damaged)], as_json)


@library.command("import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A .zip file that “library export” wrote.", parser=written_path),
    ],
    as_json: Json = False,
) -> None:
    """Merge such a file into this library, without losing or duplicating anything."""
    merged = Workbench(Settings()).import_bundle(file)
    show(asdict(merged), merged.lines(), as_json)


@library.command("check")
def check(as_json: Json = False) -> None:
    """List what is missing or damaged; the exit code is 1 if anything is."""
    found = Workbench(Settings()).check_library()
    wrong = [entry for entry in found if entry.wrong]
    lines = [str(entry) if entry.wrong else f"(note) {entry}" for entry in found]
    many = "1 problem" if len(wrong) == 1 else f"{len(wrong)} problems"
    lines.append(f"{many} in total." if wrong else "Nothing is missing or damaged.")
    show({"wrong": len(wrong), "findings": [asdict(entry) for entry in found]}, lines, as_json)
    if wrong:
        raise typer.Exit(1)


@library.command("rebuild")
def rebuild(as_json: Json = False) -> None:
    """Rebuild the database's catalogue from the files; labels and completions stay."""
    made = Workbench(Settings()).rebuild_library()
    lines = [f"{name} was left out: {reason}" for name, reason in made.damaged.items()]
    lines += [f"{name} was removed: its file is gone" for name in made.removed]
    lines.append(
        f"The catalogue now holds: banks {made.banks}, vectors {made.vectors}, runs {made.runs}, models {made.models}, "
        f"prompts {made.prompts}."
    )
    show(asdict(made), lines, as_json)


@library.command("restore")
def restore(
    copy: Annotated[
        str | None, typer.Argument(metavar="COPY", help="Day of the copy, as YYYY-MM-DD; default: the newest.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Restore a damaged database from a copy, saving newer labels that can still be read."""
    restored = Workbench(Settings()).restore_library(copy)
    show(asdict(restored), restored.lines(), as_json)


@library.command("gc")
def prune(
    limit: Annotated[str, typer.Option("--limit", help="Maximum size of the cache, as 500MB or 2GB.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
    as_json: Json = False,
) -> None:
    """Shrink the cache to a size by removing what can be made again; never banks or labels."""
    most = parse_size("limit", limit)
    pruned = Workbench(Settings()).prune_library(most, dry_run=dry_run)
    would = "would be" if dry_run else "were"
    lines = [f"{entry.what}: {entry.count}, {size_text(entry.size)} {would} freed" for entry in pruned.removals]
    lines.append(
        f"The cache took {size_text(pruned.before)} and {'would now take' if dry_run else 'now takes'} "
        f"{size_text(pruned.after)}."
    )
    if pruned.after > most:
        lines.append(f"That is more than {size_text(most)}, but nothing else can be made again.")
    show(asdict(pruned) | {"dry_run": dry_run}, lines, as_json)


def _completion_line(entry: Completion) -> str:
    what = "baseline" if entry.vector is None else f"{entry.bank or ''} {entry.vector}, R = {entry.radius:g}".strip()
    return f"{entry.id}: {what}: {one_line(entry.text, 100)}"
