"""The verbs that look for behaviours."""

from pathlib import Path

import gradio as gr

from melbo_app.defaults import prompts_from
from melbo_app.engine.training_config import Method
from melbo_app.library.explorations import SEARCH_SECONDS, ExploreSettings, RadiusRule
from melbo_app.studies.explore import Explore, check_settings
from melbo_app.studies.explore_answer import Explored, explored
from melbo_app.ui.files import written
from melbo_app.ui.leaving import leaving
from melbo_app.ui.verbs.study_verb import WHO, awaited
from melbo_app.workbench import Workbench


class ExploreVerbs:
    """One press of Explore, and the report of many."""

    def __init__(self, workbench: Workbench) -> None:
        self._workbench = workbench

    def explore(
        self,
        prompt: str,
        system: str | None = None,
        template: bool | str | None = None,
        vectors: int = 8,
        method: Method = "joint",
        steps: int | None = None,
        source: int | None = None,
        target: int | None = None,
        scope: str | None = None,
        choose_radius: RadiusRule = "search",
        radius: float | None = None,
        relative_radius: float | None = None,
        effect_budget: float | None = None,
        search_seconds: float = SEARCH_SECONDS,
        elsewhere: int = 5,
        max_new_tokens: int = 40,
        same_meaning: float | None = None,
        seed: int = 0,
    ) -> Explored:
        """Choose R, train vectors on a prompt, complete, and list the behaviours found, beside random vectors.

        Args:
            prompt: user text
            system: system text
            template: the model's chat template, true, false or as --template has it; left out: where it has one
            vectors: how many to train
            method: method of training
            steps: most steps; left out: the method's own
            source: block to whose output vectors are added; left out: searched
            target: block at whose output the change is measured; left out: searched
            scope: tokens that count in training; left out: as suggested
            choose_radius: how R is chosen: search, calibration, curve or suggested
            radius: R, instead of choosing it
            relative_radius: R as a multiple of the median residual norm, in place of radius
            effect_budget: effect budget of the training; left out: searched
            search_seconds: time after which the search tries no further setting
            elsewhere: how many other prompts to try new behaviours on; 0: none
            max_new_tokens: longest completion, in tokens
            same_meaning: cosine distance up to which answers say the same; left out: from random vectors
            seed: of all random numbers
        Returns:
            sentence, bank, behaviours (name, vectors, text, control … of each), answers, control, tried …
        """
        settings = ExploreSettings(
            rule=choose_radius, radius=radius, relative_radius=relative_radius, vectors=vectors, method=method,
            steps=steps, source=source, target=target, scope=scope, max_new_tokens=max_new_tokens,
            threshold=same_meaning, seed=seed, effect_budget=effect_budget, search_seconds=search_seconds,
            elsewhere=elsewhere,
        )  # fmt: skip
        check_settings(settings)
        prompts_from([prompt], system, template, True)  # a refusal comes before the model is loaded
        has_template = bool(self._workbench.load_model(stop=leaving()).has_template)
        [asked] = prompts_from([prompt], system, template, has_template)
        found = awaited(self._workbench.start(Explore(prompt=asked, settings=settings), who=WHO))
        return explored(found, self._workbench.why_not_kept(found))

    def export_audit(self, key: str) -> gr.FileData:
        """The report of an audit as one HTML page, which needs no network and no scripts.

        Args:
            key: the audit's key, from `audit`
        Returns:
            the file; over MCP its address
        """
        found = self._workbench.audit(key)
        path = written("audit", ".html", lambda out: self._workbench.export_audit_page(found, out))
        return gr.FileData(path=path, orig_name=Path(path).name)
