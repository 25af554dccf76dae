"""Runs a command; every error becomes one line on standard error."""

import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import typer
from pydantic import ValidationError

from melbo_app.errors import MelboError, Stopped
from melbo_app.settings import fault

INTERRUPTED = 130  # typer silently turns Ctrl+C into this code


def run(app: typer.Typer, name: str, arguments: Sequence[str] | None, written: str) -> NoReturn:
    """Run one command, and exit with 0, or with 2 and one line on standard error.

    ``name`` is the program's name in its help, ``written`` the words that call it.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # for δ and foreign texts on terminals without these letters
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(args=arguments, prog_name=name, standalone_mode=False)
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        sys.stdout.flush()
        sys.exit(code or 0)
    except typer.TyperException as error:
        _fail(_usage(error, name, written))
    except (MelboError, Stopped) as error:
        _fail(str(error) or "Stopped.")
    except ValidationError as error:  # a MELBO_ environment variable
        _fail(fault(error))
    except (typer.Abort, KeyboardInterrupt):
        _fail("Interrupted; nothing was saved.")
    except BrokenPipeError:  # the reader left; discard the rest of the output
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(2)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        _fail(f"Reading or writing failed{where}: {error.strerror or error}.")
    except Exception as error:
        if sys.flags.dev_mode:
            raise
        _fail(f"Something went wrong: {type(error).__name__}: {error} (PYTHONDEVMODE=1 shows where)")


def _usage(error: typer.TyperException, name: str, written: str) -> str:
    """The mistake in the command's words, and where to find help."""
    message = getattr(error, "format_message", error.__str__)()
    context = getattr(error, "ctx", None)
    path = context.command_path.removeprefix(name) if context else ""
    return f"{message.rstrip('.')}. See: {written}{path} --help"


def _fail(message: str) -> NoReturn:
    print(" ".join(message.split()), file=sys.stderr)
    sys.exit(2)
