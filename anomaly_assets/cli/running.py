"""Run a command, print an error as one line on stderr, and return an exit code for every ending."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from anomaly_assets.arguments import whole_number
from anomaly_assets.errors import AnomalyAssetsError
from anomaly_assets.settings import unknown_variables
from anomaly_assets.signals import (
    INTERRUPTED,
    begin_reading,
    was_interrupted,
)
from anomaly_assets.streams import lost_output

NAME = "anomaly-assets"

FAILED = 1
USAGE = 2

Main = Callable[..., int]


class CommandError(AnomalyAssetsError, RuntimeError):
    """A command failed for a reason that another library found; the message has the remedy."""


class UsageError(AnomalyAssetsError, ValueError):
    """The command line cannot be used; the message names the argument. The exit code is 2."""


class AtLeast(click.ParamType):
    """Read a whole number with a lower bound."""

    name = "number"

    def __init__(self, least: int) -> None:
        self._least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number, or fail with an error message that repeats the given value."""
        try:
            return whole_number(str(value), self._least)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def not_empty(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Refuse an empty path: it would mean the working folder, and often comes from an unset variable."""
    if value is not None and not value.strip():
        raise click.BadParameter("this is empty; name a path.", ctx, param)
    return value


def examples(*lines: str) -> str:
    """Return the end of a help text: these commands, one per line."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


@contextmanager
def expected(*kinds: type[Exception]) -> Iterator[None]:
    """Turn errors of other libraries into `CommandError`, with the same message.

    Args:
        kinds: Classes of errors that the block may raise although the code is correct.

    Raises:
        KeyboardInterrupt: The block failed after Ctrl-C or SIGTERM, which is then the cause.
    """
    try:
        yield
    except Exception as error:
        if was_interrupted():
            raise KeyboardInterrupt from error
        if isinstance(error, AnomalyAssetsError) or not isinstance(error, kinds):
            raise
        raise CommandError(str(error)) from error


def begin_work() -> None:
    """Begin like `begin_reading`, for a command that does more than print.

    It has succeeded when its work is done, even if its output could not be written.
    """
    begin_reading()
    _working.append(True)


_working: list[bool] = []


def interrupted(message: str) -> int:
    """Print what Ctrl-C left behind; returns the exit code."""
    print(message, file=sys.stderr)
    return INTERRUPTED


def warn_of_unknown_variables() -> None:
    """Print a line for each environment variable that looks like a misspelled setting."""
    for sentence in unknown_variables():
        print(f"warning: {sentence}", file=sys.stderr)


def program() -> str:
    """Return how this process was started: by the console command, or as a module in a checkout."""
    script = Path(sys.argv[0]).stem
    return NAME if script == NAME else "python -m anomaly_assets"


def run(command: click.Command, arguments: Sequence[str] | None, name: str) -> int:
    """Run a command and return its exit code.

    Args:
        command: The command.
        arguments: What follows its name; None takes the arguments of the process.
        name: Its name in help texts.

    Raises:
        SystemExit: The arguments cannot be used; the code is 2.
    """
    given = None if arguments is None else list(arguments)
    _working.clear()
    try:
        code = command.main(
            given, prog_name=name, standalone_mode=False, help_option_names=["-h", "--help"]
        )
    except click.Abort:
        return interrupted("interrupted")
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    except AnomalyAssetsError as error:
        if was_interrupted():
            return interrupted("interrupted")
        sys.stdout.flush()
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "anomaly_assets"):  # a bug
            raise
        print(
            f"error: {package} is not installed. This sub-command needs all dependencies: pip install . in "
            "the checkout.",
            file=sys.stderr,
        )
        return FAILED
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except Exception:
        if was_interrupted():
            return interrupted("interrupted")
        raise
    code = code if isinstance(code, int) else 0
    if code == 0 and was_interrupted():  # a library dropped the exception
        return interrupted("interrupted too late: the command has finished")
    if code == 0 and not _working and (reason := lost_output()) is not None:
        print(f"error: The output could not be written: {reason}.", file=sys.stderr)
        return FAILED
    return code


def old_name(command: click.Command, name: str) -> Main:
    """Return the `main` of a module that had a command of its own.

    Args:
        command: Command that the older name runs.
        name: Older name, such as `python -m anomaly_assets.export`.
    """

    def main(arguments: Sequence[str] | None = None) -> int:
        """Run the command; returns its exit code."""
        return run(command, arguments, name)

    return main
