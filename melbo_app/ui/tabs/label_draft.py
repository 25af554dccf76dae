"""A label that is being written: the browser's window keeps it until it is saved, also without a connection."""

from typing import Any

from pydantic import TypeAdapter, ValidationError

from melbo_app.errors import MelboError
from melbo_app.ui.annotator import annotator
from melbo_app.ui.tabs.label_form import Held
from melbo_app.workbench import Workbench

FIELDS = TypeAdapter(tuple[str, list[str], int, str])
# Nothing is kept before an earlier one was given back, once: until then the form holds what is stored.
KEEP = """(of, ...fields) => {
  const held = of?.held;
  if (!held || !window.melboForms?.has('draft')) return [];
  const written = [fields[0] ?? '', fields[1] ?? [], fields[2] ?? 0, fields[3] ?? ''];
  const saved = JSON.stringify(written) === JSON.stringify(held.fields);
  window.melbo.select({ draft: saved ? null : { held, fields: written } }, 'draft');
  return [];
}"""
GIVE_BACK = """(_, bank) => {
  const forms = (window.melboForms ??= new Set()), first = !forms.has('draft');
  forms.add('draft');
  return [first ? window.melbo.state.draft ?? null : null, bank];
}"""


def read_draft(kept: Any, workbench: Workbench) -> tuple[Held, list[Any]] | None:
    """Whose label was being written, as the form had it before, and its fields; None for nothing, for another
    annotator's, and for vectors that are gone."""
    if not isinstance(kept, dict):
        return None
    try:
        held, fields = Held(kept["held"]), FIELDS.validate_python(kept["fields"])
        known, vector, settles = workbench.bank(held["bank"]), held["vector"], held["settles"]
        mine = held["annotator"] == annotator(workbench) and known.hash == held["hash"]
        there = type(vector) is int and 0 <= vector < len(known.norms) and type(settles) is bool
        FIELDS.validate_python(held["fields"])
    except (MelboError, ValidationError, KeyError, TypeError, ValueError):  # of another version, or its bank is gone
        return None
    return (held, [*fields]) if mine and there else None
