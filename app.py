"""The door: ``python app.py`` serves the page, as ``melbo serve`` does; ``--help`` lists the options."""

from collections.abc import Sequence

import typer

from melbo_app.commands.running import run
from melbo_app.commands.serve import serve

app = typer.Typer(add_completion=False)
app.command()(serve)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve the page until Ctrl+C."""
    run(app, "app.py", arguments, "python app.py")


if __name__ == "__main__":
    main()
