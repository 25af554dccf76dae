"""Watch prompts with a bank."""

import sys
from collections.abc import Generator, Iterator
from typing import Annotated, Any

import typer

from melbo_app.commands.options import (
    BankArgument,
    ModelOption,
    NoTemplateOption,
    SeedOption,
    SystemOption,
    TemplateOption,
    load,
    template_of,
)
from melbo_app.commands.output import StopOnInterrupt, run, show
from melbo_app.errors import InputError
from melbo_app.library.labelled_prompts import LabelledPrompt, labelled_line, starts_json
from melbo_app.library.prompt_sets import SHIPPED
from melbo_app.settings import Settings
from melbo_app.studies.usual_prompts import FALSE_ALARMS
from melbo_app.studies.watch import Watch, Watched, WatchProgress
from melbo_app.studies.watcher import line_of, lines_of
from melbo_app.workbench import Workbench

STREAM = "-"
FILE = 'A prompt a line, or JSONL with "text"'


def watch(
    bank: BankArgument,
    clean: Annotated[
        str, typer.Option("--clean", help=f"Ordinary prompts. {FILE}; or a shipped set: {', '.join(SHIPPED)}.")
    ],
    prompts: Annotated[
        str,
        typer.Option(
            "--prompts",
            help=f'Prompts to watch. {FILE} and perhaps "label" (0 or clean, 1 or anomalous), which gives AUROC; '
            "- reads lines from standard input as they come.",
        ),
    ],
    false_alarms: Annotated[
        float, typer.Option("--false-alarms", help="Share of clean prompts that may raise an alarm.")
    ] = FALSE_ALARMS,
    system: SystemOption = None,
    template: TemplateOption = None,
    no_template: NoTemplateOption = False,
    model: ModelOption = None,
    seed: SeedOption = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON objects: an answer a line, with labels a last line with “figures”.")
    ] = False,
) -> None:
    """Raise an alarm for prompts on which the model's activations look like what a vector of the bank does.

    The alarm's threshold comes from the clean prompts alone. With labels, the bank is compared with detectors that know
    no bank. Ctrl+C keeps the answers so far.
    """
    workbench = Workbench(Settings())
    loaded = workbench.bank(bank)
    usual = workbench.watched_prompts(clean, "clean")
    if any(one.anomalous for one in usual):
        raise InputError("clean", "it has prompts that are labelled anomalous", "Leave them out")
    streamed = prompts == STREAM
    watched = [] if streamed else workbench.watched_prompts(prompts)
    labels = None if streamed or watched[0].anomalous is None else tuple(int(bool(one.anomalous)) for one in watched)
    study = Watch(
        bank=bank, clean=tuple(one.text for one in usual), prompts=tuple(one.text for one in watched), labels=labels,
        false_alarms=false_alarms, system=system, template=template_of(template, no_template), seed=seed,
    )  # fmt: skip
    if streamed:
        study.check_clean(workbench.bench)
    else:
        study.check(workbench.bench)  # before the model is loaded, which takes seconds
    load(workbench, model or loaded.record.model)
    work = workbench.watch_stream(study, _incoming()) if streamed else workbench.run(study, stop=StopOnInterrupt())
    found = run(_printed(work, as_json))
    if found.figures is not None:
        show({"figures": found.figures}, lines_of(found.figures), as_json)


def _incoming() -> Iterator[LabelledPrompt]:
    """The prompts on standard input, one by one, until it ends or somebody presses Ctrl+C."""
    jsonl: bool | None = None
    lines = enumerate(iter(sys.stdin.readline, ""), start=1)
    while True:
        try:
            number, line = next(lines)
        except (StopIteration, KeyboardInterrupt):
            return
        if not line.strip():
            continue
        if jsonl is None:
            jsonl = starts_json(line)
        yield labelled_line(line, f"line {number}", "prompts", jsonl)


def _printed(work: Generator[Any, None, Watched], as_json: bool) -> Generator[Any, None, Watched]:
    """The same work; its answers are printed as they come, and are no progress."""
    is_told = False
    while True:
        try:
            progress = next(work)
        except StopIteration as end:
            return end.value
        if not isinstance(progress, WatchProgress):
            yield progress
            continue
        if not is_told:
            is_told = True
            begin = "\n" if sys.stderr.isatty() else ""  # below the line of progress
            print(f"{begin}{progress.note}", file=sys.stderr, flush=True)
        for one in progress.answers:
            show(one, [line_of(one)], as_json)
        sys.stdout.flush()  # readers of a stream wait for it
