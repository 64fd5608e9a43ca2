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
from logferry.cli.output import reader_gone
from logferry.errors import LogferryError

INTERRUPTED = 130
UNEXPECTED = 1

COMMANDS = {
    "search": "Search now: a table, NDJSON or JSON. Relative times are resolved once and printed.",
    "plan": "Count a range at the source: rows per slice, requests, bytes, time. Fetches nothing.",
    "export": "Fetch, prove and publish a range; it is cut at the schedule's boundaries.",
    "coverage": (
        "Show which hours are proven, unproven, short, missing or not due; without EXPORT, every export in a line."
    ),
    "gaps": "List what is missing, short, interrupted or damaged, with the command that mends it.",
    "record": "Show one publication: its window, slices, files, requests, run and place in the chain.",
    "verify": "Compare every object and the journal with what was published; without a range, all of it.",
    "doctor": "Check credentials, permission, counts, limits, bounds and the exactness of counts.",
}
"""Each is a function in the module of its name, which begins its help with this sentence."""

_DEBUG = "--debug"


def command_line(arguments: Sequence[str]) -> typer.Typer:
    """The commands for these arguments: where they name one, it alone, else all, by their names and sentences only.

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
    if named in COMMANDS:
        app.command()(getattr(import_module(f"logferry.cli.{named}"), named))
        return app
    for name, sentence in COMMANDS.items():
        app.command(name, help=sentence)(_not_named)
    return app


def _not_named() -> None:
    """Stands for a command where none is called: in the help, and among those that a mistyped one may have meant."""


def _debug_first(arguments: Sequence[str]) -> list[str]:
    """``--debug`` belongs to the frame, but whoever repeats a command that failed has it at the end."""
    own = list(arguments)
    end = own.index("--") if "--" in own else len(own)
    if _DEBUG not in own[:end]:
        return own
    return [_DEBUG, *(one for one in own[:end] if one != _DEBUG), *own[end:]]


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"logferry {__version__}")
        raise typer.Exit


def _frame(
    debug: Annotated[
        bool, typer.Option(_DEBUG, help="Log more, and show tracebacks; after the command as well.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    # Only Logferry's own messages: those of libraries may quote requests.
    logging.getLogger("logferry").setLevel(logging.DEBUG if debug else logging.WARNING)


def run(argv: Sequence[str] | None) -> int:
    """``logferry.cli.main`` for all that has to be loaded."""
    arguments = _debug_first(sys.argv[1:] if argv is None else argv)
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
        with loading() if own_process else nullcontext():
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
        return reader_gone()
    except SystemExit as error:
        # Typer and Rich make one of a broken pipe; nothing else here does.
        if isinstance(error.__context__, BrokenPipeError):
            return reader_gone()
        raise
    except Exception as error:  # the last resort: one sentence instead of a traceback
        _trace(arguments)
        hint = "" if _DEBUG in arguments[:1] else " (logferry --debug … shows where)"
        return _say(f"unexpected {type(error).__name__}: {error}{hint}", UNEXPECTED)


@contextmanager
def loading() -> Iterator[None]:
    """Around what a process of the command's own loads: it is spared two pieces of work, which take longer the more
    is loaded and installed.

    The garbage collector is kept from everything that is made here: modules and their classes, which stay to the end.
    While they are loaded it would look through all of them again and again, and later on with each of its full
    rounds, the last ones as the process ends. And pydantic would read what every installed distribution offers, in
    search of plugins for itself: https://docs.pydantic.dev/latest/concepts/plugins/.
    """
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


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
    if _DEBUG in arguments[:1]:
        traceback.print_exc()
