"""The command line's frame: its commands, and what every way of ending means as an exit code."""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import Annotated

import typer
from typer.exceptions import TyperException

from logferry import __version__
from logferry.cli.coverage import coverage
from logferry.cli.doctor import doctor
from logferry.cli.export import export
from logferry.cli.gaps import gaps
from logferry.cli.plan import plan
from logferry.cli.search import search
from logferry.cli.verify import verify
from logferry.errors import LogferryError

INTERRUPTED = 130
UNEXPECTED = 1

app = typer.Typer(
    name="logferry",
    help="Carries logs from search APIs to Parquet, and proves that none fell overboard.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(search)
app.command()(plan)
app.command()(export)
app.command()(coverage)
app.command()(gaps)
app.command()(verify)
app.command()(doctor)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"logferry {__version__}")
        raise typer.Exit


@app.callback()
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
        if argv is None:
            signal.signal(signal.SIGTERM, _interrupt)
        code = typer.main.get_command(app).main(arguments, prog_name="logferry", standalone_mode=False)
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
        # The reader has had enough (such as `| head`); keep the interpreter from failing again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNEXPECTED
    except Exception as error:  # the last resort: one sentence instead of a traceback
        _trace(arguments)
        hint = "" if "--debug" in arguments else " (logferry --debug … shows where)"
        return _say(f"unexpected {type(error).__name__}: {error}{hint}", UNEXPECTED)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _usage(error: TyperException) -> int:
    message = getattr(error, "format_message", lambda: str(error))()
    context = getattr(error, "ctx", None)
    if context is not None and not message.startswith("Usage"):
        message = f"{message} (see: {context.command_path} --help)"
    print(message, file=sys.stderr)
    return int(getattr(error, "exit_code", 2))


def _say(message: str, code: int) -> int:
    print(f"logferry: {message}", file=sys.stderr)
    return code


def _trace(arguments: list[str]) -> None:
    if "--debug" in arguments:
        traceback.print_exc()
