"""What things were made with and on: models and prompts, each kept once and referred to by number."""

import hashlib
import json

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from melbo_app.library.bank import PromptRecord
from melbo_app.library.tables import ModelRow, PromptRow


def model_id(session: Session, name: str, hash: str) -> int:
    """The number of a model under this name, given now where it has none."""
    known = session.scalar(select(ModelRow.id).where(ModelRow.hash == hash, ModelRow.name == name))
    if known is None:
        known = session.scalars(insert(ModelRow).values(name=name, hash=hash).returning(ModelRow.id)).one()
    return known


def prompt_id(session: Session, prompt: PromptRecord) -> int:
    """The number of a prompt, given now where it has none."""
    digest = hashlib.sha256(json.dumps([prompt.user, prompt.system, prompt.template]).encode()).hexdigest()
    known = session.scalar(select(PromptRow.id).where(PromptRow.hash == digest))
    if known is None:
        facts = {"hash": digest, "user": prompt.user, "system": prompt.system, "template": prompt.template}
        known = session.scalars(insert(PromptRow).values(facts).returning(PromptRow.id)).one()
    return known
