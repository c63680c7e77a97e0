"""`python -m slimcae` is the command `slimcae`."""

import signal

# until the command runs, Ctrl-C ends the process without a traceback
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from slimcae.cli import entry_point

__all__ = ["entry_point"]

if __name__ == "__main__":
    entry_point()
