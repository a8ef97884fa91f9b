"""An error of a command as one sentence for the person who typed it."""

import typer


def told(action, *args, **options) -> None:
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
