"""The command line that repeats a hardening."""

import json
import shlex

from melbo_app.library.hardened import Hardened
from melbo_app.studies.audit_commands import PROGRAM, here

KEEP, AVOID, OUT = "keep.jsonl", "avoid.jsonl", "hardened"


def harden_command(found: Hardened) -> str:
    """Commands that write the files of prompts and harden the same model by the same settings."""
    used = found.settings
    words = [*PROGRAM, "harden", "--model", found.model, "--method", used.method, "--keep", KEEP]
    parts = [here(KEEP, _lines(found.keep, "prompt"))]
    if found.avoid:
        parts.append(here(AVOID, _lines(found.avoid, "answer")))
        words += ["--avoid", AVOID]
    if used.bank is not None:
        words += ["--bank", used.bank]
    elif used.epsilon is not None:
        words += ["--epsilon", repr(used.epsilon), *([] if used.layer is None else ["--layer", str(used.layer)])]
    if used.ascent_steps:
        words += ["--ascent-steps", str(used.ascent_steps)]
    words += ["--steps", str(used.steps), "--batch", str(used.batch), "--rate", repr(used.rate)]
    words += ["--rank", str(used.rank), "--max-new-tokens", str(found.max_new_tokens), "--seed", str(used.seed)]
    if found.compared:
        words += ["--explored", str(len(found.compared))]
    return "\n".join([*parts, shlex.join([*words, "--out", OUT, "--json"])])


def _lines(lines: tuple[str, ...], name: str) -> list[str]:
    """All as JSON, so that a file is either plain or JSONL."""
    return [one if one.lstrip().startswith("{") else json.dumps({name: one}, ensure_ascii=False) for one in lines]
