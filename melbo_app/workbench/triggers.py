"""Searches for triggers that are kept."""

import json
from pathlib import Path

from melbo_app.errors import InputError
from melbo_app.library.atomic import write_file
from melbo_app.library.damage import Listed
from melbo_app.library.file_names import check_file_name
from melbo_app.library.triggers import TriggerSearch
from melbo_app.studies.trigger_answer import triggered
from melbo_app.workbench.base import Base


class Triggers(Base):
    """Finds and exports searches for triggers."""

    def trigger_searches(self) -> Listed[TriggerSearch]:
        """The loaded model's searches for triggers, newest first; none without a model."""
        known = self.weights_hash
        return self.bench.trigger_searches.of_model(known) if known else Listed()

    def export_triggers(
        self, found: TriggerSearch, out: Path, not_kept: str | None = None, *, overwrite: bool = False
    ) -> Path:
        """Write a search for triggers as JSON. Raises InputError for a file that exists, unless ``overwrite``."""
        check_file_name("out", out.name)
        data = f"{json.dumps(triggered(found, not_kept), ensure_ascii=False)}\n".encode()
        try:
            write_file(out, data, overwrite=overwrite)
        except FileExistsError as error:
            raise InputError("out", f"“{out}” already exists", "Choose another name, or allow overwriting") from error
        return out
