"""The command line: runs one command, and turns every failure into one line and an exit code.

Exit codes: 0 fine, 1 failed, 2 wrong usage, 128 + n stopped by signal n (130 for Ctrl-C).
Results go to stdout, everything said about them to stderr.
"""

import io
import os
import signal
import sys
from collections.abc import Sequence

from slimcae.cli.batch import workers_left
from slimcae.cli.failure import describe
from slimcae.cli.parser import parse
from slimcae.cli.standard import flush_standard_streams, open_closed_streams
from slimcae.cli.stopping import Stopped, stopping
from slimcae.cli.talk import print_error, talking

INTERRUPTED = 128 + signal.SIGINT
BROKEN_PIPE = 128 + 13  # SIGPIPE, which not every system has


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (None: that of the process) and return the exit code."""
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
        sys.stdout.flush()  # so that a closed pipe is noticed here
        return code
    except SystemExit as stop:  # argparse, after --help, --version or a usage error
        return stop.code if isinstance(stop.code, int) else 0
    except Stopped as stop:
        print_error(str(stop))
        return 128 + stop.signal
    except KeyboardInterrupt:
        print_error("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has seen enough
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
    """Return the Ctrl-C or other signal that came first, if one did.

    Where it meets a library between a `try` and its `finally`, that may fail and hide it: tqdm
    releases a lock that it has not made yet.
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
        sys.stdout.reconfigure(errors="backslashreplace")  # a λ must not fail on any terminal
    code = main()
    flush_standard_streams()
    if workers_left():  # stopped early: sys.exit would wait until their pictures are done
        os._exit(code)
    sys.exit(code)
