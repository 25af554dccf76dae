"""The command line: ``melbo``, or ``python -m melbo_app``."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import typer

from melbo_app.commands.adapters import adapters
from melbo_app.commands.audit import audit
from melbo_app.commands.banks import banks
from melbo_app.commands.explore import explore
from melbo_app.commands.find import find
from melbo_app.commands.generality import generality
from melbo_app.commands.harden import harden
from melbo_app.commands.jobs import jobs
from melbo_app.commands.judge import judge
from melbo_app.commands.labels import labels
from melbo_app.commands.library import library
from melbo_app.commands.methods import methods
from melbo_app.commands.models import models
from melbo_app.commands.organisms import organisms
from melbo_app.commands.reliability import reliability
from melbo_app.commands.removal import removal
from melbo_app.commands.report import report
from melbo_app.commands.running import run
from melbo_app.commands.serve import serve
from melbo_app.commands.steer import draw_map, steer
from melbo_app.commands.study_command import study_command
from melbo_app.commands.train import train
from melbo_app.commands.triggers import triggers
from melbo_app.commands.watch import watch
from melbo_app.studies import STUDIES

COMMAND = "melbo"


def build() -> typer.Typer:
    """All commands. Studies without a command of their own get one made from their fields."""
    app = typer.Typer(help="Train, steer, compare and label unsupervised steering vectors.", add_completion=False)
    written: dict[str, Callable[..., Any]] = {
        "serve": serve, "train": train, "steer": steer, "map": draw_map, "explore": explore, "generality": generality,
        "find": find, "judge": judge, "methods": methods, "report": report, "watch": watch,
        "adapters": adapters,
        "harden": harden,
        "audit": audit,
        "reliability": reliability,
        "triggers": triggers,
        "removal": removal,
    }  # fmt: skip
    others = {one.verb: study_command(one) for one in STUDIES if "command" in one.doors and one.verb not in written}
    for name, command in {**written, **others}.items():
        app.command(name.replace("_", "-"))(command)
    for name, group in (
        ("banks", banks), ("labels", labels), ("library", library), ("jobs", jobs), ("models", models),
        ("organisms", organisms),
    ):  # fmt: skip
        app.add_typer(group, name=name)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command: exit code 0, or 2 and one line on standard error."""
    installed = Path(sys.argv[0]).stem == COMMAND
    run(build(), COMMAND if installed else "melbo_app", arguments, COMMAND if installed else "python -m melbo_app")
