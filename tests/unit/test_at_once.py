"""How many people are worked on at a time: who steers has to be, to share passes, and the others keep their threads."""

from melbo_app.ui.page import build_page
from melbo_app.workbench import Workbench

PEOPLE = 20
GRADIOS_THREADS = 40


def test_twenty_tabs_and_twenty_programs_steer_at_a_time_and_leave_the_page_its_threads(bench: Workbench):
    page = build_page(bench)
    button = next(key for key, part in page.blocks.items() if part.elem_id == "steer-button")
    pressed = [fn for fn in page.fns.values() if (button, "click") in fn.targets]
    called = [fn for fn in page.fns.values() if fn.api_name == "steer"]
    limits = [fn.concurrency_limit for fn in (*pressed, *called)]
    assert len(limits) == 2 and min(limits) >= PEOPLE
    assert page.max_threads >= sum(limits) + GRADIOS_THREADS
    assert called[0].concurrency_id not in {fn.concurrency_id for fn in page.fns.values() if fn.api_name == "train"}
