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
from slimcae.cli.stopping import Stopped, raise_if_stopped, stopping

INTERRUPTED = 128 + signal.SIGINT
BROKEN_PIPE = 128 + 13  # SIGPIPE, which not every system has


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (None: the arguments of the process) and return the exit code."""
    open_closed_streams()
    try:
        with stopping():
            try:
                return _run(sys.argv[1:] if argv is None else argv)
            except Exception as error:
                raise_if_stopped()  # the signal may have caused the error
                print_error(describe(error))
                return 1
    except Stopped as stop:
        print_error(str(stop))
        return 128 + stop.signal
    except KeyboardInterrupt:
        print_error("interrupted")
        return INTERRUPTED


def _run(argv: Sequence[str]) -> int:
    try:
        args, run = parse(argv)
        with talking(args):
            code = run(args)
        sys.stdout.flush()  # raises here if the pipe is closed
        return code
    except SystemExit as stop:  # argparse, after --help, --version or a usage error
        return stop.code if isinstance(stop.code, int) else 0
    except BrokenPipeError:  # the reader of our output has closed it
        return BROKEN_PIPE


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
