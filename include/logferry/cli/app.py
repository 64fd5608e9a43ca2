"""The command line's frame: its commands, and what every way of ending means as an exit code."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib import import_module
from types import FrameType
from typing import Annotated

import typer
from typer.exceptions import TyperException

from logferry import __version__
from logferry.errors import LogferryError

INTERRUPTED = 130
UNEXPECTED = 1

READER_GONE = 141
"""What a shell calls a command that the end of its pipe has stopped (128 and SIGPIPE)."""

COMMANDS = ("search", "plan", "export", "coverage", "gaps", "record", "verify", "doctor")
"""Each is a function in the module of its name."""


def command_line(arguments: Sequence[str]) -> typer.Typer:
    """The commands that these arguments may need: one, where they name it, else all.

    Loading all of them, with every client of every vendor, would cost most of the time of a short one.
    """
    named = next((one for one in arguments if not one.startswith("-")), None)
    app = typer.Typer(
        name="logferry",
        help="Carries logs from search APIs to Parquet, and proves that none fell overboard.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(_frame)
    for name in [named] if named in COMMANDS else COMMANDS:
        app.command()(getattr(import_module(f"logferry.cli.{name}"), name))
    return app


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"logferry {__version__}")
        raise typer.Exit


def _frame(
    debug: Annotated[bool, typer.Option("--debug", help="Log more, and show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    # Only Logferry's own messages: those of libraries may quote requests.
    logging.getLogger("logferry").setLevel(logging.DEBUG if debug else logging.WARNING)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command (default: of ``sys.argv``) and return its exit code; errors are one sentence on stderr."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    logging.basicConfig(
        format="%(levelname)s %(message)s", level=logging.WARNING, stream=sys.stderr, force=True
    )
    try:
        own_process = argv is None
        if own_process:
            signal.signal(signal.SIGTERM, _interrupt)
            # Else pydantic reads what every installed distribution offers, in search of plugins for itself:
            # https://docs.pydantic.dev/latest/concepts/plugins/
            os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
        with _uncollected() if own_process else nullcontext():
            commands = typer.main.get_command(command_line(arguments))
        code = commands.main(arguments, prog_name="logferry", standalone_mode=False)
        sys.stdout.flush()
        # Typer turns Ctrl-C inside a command into this code, silently.
        return _say("interrupted", INTERRUPTED) if code == INTERRUPTED else int(code or 0)
    except TyperException as error:
        return _usage(error)
    except (KeyboardInterrupt, typer.Abort):
        return _say("interrupted", INTERRUPTED)
    except LogferryError as error:
        _trace(arguments)
        return _say(str(error), error.exit_code)
    except BrokenPipeError:
        return _reader_gone()
    except SystemExit as error:
        # Typer and Rich make one of a broken pipe; nothing else here does.
        if isinstance(error.__context__, BrokenPipeError):
            return _reader_gone()
        raise
    except Exception as error:  # the last resort: one sentence instead of a traceback
        _trace(arguments)
        hint = "" if "--debug" in arguments else " (logferry --debug … shows where)"
        return _say(f"unexpected {type(error).__name__}: {error}{hint}", UNEXPECTED)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the garbage collector from everything that is made here: modules and their classes, which stay to the end.

    While they are loaded it would look through all of them again and again, and later on with each of its full
    rounds, the last ones as the process ends.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _reader_gone() -> int:
    """The reader has had enough (such as `| head`); keep the interpreter from failing again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
    return READER_GONE


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _usage(error: TyperException) -> int:
    message = getattr(error, "format_message", lambda: str(error))().replace("Value error, ", "").rstrip(".")
    code = int(getattr(error, "exit_code", 2))
    if not message:
        # Nothing was asked for, and the help is on the screen already.
        return code
    context = getattr(error, "ctx", None)
    if context is not None and not message.startswith("Usage"):
        message = f"{message} (see: {context.command_path} --help)"
    return _say(message, code)


def _say(message: str, code: int) -> int:
    print(f"logferry: {message}", file=sys.stderr)
    return code


def _trace(arguments: list[str]) -> None:
    if "--debug" in arguments:
        traceback.print_exc()
