"""Models and prompts in the database, each stored once and referred to by number."""

import hashlib
import json

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from melbo_app.library.bank import PromptRecord
from melbo_app.library.tables import ModelRow, PromptRow


def model_id(session: Session, name: str, hash: str) -> int:
    """The number of a model under this name; inserted if it is new."""
    known = session.scalar(select(ModelRow.id).where(ModelRow.hash == hash, ModelRow.name == name))
    if known is None:
        known = session.scalars(insert(ModelRow).values(name=name, hash=hash).returning(ModelRow.id)).one()
    return known


def prompt_digest(prompt: PromptRecord) -> str:
    """What a prompt is found by: the sha256 of all that a person gave, and of the text that the template made of it."""
    key = [prompt.user, prompt.system, prompt.template, *([] if prompt.rendered is None else [prompt.rendered])]
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()


def prompt_id(session: Session, prompt: PromptRecord) -> int:
    """The number of a prompt; inserted if it is new."""
    digest = prompt_digest(prompt)
    known = session.scalar(select(PromptRow.id).where(PromptRow.hash == digest))
    if known is None:
        facts = {
            "hash": digest,
            "user": prompt.user,
            "system": prompt.system,
            "template": bool(prompt.template),
            "choice": prompt.template if isinstance(prompt.template, str) else None,
            "rendered": prompt.rendered,
        }
        known = session.scalars(insert(PromptRow).values(facts).returning(PromptRow.id)).one()
    return known


def prompt_record(row: PromptRow) -> PromptRecord:
    """The prompt in ``row``."""
    return PromptRecord(user=row.user, system=row.system, template=row.choice or row.template, rendered=row.rendered)
