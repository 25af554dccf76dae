"""Downloading and unpacking models in a program of its own, which can be ended at any moment and holds its own memory.

``python -m melbo_app.library.model_program unpack FILE FOLDER``, or ``download NAME``, is that program. The last line
of its output is an object of JSON: the result, or what went wrong.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from melbo_app.engine import gguf as gguf_file
from melbo_app.engine.stopping import ASKED_EVERY, Stop, raise_if
from melbo_app.errors import InputError, StorageError
from melbo_app.library import hub

PROGRAM = (sys.executable, "-m", "melbo_app.library.model_program")


def unpack(gguf: Path, folder: Path, stop: Stop) -> None:
    """Write the model of ``gguf`` into the existing ``folder``, as ``gguf.dequantise`` does. Raises its errors, and
    Stopped; ``folder`` then holds anything."""
    _run(f"{gguf.name} could not be unpacked", ["unpack", str(gguf), str(folder)], stop, quiet=True)


def download(name: str, stop: Stop) -> Path:
    """The local folder of the hub model ``name``, as ``hub.download`` does. Raises its errors, and Stopped: what has
    arrived stays in the hub's own cache, and the next attempt continues from it."""
    return Path(_run(f"{name} could not be downloaded", ["download", name], stop, quiet=False)["folder"])


def _run(failed: str, given: Sequence[str], stop: Stop, *, quiet: bool) -> dict[str, Any]:
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryFile() as said, subprocess.Popen(
        [*PROGRAM, *given], env={**os.environ, "PYTHONPATH": path}, stdin=subprocess.PIPE, stdout=said,
        stderr=subprocess.STDOUT if quiet else None, start_new_session=True,
    ) as program:  # fmt: skip
        try:
            while True:
                try:
                    program.wait(ASKED_EVERY)
                    break
                except subprocess.TimeoutExpired:
                    raise_if(stop)
        finally:
            if program.poll() is None:
                program.kill()
        said.seek(0)
        return _result(failed, program.returncode, said.read().decode("utf-8", "replace"))


def _result(failed: str, code: int, said: str) -> dict[str, Any]:
    last = (said.strip().splitlines() or [""])[-1]
    try:
        result = json.loads(last)
        result.keys()
    except (ValueError, AttributeError):
        reason = "the system ended it, perhaps for lack of memory" if code < 0 else last[:200] or f"it ended by {code}"
        raise StorageError(f"{failed}: {reason.rstrip('.')}.") from None
    if "input" in result:
        raise InputError(*result["input"])
    if "storage" in result:
        raise StorageError(result["storage"])
    return result


def _end_with_the_parent() -> None:
    sys.stdin.read()  # nothing ever comes
    os._exit(1)


def main() -> None:
    """Do what the arguments say, and print the result."""
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    work, *given = sys.argv[1:]
    result: dict[str, Any] = {}
    try:
        if work == "unpack":
            gguf_file.dequantise(Path(given[0]), Path(given[1]))
        else:
            result = {"folder": str(hub.download(given[0]))}
    except InputError as error:
        result = {"input": [error.field, error.problem, error.remedy]}
    except (OSError, StorageError) as error:
        result = {"storage": str(error)}
    print("\n" + json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
