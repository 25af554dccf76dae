"""The same jobs without a browser (``python -m melbo_app``)."""

import io
import os
import sys
from collections.abc import Sequence

import typer
from pydantic import ValidationError

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
from melbo_app.commands.sensitivity import sensitivity
from melbo_app.commands.similarity import similarity
from melbo_app.commands.steer import draw_map, steer
from melbo_app.commands.top_tokens import top_tokens
from melbo_app.commands.train import train
from melbo_app.errors import MelboError, Stopped
from melbo_app.settings import fault

app = typer.Typer(help="Train, steer, compare and label unsupervised steering vectors.", add_completion=False)
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

INTERRUPTED = 130  # typer turns Ctrl+C into this code, without a word


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command: exit code 0, or 2 and one line on standard error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # δ and other people's texts, where the terminal has no such letters
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(args=arguments, prog_name="melbo_app", standalone_mode=False)
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        sys.stdout.flush()
        sys.exit(code or 0)
    except typer.TyperException as error:
        _fail(_usage(error))
    except (MelboError, Stopped) as error:
        _fail(str(error))
    except ValidationError as error:  # a MELBO_ environment variable
        _fail(fault(error))
    except (typer.Abort, KeyboardInterrupt):
        _fail("Interrupted; nothing was saved.")
    except BrokenPipeError:  # the reader left; what Python still wants to write at its end goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(2)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        _fail(f"The system refused to read or write{where}: {error.strerror or error}.")
    except Exception as error:
        if sys.flags.dev_mode:
            raise
        _fail(f"Something went wrong: {type(error).__name__}: {error} (python -X dev -m melbo_app … shows where)")


def _usage(error: typer.TyperException) -> str:
    """What is wrong with the words of the command, and where it says which ones are right."""
    message = getattr(error, "format_message", error.__str__)()
    context = getattr(error, "ctx", None)
    path = context.command_path.removeprefix("melbo_app") if context else ""
    return f"{message.rstrip('.')}. See: python -m melbo_app{path} --help"


def _fail(message: str) -> None:
    print(" ".join(message.split()), file=sys.stderr)
    sys.exit(2)
