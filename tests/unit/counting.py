"""A made-up study, as somebody who adds one would write it: how many tokens prompts have."""

import time
from collections.abc import Generator
from typing import Annotated, ClassVar, TypedDict

from pydantic import Field

from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.progress import Progress
from melbo_app.jobs.study import ModelStudy, Option


class Counted(TypedDict):
    tokens: list[int]
    total: int


class CountTokens(ModelStudy[list[int]]):
    """Count the tokens of prompts.

    Returns:
        tokens (how many each prompt has) and their total
    """

    kind: ClassVar[str] = "count-tokens"

    prompts: tuple[Prompt, ...] = Field(description="user texts")
    most: int = Field(100, description="prompts that are counted at most")
    pause: Annotated[float, Option("seconds")] = Field(0.0, description="seconds between two prompts")

    def check(self, bench: Bench) -> None:
        if len(self.prompts) > self.most:
            raise InputError("prompts", f"there are {len(self.prompts)}", f"Give at most {self.most}")

    def run(self, bench: Bench, stop: Stop) -> Generator[Progress, None, list[int]]:
        lm, counts = bench.model.get(), []
        for number, prompt in enumerate(self.prompts, start=1):
            yield Progress(f"prompt {number}", number - 1, len(self.prompts))
            if stop():
                if not counts:
                    raise Stopped
                break
            counts.append(len(lm.tokenizer(prompt.user).input_ids))
            time.sleep(self.pause)
        return counts

    def answer(self, result: list[int], not_kept: str | None) -> Counted:
        return {"tokens": result, "total": sum(result)}

    def lines(self, result: list[int]) -> list[str]:
        return [f"{sum(result)} tokens in {len(result)} prompts"]
