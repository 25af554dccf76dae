"""Taking up what a result found: its vectors, chosen in the bank that holds them, at their R."""

from collections.abc import Sequence

from melbo_app.errors import InputError
from melbo_app.ui.forms import bank_chosen
from melbo_app.ui.guard import Changes
from melbo_app.ui.session import Session
from melbo_app.workbench import Workbench


def take(
    workbench: Workbench, session: Session, bank_hash: str | None, vectors: Sequence[int], radius: float | None
) -> Changes:
    """Choose these vectors at this R. Raises InputError where no bank holds them."""
    line = workbench.bank_with(bank_hash)
    if line is None:
        raise InputError("bank", "no bank on the shelf holds these vectors", "Save them as a bank first")
    return session.open_bank(line.name, [*vectors], radius)


def save_as_bank(workbench: Workbench, session: Session, bank_hash: str | None, radius: float | None) -> Changes:
    """Put vectors of a curve or a pair of layers on the shelf, and choose them."""
    if bank_hash is None:
        raise InputError("bank", "this text has no vectors", "Choose a text under vectors")
    bank = workbench.save_as_bank(bank_hash)
    return session.open_bank(bank.record.name, [*range(len(bank.vectors))], radius)


def shelved(workbench: Workbench, session: Session, bank_hash: str | None, bank: str | None) -> str:
    """The name of the bank that made a text, to label its vectors. Raises InputError where it is not on the shelf."""
    line = workbench.bank_with(bank_hash)  # it may have another name by now
    wanted = line.name if line is not None else bank_chosen(bank)
    if session.find(wanted) is None:  # deleted, or made for a curve
        problem = "no bank holds the vectors of this text"
        raise InputError("label", problem, "Train a bank at this R to label its vectors")
    if bank_hash and workbench.bank(wanted).hash != bank_hash:
        problem = f"another bank has replaced the “{wanted}” that made this text"
        raise InputError("label", problem, "Steer with the new one first")
    return wanted
