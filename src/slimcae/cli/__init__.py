"""The command line: runs one command, and turns every failure into one line and an exit code.

Exit codes: 0 fine, 1 failed, 2 wrong usage, 128 + n stopped by signal n (130 for Ctrl-C).
Results go to stdout, everything said about them to stderr.
"""

import contextlib
import io
import os
import signal
import sys
from collections.abc import Sequence

from slimcae.cli.batch import workers_left
from slimcae.cli.failure import describe
from slimcae.cli.parser import parse
from slimcae.cli.talk import print_error, talking

INTERRUPTED = 128 + signal.SIGINT
BROKEN_PIPE = 128 + 13  # SIGPIPE, which not every system has


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (None: that of the process) and return the exit code."""
    try:
        args, run = parse(sys.argv[1:] if argv is None else argv)
        with talking(args):
            code = run(args)
        sys.stdout.flush()  # so that a closed pipe is noticed here
        return code
    except SystemExit as stop:  # argparse, after --help, --version or a usage error
        return stop.code if isinstance(stop.code, int) else 0
    except KeyboardInterrupt:
        print_error("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has seen enough
        return BROKEN_PIPE
    except Exception as error:
        if _was_interrupted(error):
            print_error("interrupted")
            return INTERRUPTED
        print_error(describe(error))
        return 1


def _was_interrupted(error: BaseException | None) -> bool:
    """Tell whether Ctrl-C came first.

    Where it meets a library between a `try` and its `finally`, that may fail and hide it: tqdm
    releases a lock that it has not made yet.
    """
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__context__
    return False


def entry_point() -> None:
    """The command `slimcae`."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a λ must not fail on any terminal
    code = main()
    if code == BROKEN_PIPE:
        # Python flushes once more at exit, and would complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if workers_left():  # stopped early: sys.exit would wait until their pictures are done
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        os._exit(code)
    sys.exit(code)
