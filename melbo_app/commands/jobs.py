"""The jobs of the server, from the database. The page starts and stops them."""

from typing import Annotated

import typer

from melbo_app.commands.options import Json, listing_group, say_where
from melbo_app.commands.output import name_damaged, show
from melbo_app.library.job_records import JobRecord
from melbo_app.listings import job_lines, plain
from melbo_app.settings import Settings
from melbo_app.workbench import Workbench

TIME = "%Y-%m-%d %H:%M:%S"


def list_jobs(
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many of the newest.")] = 20,
    as_json: Json = False,
) -> None:
    """The last jobs, newest first."""
    workbench = Workbench(Settings())
    found = workbench.jobs(limit)
    name_damaged(found.damaged)
    if not found:
        say_where(workbench)
    lines = [_line(record) for record in found] or ["No jobs yet: start the page, and train or draw a map."]
    show(job_lines(found), lines, as_json)


jobs = listing_group("jobs", "The jobs of the server.", list_jobs)


@jobs.command("show")
def show_job(
    number: Annotated[int, typer.Argument(metavar="JOB", help="Number of the job.")], as_json: Json = False
) -> None:
    """One job with its log."""
    record = Workbench(Settings()).job(number)
    lines = [_line(record), f"started by {record.who}, {record.created.astimezone().strftime(TIME)}"]
    lines += [f"  {line.at.astimezone().strftime(TIME)}  {line.text}" for line in record.log]
    lines += [f"made the bank {record.bank}"] if record.bank else []
    lines += [f"made the comparison {record.comparison}"] if record.comparison else []
    show(plain(record), lines, as_json)


def _line(record: JobRecord) -> str:
    progress = record.progress
    share = f", {100 * progress.done // max(1, progress.total)} %" if progress and record.state == "running" else ""
    return f"{record.id}  {record.title}: {record.state}{share}"
