"""The command line: ``melbo``, or ``python -m melbo_app``."""

import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from melbo_app.commands.atlas import atlas
from melbo_app.commands.banks import banks
from melbo_app.commands.calibrate import calibrate
from melbo_app.commands.curve import curve
from melbo_app.commands.explore import explore
from melbo_app.commands.generality import generality
from melbo_app.commands.jobs import jobs
from melbo_app.commands.judge import judge
from melbo_app.commands.labels import labels
from melbo_app.commands.library import library
from melbo_app.commands.methods import methods
from melbo_app.commands.models import models
from melbo_app.commands.running import run
from melbo_app.commands.sensitivity import sensitivity
from melbo_app.commands.serve import serve
from melbo_app.commands.similarity import similarity
from melbo_app.commands.steer import draw_map, steer
from melbo_app.commands.top_tokens import top_tokens
from melbo_app.commands.train import train

COMMAND = "melbo"

app = typer.Typer(help="Train, steer, compare and label unsupervised steering vectors.", add_completion=False)
app.command()(serve)
app.command()(train)
app.command()(steer)
app.command()(similarity)
app.command()(sensitivity)
app.command()(curve)
app.command()(calibrate)
app.command()(atlas)
app.command()(explore)
app.command()(generality)
app.command("map")(draw_map)
app.command()(top_tokens)
app.command()(judge)
app.command()(methods)
app.add_typer(banks, name="banks")
app.add_typer(labels, name="labels")
app.add_typer(library, name="library")
app.add_typer(jobs, name="jobs")
app.add_typer(models, name="models")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command: exit code 0, or 2 and one line on standard error."""
    installed = Path(sys.argv[0]).stem == COMMAND
    run(app, COMMAND if installed else "melbo_app", arguments, COMMAND if installed else "python -m melbo_app")
