"""Checks the library for missing and damaged files, and for records that refer to missing banks."""

from dataclasses import dataclass

from sqlalchemy import func, select

from melbo_app.errors import InputError, StorageError
from melbo_app.library.backups import RESTORE
from melbo_app.library.banks import Banks
from melbo_app.library.catalogue import BankEntry, Catalogue, read_file
from melbo_app.library.database import Database
from melbo_app.library.tables import CompletionRow, LabelRow


@dataclass(frozen=True)
class Finding:
    """A message about the library; ``wrong`` if something is lost, damaged or untrue."""

    subject: str
    problem: str
    remedy: str = ""
    wrong: bool = True

    def __str__(self) -> str:
        return f"{self.subject}: {self.problem}." + (f" {self.remedy}." if self.remedy else "")


REBUILD = "Run: python -m melbo_app library rebuild"


def inspect(banks: Banks, parts: Banks, catalogue: Catalogue, database: Database) -> list[Finding]:
    """Compare every file with the database, without changing anything. ``parts`` are the banks of diversity curves,
    which the database does not list."""
    read: dict[tuple[str, bool], BankEntry] = {}
    found = []
    for file in banks.files():
        try:
            read[file.name, file.sample] = read_file(file)[0]
            continue
        except InputError as error:
            problem = f"its file is damaged: {error.problem}"
        except OSError as error:
            problem = f"its file could not be read ({error.strerror or error})"
        found.append(Finding(_subject(file.name, file.sample), problem))
        read[file.name, file.sample] = BankEntry(file.name, file.sample, "", "", 0, 0)
    try:
        found += _of_copies(database)
        found += [Finding("database", line, database.backups.advice.rstrip(".")) for line in database.faults()]
        entries = catalogue.entries()
        found += [Finding(one.subject, one.problem, REBUILD) for one in entries.damaged]
        found += _compare(read, {(entry.name, entry.sample): entry for entry in entries})
        found += _orphans(database, {*(entry.hash for entry in read.values()), *(line.hash for line in parts.list())})
    except StorageError as error:
        found.append(Finding("database", str(error).rstrip(".")))
    return found


def _of_copies(database: Database) -> list[Finding]:
    """The copies of the database, and which of them are damaged."""
    if database.path is None:
        return [Finding("copies", f"{database.place} is a server, which makes its own backups", wrong=False)]
    copies, found = database.backups.copies(), []
    sound = [copy.day for copy in copies if not copy.faults]
    if sound:
        problem = f"those of {', '.join(sound)} are sound"
        found.append(Finding("copies of the database", problem, f"To go back to one: {RESTORE}", wrong=False))
    for copy in copies:
        if copy.faults:
            found.append(Finding(f"copy of {copy.day}", f"it is damaged ({copy.faults[0]})", f"Delete “{copy.path}”"))
    return found


def _compare(read: dict[tuple[str, bool], BankEntry], entered: dict[tuple[str, bool], BankEntry]) -> list[Finding]:
    """Files that the database does not know or knows with other contents, and missing files that it knows."""
    found = []
    for key in sorted({*read, *entered}):
        subject, there, known = _subject(*key), read.get(key), entered.get(key)
        if there is None and known is not None:
            problem = f"its file is missing; it held the vectors {known.hash[:16]}"
            found.append(Finding(subject, problem, f"Put the file back, or forget it. {REBUILD}"))
        elif there is not None and there.hash and known is None and not there.sample:  # samples wait for a search
            found.append(Finding(subject, "its file is not in the database yet", REBUILD))
        elif there is not None and known is not None and there.hash and there.file_hash != known.file_hash:
            what = "other vectors" if there.hash != known.hash else "another record"
            problem = f"its file holds {what} than when it was entered"
            found.append(Finding(subject, problem, f"If that is right: {REBUILD}"))
    return found


def _subject(name: str, sample: bool) -> str:
    return f"sample “{name}”" if sample else f"bank “{name}”"


def _orphans(database: Database, there: set[str | None]) -> list[Finding]:
    """Labels and completions of missing banks: they stay, and count again when the bank comes back."""
    found = []
    with database.read() as session:
        for row, what in ((LabelRow, "label"), (CompletionRow, "completion")):
            of_bank = row.__table__.c
            counted = select(of_bank.bank_hash, func.max(of_bank.bank), func.count())
            counted = counted.where(of_bank.bank_hash.is_not(None)).group_by(of_bank.bank_hash)
            for digest, name, count in session.execute(counted):
                if digest not in there:
                    many = f"{count} {what}{'s' * (count != 1)}"
                    problem = f"{many} of the vectors {digest[:16]}, which no bank holds now"
                    found.append(Finding(_subject(name, sample=False), problem, wrong=False))
    return found
