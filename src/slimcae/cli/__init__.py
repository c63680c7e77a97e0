"""The command line: run one command, and turn every failure into one line and an exit code.

Exit codes: 0 success, 1 failure, 2 wrong usage, 128 + n stopped by signal n (130 for Ctrl-C).
Results go to stdout, messages to stderr.
"""

import io
import os
import signal
import sys
from collections.abc import Sequence

from slimcae.cli.batch import workers_left
from slimcae.cli.failure import describe
from slimcae.cli.messages import print_error, talking
from slimcae.cli.parser import parse
from slimcae.cli.standard import flush_standard_streams, open_closed_streams
from slimcae.cli.stopping import Stopped, stopping

INTERRUPTED = 128 + signal.SIGINT
BROKEN_PIPE = 128 + 13  # SIGPIPE, which not every system has


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (None: the arguments of the process) and return the exit code."""
    open_closed_streams()
    try:
        with stopping():
            return _run(sys.argv[1:] if argv is None else argv)
    except Stopped as stop:  # while a failure was reported
        return 128 + stop.signal


def _run(argv: Sequence[str]) -> int:
    try:
        args, run = parse(argv)
        with talking(args):
            code = run(args)
        sys.stdout.flush()  # raises here if the pipe is closed
        return code
    except SystemExit as stop:  # argparse, after --help, --version or a usage error
        return stop.code if isinstance(stop.code, int) else 0
    except Stopped as stop:
        print_error(str(stop))
        return 128 + stop.signal
    except KeyboardInterrupt:
        print_error("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has closed it
        return BROKEN_PIPE
    except Exception as error:
        first = _what_stopped(error)
        if isinstance(first, Stopped):
            print_error(str(first))
            return 128 + first.signal
        if first is not None:
            print_error("interrupted")
            return INTERRUPTED
        print_error(describe(error))
        return 1


def _what_stopped(error: BaseException | None) -> BaseException | None:
    """Return the Ctrl-C or other signal behind an error, if there is one.

    A signal between a library's `try` and `finally` can cause another error that hides it: tqdm,
    for example, releases a lock that it has not created yet.
    """
    while error is not None:
        if isinstance(error, KeyboardInterrupt | Stopped):
            return error
        error = error.__context__
    return None


def entry_point() -> None:
    """The command `slimcae`."""
    open_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # no terminal must fail on a λ
    code = main()
    flush_standard_streams()
    if workers_left():  # after an early stop, sys.exit would wait for their pictures
        os._exit(code)
    sys.exit(code)
