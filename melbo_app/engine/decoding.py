"""Decoding settings."""

from dataclasses import dataclass

from melbo_app.errors import InputError
from melbo_app.limits import LARGEST, MOST_NEW_TOKENS, check_range


@dataclass(frozen=True)
class Decoding:
    """How tokens are chosen. Temperature 0 is greedy."""

    max_new_tokens: int = 40
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_range("max new tokens", self.max_new_tokens, 1, MOST_NEW_TOKENS)
        if not 0 <= self.temperature <= 10:
            raise InputError("temperature", f"{self.temperature} is out of range", "Choose 0 (greedy) to 10")
        if not 0 < self.top_p <= 1:
            raise InputError("top-p", f"{self.top_p} is out of range", "Choose a number above 0, up to 1")
        check_range("seed", self.seed, 0, LARGEST)
