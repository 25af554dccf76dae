"""Names for new banks."""

import itertools
import re

from melbo_app.workbench import Workbench


def free_name(workbench: Workbench, text: str) -> str:
    """A free name, made of a prompt's first words."""
    taken = {line.name.lower() for line in workbench.banks()}
    taken |= {job.record().request["name"].lower() for job in workbench.active_jobs("training")}
    words = re.findall(r"\w+", text.lower())[:4]
    stem = "-".join(words)[:40] or "bank"
    return next(name for name in (f"{stem}-{number}" for number in itertools.count(1)) if name not in taken)
