"""The recipes that ship, and people's own files."""

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from melbo_app.errors import InputError
from melbo_app.library.damage import fault
from melbo_app.library.organism_recipe import OrganismRecipe
from melbo_app.library.removal_behaviour import MORE, Behaviour
from melbo_app.library.text_file import text_of
from melbo_app.paths import written_path

FIELD = "recipe"
MOST_BYTES = 2_000_000
FORM = "docs/organisms.md describes the fields of a recipe"


class OrganismRecipes:
    """The recipes in ``folder``, one JSON file each; its name is the recipe's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def names(self) -> list[str]:
        """The names of those that ship."""
        return sorted(path.stem for path in self._folder.glob("*.json"))

    def all(self) -> list[OrganismRecipe]:
        """Those that ship: planted ones first. Raises InputError if one is damaged."""
        return sorted(map(self.read, self.names), key=lambda one: (not one.planted, one.name))

    def read(self, given: str) -> OrganismRecipe:
        """A recipe by its name, or a file. Raises InputError, which names the file and the field."""
        if given in self.names:
            return self._read(self._folder / f"{given}.json")
        path = written_path(given)
        if not path.is_file():
            what = "a folder" if path.is_dir() else "neither a recipe nor a file"
            raise InputError(FIELD, f"“{given}” is {what}", f"Give a JSON file, or one of {', '.join(self.names)}")
        return self._read(path)

    def behaviour(self, given: str) -> Behaviour:
        """A behaviour whose removal is tested: a recipe by its name or file, which may hold further ways to ask for it
        in its field ``removal``, or the same as JSON. Raises InputError."""
        if given.lstrip().startswith("{"):
            name, fields = "the behaviour", _parsed(given, "the behaviour")
        elif given in self.names:
            return Behaviour(recipe=self.read(given))
        else:
            path = written_path(given)
            if not path.is_file():
                self.read(given)  # says what is wrong
            name, fields = path.name, _object(path)
        more = fields.pop(MORE, {})
        if not isinstance(more, dict):
            raise InputError(FIELD, f"“{name}”: {MORE} is not an object", "docs/removal.md describes its fields")
        try:
            return Behaviour.model_validate({**more, "recipe": self._recipe(name, fields)})
        except ValidationError as error:
            raise InputError(FIELD, f"“{name}”: {fault(error)}", "docs/removal.md describes its fields") from None

    def _read(self, path: Path) -> OrganismRecipe:
        return self._recipe(path.name, _object(path), path.stem)

    def _recipe(self, name: str, fields: dict[str, Any], own: str = "") -> OrganismRecipe:
        twin = fields.pop("clean_of", None)
        if twin is not None:
            if twin not in self.names or twin == own:
                planted = ", ".join(name for name in self.names if not name.startswith("clean-"))
                raise InputError(FIELD, f"“{name}”: clean_of: “{twin}” is no recipe", f"Give one of {planted}")
            fields = {**self.read(twin).model_dump(mode="json"), **fields, "planted": False}
        try:
            return OrganismRecipe.model_validate(fields)
        except ValidationError as error:
            raise InputError(FIELD, f"“{name}”: {fault(error)}", FORM) from None


def _object(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(FIELD, f"“{path.name}” is too large", f"Give a file of at most {MOST_BYTES:,} bytes")
        return _parsed(text_of(path.read_bytes()), path.name)
    except OSError as error:
        raise InputError(FIELD, f"“{path}” cannot be read ({error.strerror or error})", "Give another file") from error
    except UnicodeError as error:
        raise InputError(FIELD, f"“{path.name}” is not JSON", FORM) from error


def _parsed(text: str, name: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        where = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise InputError(FIELD, f"“{name}” is not JSON{where}", FORM) from error
    if not isinstance(found, dict):
        raise InputError(FIELD, f"“{name}” is not a JSON object", FORM)
    return found
