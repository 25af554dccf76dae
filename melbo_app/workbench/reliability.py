"""Reliability of vectors: contrast sets, and kept results."""

from collections.abc import Sequence

from melbo_app.library.contrast_sets import Setting, in_template
from melbo_app.library.damage import Listed
from melbo_app.library.reliability import Reliability
from melbo_app.workbench.base import Base


class ReliabilityResults(Base):
    """What reliability reads and keeps."""

    def contrast_set(self, given: str, field: str = "prompts") -> Setting:
        """The inputs of a shipped contrast set or a file. Raises InputError if it cannot be read."""
        return self.bench.contrast_sets.read(given, field)

    def asked_inputs(
        self, settings: Sequence[Setting], system: str | None = None, template: bool | str | None = None
    ) -> tuple[Setting, ...]:
        """These inputs in ``template``; None: in the loaded model's chat template, if it has one. ``system`` is the
        system text of inputs without one."""
        wrapped = bool(self.bench.model.get().has_template) if template is None else template
        return tuple(in_template(one, system, wrapped) for one in settings)

    def reliabilities(self) -> Listed[Reliability]:
        """The loaded model's results, newest first; none without a model."""
        known = self.weights_hash
        return self.bench.reliabilities.of_model(known) if known else Listed()
