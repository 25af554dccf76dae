"""A form that outlives a reload: the browser's window keeps its fields, and gives them back once the model has filled
in its own suggestions."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from melbo_app.ui.guard import Changes, bind

# Nothing is kept before it was given back: until then the fields hold suggestions. Another model needs other values.
# A field of a view that was not opened yet has no value.
_KEEP = """(...values) => {
  const key = %s, names = %s;
  if (!window.melboForms?.has(key)) return [];
  const before = window.melbo.state[key]?.fields ?? {};
  const now = (name, at) => [name, document.getElementById(name) ? values[at] : before[name]];
  const fields = Object.fromEntries(names.map(now));
  window.melbo.select({ [key]: { model: window.melbo.state.model ?? null, fields } }, key);
  return [];
}"""
_GIVE_BACK = """(first, ...others) => {
  const key = %s, forms = (window.melboForms ??= new Set());
  if (forms.has(key)) return [null, ...others];
  forms.add(key);
  const kept = window.melbo.state[key], model = window.melbo.state.model ?? null;
  return [kept && (%s || kept.model === model) ? kept.fields : null, ...others];
}"""


class KeptForm:
    """The fields of one form, kept under ``key`` in what the window shows."""

    def __init__(self, key: str, *, for_any_model: bool = False) -> None:
        self._key, self._for_any = key, for_any_model
        self._channel = gr.JSON(visible=False)  # brings what the browser kept

    def bind(
        self,
        fields: Sequence[Component],
        ready: Callable[..., Any],
        put_back: Callable[[Changes, Any], Changes],
        inputs: Sequence[Component],
        outputs: Sequence[Block],
    ) -> None:
        """``put_back`` gets the kept fields and the values of ``inputs`` once, at the event ``ready``."""
        names = [str(field.elem_id) for field in fields]
        for field in fields:
            change = field.change  # type: ignore[attr-defined]
            bind(change, None, [*fields], None, js=_KEEP % (json.dumps(self._key), json.dumps(names)))

        def give_back(kept: Any, *values: Any) -> Changes:
            if not isinstance(kept, dict):
                return {}
            found: Changes = {
                field: kept[name] for field, name in zip(fields, names, strict=True) if kept.get(name) is not None
            }
            return put_back(found, values)

        script = _GIVE_BACK % (json.dumps(self._key), json.dumps(self._for_any))
        bind(ready, give_back, [self._channel, *inputs], [*fields, *outputs], js=script)
