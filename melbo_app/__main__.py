"""``python -m melbo_app``: the command line."""

from melbo_app.cli import main

if __name__ == "__main__":
    main()
