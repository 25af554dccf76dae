"""Banks in a notebook: rank, combine, save and open them. See docs/api.md."""

from collections.abc import Mapping
from pathlib import Path

from melbo_app.arguments import bank_given, file_path, instance, model_given, written
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.unembedding import word_difference
from melbo_app.errors import InputError
from melbo_app.jobs.bench import check_fits
from melbo_app.library.atomic import write_file
from melbo_app.library.bank import Bank
from melbo_app.library.file_names import check_file_name
from melbo_app.library.formula import combine as combine_banks
from melbo_app.library.imports import read_file
from melbo_app.library.ranking import by_direction, by_strength


def rank(lm: LanguageModel, bank: Bank, toward: str | None = None, away: str | None = None) -> list[tuple[int, float]]:
    """The bank's vectors in order, as (number, value): by the strength that their method gives, or, with two words, by
    the cosine between their effect at the target layer and the direction from the word ``away`` to ``toward``.

    Raises:
        InputError: the bank's method gives no strengths, or no directions at the target layer.
    """
    check_fits(bank_given(bank), model_given(lm))
    if toward is None and away is None:
        return by_strength(bank)
    words = (written("toward", toward), written("away", away))
    return by_direction(bank, word_difference(lm, *words).detach().numpy())


def combine(formula: str, banks: Mapping[str, Bank], name: str = "combined") -> Bank:
    """A bank made by a formula over vectors of other banks, such as ``"mean(a[0], b[3]) - 0.5 * c[1]"``; ``banks``
    gives the bank for each word in it. engine/recipe.py describes formulas.

    Raises:
        InputError: a formula that cannot be read, or banks of other weights or source layers.
    """
    remedy = "Give the bank for each word of the formula: {'a': bank}"
    known = instance("banks", banks, Mapping, remedy)  # type: ignore[type-abstract]

    def bank_of(word: str) -> Bank:
        if word not in known:
            raise InputError("formula", f"“{word}” is not one of the banks", f"Use {', '.join(map(str, known))}")
        return bank_given(known[word])

    return combine_banks(written("formula", formula), written("name", name), bank_of)


def save(bank: Bank, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a bank to a ``.safetensors`` file, whole or not at all; the page and the command line can import it.

    Raises:
        InputError: the file exists and ``overwrite`` is False; or some systems do not allow the name.
        StorageError: it could not be written.
    """
    out = file_path(path)
    check_file_name("path", out.name)
    try:
        write_file(out, bank_given(bank).renamed(out.stem).to_bytes(), overwrite=overwrite)
    except FileExistsError as error:
        raise InputError("path", f"“{out}” already exists", "Choose another name, or pass overwrite=True") from error
    return out


def open_bank(path: str | Path) -> Bank:
    """A bank from a file that ``save`` or the workbench wrote.

    Raises:
        InputError: the file has another format or is damaged.
        StorageError: it could not be read.
    """
    found, contents = read_file(file_path(path))
    if contents.bank is None:
        problem = f"“{path}” is not a MELBO Explorer bank ({found.title}), and lacks facts that a bank needs"
        raise InputError("path", problem, "Import it with: python -m melbo_app banks import FILE --source LAYER")
    return contents.bank
