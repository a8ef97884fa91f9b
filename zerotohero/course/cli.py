"""The command line: `doctor`, `check`, `submit`, `grade`; `train`, `sample`, `chat`, `export`.

Each command imports what it needs when it runs, so that `zerotohero --help` answers at once.
"""

import sys
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
    run: Annotated[bool, typer.Option(help="Try the answers first; else write at once.")] = True,
) -> None:
    """Try all your answers as the grader will, and write them to one small file, to hand in."""
    from zerotohero.course import submission, submitting

    def write() -> None:
        mine = submission.from_notebooks(notebooks, name)
        submitting.hand_in(mine, out or Path(submission.FILE_NAME), run)

    _say(write)


@app.command()
def grade(
    folder: Annotated[Path, typer.Argument(help="The folder of submissions.")],
    out: Annotated[Path, typer.Option(help="Where results and grades.csv go.")] = Path("grades"),
    only: Annotated[
        str | None, typer.Option(help="Exercises that count, such as 1.1,1.2; all if not given.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue with the marks that are there.")
    ] = False,
    seed: Annotated[
        int | None, typer.Option(help="Seed of the inputs; else one is drawn and printed.")
    ] = None,
    sandbox: Annotated[
        bool, typer.Option(help="Without it, strangers' code runs with your rights.")
    ] = True,
) -> None:
    """Mark a folder of submissions by strangers, each in a sandbox of its own."""
    from zerotohero.course import grading

    numbers = None if only is None else only.replace(",", " ").split()
    _say(grading.grade, folder, out, numbers, seed=seed, resume=resume, sandbox=sandbox)


@app.command()
def train(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RECIPE] [KEY=VALUE]...",
            help="A recipe (without one, all are listed) and changes such as n_layer=8 steps=500.",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="A TOML file: recipe, data, init_from, tables model and train."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="A text file, a folder of shards, or one of tinyshakespeare (if not given), "
            "plays, names."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder; else runs/RECIPE.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the folder's run.")] = False,
    init_from: Annotated[
        str | None,
        typer.Option(help="Fine-tune: a run's folder, an exported one, or a hub name: gpt2."),
    ] = None,
    skip_unknown: Annotated[
        bool,
        typer.Option("--skip-unknown", help="Leave out characters that --init-from does not know."),
    ] = False,
    tokenizer: Annotated[
        str | None,
        typer.Option(help="gpt2, or a size such as 1024: pieces of the text; else its characters."),
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ...; else the best.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what it would take; the rest is for this.")
    ] = False,
    gpu: Annotated[str, typer.Option(help="On which GPU.")] = "A100",
    devices: Annotated[
        int | None, typer.Option(help="On how many; else one, or torchrun's processes.")
    ] = None,
    mfu: Annotated[float, typer.Option(help="The share of its peak that is reached.")] = 0.4,
    euros: Annotated[float, typer.Option(help="What one costs an hour.")] = 2.0,
) -> None:
    """Train a GPT from a recipe, continue a run, or fine-tune; without words, list the recipes."""
    from zerotohero.course import train

    if not (words or config or data or out or resume or init_from):
        train.show_recipes()
        return
    _say(
        train.train,
        words or [],
        config=config,
        data=data,
        out=out,
        resume=resume,
        init_from=init_from,
        skip_unknown=skip_unknown,
        tokenizer=tokenizer,
        device=device,
        dry_run={"gpu": gpu, "devices": devices, "mfu": mfu, "euros": euros} if dry_run else None,
    )


Run = Annotated[Path, typer.Argument(help="The folder of a run.")]
Last = Annotated[bool, typer.Option("--last", help="The last checkpoint, not the best.")]


@app.command()
def sample(
    run: Run,
    prompt: Annotated[str | None, typer.Option(help="What the text begins with.")] = None,
    tokens: Annotated[int, typer.Option(help="How many to write.")] = 500,
    temperature: Annotated[
        float, typer.Option(help="Below 1 plays safe; 0 is always the likeliest.")
    ] = 0.8,
    top_k: Annotated[
        int | None, typer.Option(help="Only the k likeliest tokens may come next.")
    ] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Only the likeliest that together reach p may come next.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed, for the same text again.")] = None,
    num_samples: Annotated[int, typer.Option(help="How many texts.")] = 1,
    last: Last = False,
    device: Annotated[str | None, typer.Option(help="cpu (if not given), cuda, ...")] = "cpu",
) -> None:
    """Let a trained model write, to the terminal, token by token."""
    from zerotohero.course import sample

    _say(
        sample.sample,
        run,
        prompt=prompt,
        tokens=tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
        num_samples=num_samples,
        last=last,
        device=device,
    )


@app.command()
def chat(
    run: Annotated[
        Path | None, typer.Argument(help="The folder of a run; without one, SmolLM2 answers.")
    ] = None,
    web: Annotated[bool, typer.Option("--web", help="On a page in your browser.")] = False,
    port: Annotated[int, typer.Option(help="The page's port; 0 is any that is free.")] = 0,
) -> None:
    """Talk to SmolLM2, or to a model that you trained."""
    from zerotohero.course.chat import terminal
    from zerotohero.course.chat import web as page

    _say(*((page.serve, run, port) if web else (terminal.chat, run)))


@app.command()
def export(
    run: Run,
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
    last: Last = False,
) -> None:
    """Write a trained model in Hugging Face's format, which `transformers` loads."""
    from zerotohero.course import export

    _say(export.export, run, folder, last)


data_app = typer.Typer(help="The course's data, and shards of your own.")
app.add_typer(data_app, name="data")


@data_app.callback(invoke_without_command=True)
def data(context: typer.Context) -> None:
    """Build or fetch the course's data, and verify it; or make shards of your own."""
    if context.invoked_subcommand:
        return
    from zerotohero.course import data

    for name in ("names", "tinyshakespeare"):
        _say(lambda name=name: print(data.path(name)))


@data_app.command()
def shards(
    source: Annotated[
        str,
        typer.Argument(
            help="A text file, a folder of .txt or .parquet files, fineweb-edu, or OWNER/NAME of "
            "the Hugging Face hub, with :CONFIGURATION if need be."
        ),
    ],
    folder: Annotated[Path, typer.Argument(help="A new folder, or one that was begun.")],
    tokenizer: Annotated[
        str, typer.Option(help="gpt2, or the folder of a tokenizer.json, or a size, as 1024.")
    ] = "gpt2",
    tokens: Annotated[int | None, typer.Option(help="How many at most; if not given, all.")] = None,
    shard_tokens: Annotated[
        int | None,
        typer.Option(help="Tokens a shard; else 100 million, or a tenth if there are fewer."),
    ] = None,
    val_shards: Annotated[
        int, typer.Option(help="How many shards, from the first on, are for validation.")
    ] = 1,
    processes: Annotated[
        int | None, typer.Option(help="How many at a time; else all cores.")
    ] = None,
) -> None:
    """Turn documents into tokens on the disk, to train on; the same command goes on when killed."""
    from zerotohero.course import shard

    _say(
        shard.shards,
        source,
        folder,
        tokenizer=tokenizer,
        tokens=tokens,
        shard_tokens=shard_tokens,
        val_shards=val_shards,
        processes=processes,
    )


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
    except BrokenPipeError:  # of `zerotohero sample RUN | head`, which typer ends quietly
        raise
    except (
        ValueError,
        OSError,
        RuntimeError,
        ArithmeticError,
        ImportError,
        MemoryError,
    ) as error:
        typer.echo(_sentence(error), err=True)
        raise typer.Exit(1) from None


def _sentence(error: Exception) -> str:
    """Return an error in words for a person; the disk's and the memory's speak in numbers."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'A file'} can't be read or written: {error.strerror}."
    lacking = isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__
    if lacking or "can't allocate memory" in str(error):
        return (
            "The memory is too small for this: take a smaller batch_size, a larger accumulate, a "
            "smaller block_size or a smaller model."
        )
    return str(error)


def main() -> None:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # "?" for a character that a terminal lacks
    app()


if __name__ == "__main__":  # torchrun -m zerotohero.course.cli train ...
    main()
