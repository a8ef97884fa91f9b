"""The command line: `zerotohero doctor`, `check`, `submit`, `grade`, and the maintainers' two.

Each command imports what it needs when it runs, so that `zerotohero --help` answers at once.
"""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Zero to Hero: the tools around the course.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Folder = Annotated[Path, typer.Option("--notebooks", help="The folder with your notebooks.")]


@app.command()
def doctor() -> None:
    """Say OK, or what to do, for everything that the course needs on this machine."""
    from zerotohero.course import doctor

    raise typer.Exit(doctor.main())


@app.command()
def check(
    numbers: Annotated[
        list[str] | None, typer.Argument(help="Exercises, such as 1.1; all if none is named.")
    ] = None,
    notebooks: Folder = Path("exercises"),
) -> None:
    """Check the saved exercise notebooks: progress over all, or the named ones in full."""
    from zerotohero.course import progress

    _say(progress.show, notebooks, numbers or [])


@app.command()
def submit(
    name: Annotated[str, typer.Option(help="Your name, as your teacher knows it.")] = "",
    notebooks: Folder = Path("exercises"),
    out: Annotated[Path | None, typer.Option(help="The file to write.")] = None,
) -> None:
    """Write all your answers to one small file, to hand in."""
    from zerotohero.course import submission

    def write() -> None:
        mine = submission.from_notebooks(notebooks, name)
        answered = submission.answered_in(mine)
        if not answered:
            raise ValueError("Nothing is answered yet; save your notebooks, then submit.")
        path = out or Path(submission.FILE_NAME)
        mine.write(path)
        print(f"Wrote {path} with your answers to {', '.join(answered)}. Hand in this one file.")

    _say(write)


@app.command()
def grade(
    folder: Annotated[Path, typer.Argument(help="The folder of submissions.")],
    out: Annotated[Path, typer.Option(help="Where results and grades.csv go.")] = Path("grades"),
    only: Annotated[
        str, typer.Option(help="Exercises that count, such as 1.1,1.2; all if not given.")
    ] = "",
    seed: Annotated[
        int | None, typer.Option(help="Of the inputs; a fresh one is drawn and printed.")
    ] = None,
    sandbox: Annotated[
        bool, typer.Option(help="Without it, strangers' code runs with your rights.")
    ] = True,
) -> None:
    """Mark a folder of submissions by strangers, each in a sandbox of its own."""
    from zerotohero.course import grading

    numbers = [n for n in only.replace(",", " ").split() if n] or None
    _say(grading.grade, folder, out, numbers, seed=seed, sandbox=sandbox)


@app.command()
def data() -> None:
    """Build or fetch the course's data, and verify it."""
    from zerotohero.course import data

    for name in ("names", "tinyshakespeare"):
        _say(lambda name=name: print(data.path(name)))


@app.command(hidden=True)
def exercises() -> None:
    """For maintainers: make the exercise notebooks from the solutions."""
    from zerotohero.course import notebooks

    _say(lambda: [print(f"wrote {path}") for path in notebooks.make_exercises(Path.cwd())])


@app.command(hidden=True)
def notebooks(paths: list[Path]) -> None:
    """For maintainers: run notebooks in fresh kernels and store their outputs."""
    import time

    from zerotohero.course import notebooks

    for path in paths:
        start = time.perf_counter()
        notebooks.run(path)
        print(f"{path}  {time.perf_counter() - start:.0f} s", flush=True)


def _say(action, *args, **options) -> None:
    """Do it; an error that a user can mend is one sentence and exit code 1, never a traceback."""
    try:
        action(*args, **options)
    except (ValueError, OSError, RuntimeError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def main() -> None:
    app()
