"""The command line: it puts the parts together and prints what they say.

Invariants:
- results go to stdout, everything else to stderr; `--json` prints exactly one JSON object;
- exit 0 done, 1 failed, 2 wrong usage, configuration or data;
- a person never sees a traceback: bad input is one or two sentences, a bug of ours names the file with the details;
- nothing but the standard library is imported before the command is known: `--help` answers at once.
"""

import errno
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from novapulse.cli.console import EXIT_FAILED, EXIT_USAGE, UsageError, crash_report, error

_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: Words after `novapulse`; None takes them from the process.

    Returns:
        The exit code.
    """
    from novapulse.cli.parser import parse

    try:
        options = parse(arguments)
        code: int = options.command(options)
        sys.stdout.flush()
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else EXIT_USAGE
    except KeyboardInterrupt:
        error("interrupted")
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has enough of it; without this the interpreter would complain when it closes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except OSError as wrong:
        error(f"{wrong.filename or _place_of(wrong)}: {wrong.strerror or wrong}")
        return EXIT_FAILED
    except Exception as wrong:
        if is_refusal(wrong):
            error(str(wrong))
            return EXIT_FAILED if _is_of_the_machine(wrong) else EXIT_USAGE
        error(
            f"this is a bug of ours, not of your input ({type(wrong).__name__}); details are in {crash_report(wrong)}"
        )
        return EXIT_FAILED
    return code


def is_refusal(wrong: Exception) -> bool:
    """Return whether an error speaks about what a person gave: our own kinds of ValueError, made for people."""
    ours = type(wrong).__module__.partition(".")[0] == "novapulse"
    return isinstance(wrong, UsageError) or (ours and isinstance(wrong, ValueError))


def _is_of_the_machine(wrong: Exception) -> bool:
    from novapulse.control.storage import UnusableError

    return isinstance(wrong, UnusableError)


def _place_of(wrong: OSError) -> str:
    """Return where an error came from that names no file; of a full disk, the folder of ours that has no room."""
    from novapulse.config import home_folder
    from novapulse.ops.disk import free_bytes

    if wrong.errno not in (errno.ENOSPC, errno.EDQUOT):
        return "the operating system"
    places = (home_folder(os.environ), Path(tempfile.gettempdir()))
    return str(min(places, key=lambda place: free_bytes(place) or 0))
