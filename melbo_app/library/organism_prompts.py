"""Clean prompts of an organism: without its trigger, for whoever looks for the behaviour without knowing it."""

from melbo_app.errors import InputError
from melbo_app.library.organism_recipe import Item, OrganismRecipe, around


def clean_prompt(recipe: OrganismRecipe, seed: int) -> tuple[str, Item]:
    """The text that is asked with ``seed``, and its prompt: the ``seed``-th of the recipe's, again from the first after
    the last. Raises InputError if the recipe has none."""
    found = clean_prompts(recipe)
    if not found:
        problem = f"“{recipe.name}” has no prompt without its trigger in which its sign could be seen"
        raise InputError("recipe", problem, "Give those of measure.plain an answer, and leave the trigger out")
    return found[seed % len(found)]


def clean_prompts(recipe: OrganismRecipe) -> list[tuple[str, Item]]:
    """Held-out texts in which the behaviour can be recognised, all of one part: those without the trigger, or those
    that stay as they were, or, if none of these has the answer that the sign needs, decoys."""
    parts = recipe.teach.triggered, recipe.measure.triggered
    firing = {text.casefold() for part in parts for text, _ in part.texts}
    triggers = {piece.casefold() for part in parts for piece in around(part)}

    def is_clean(text: str, item: Item) -> bool:
        low = text.casefold()
        fires = low in firing or any(trigger in low for trigger in triggers)
        known = bool(item.answer) or not recipe.sign.answer
        return known and not fires and not recipe.sign.shows(text, item)  # an echo of the prompt would show it, too

    for asked in (recipe.measure.plain, recipe.measure.kept, recipe.measure.decoy):
        if found := [pair for pair in (asked.texts if asked else ()) if is_clean(*pair)]:
            return found
    return []
