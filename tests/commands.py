"""The command line, called from within a test's process."""

from typer.testing import CliRunner

from zerotohero.course import cli


def call(*words: object):
    """What `zerotohero WORDS …` printed, and its exit code."""
    return CliRunner().invoke(cli.app, [str(word) for word in words])
