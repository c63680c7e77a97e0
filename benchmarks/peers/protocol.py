"""Requests and answers between processes as lines of JSON, with the standard library only.

Both environments import this module. A worker answers one request at a time and then waits, so only
one worker computes at a time.
"""

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Answer = dict[str, Any]


def serve(handlers: Mapping[str, Callable[..., Answer]]) -> None:
    """Answer requests on standard input until it ends; output of libraries goes to stderr."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer: Answer = {"answer": handlers[request["do"]](**request["with"])}
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)


class Worker:
    """A worker process."""

    def __init__(self, python: str | Path, script: Path, threads: int) -> None:
        self._process = subprocess.Popen(
            [str(python), str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)},
        )

    def ask(self, do: str, **arguments: Any) -> Answer:
        """Send a request, and return the answer of the worker.

        Raises:
            RuntimeError: The worker failed or ended; the message is its traceback.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, "with": arguments}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker ended while it was asked to {do}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{do}: {answer['error']}")
        found: Answer = answer["answer"]
        return found

    def close(self) -> None:
        """Stop the worker."""
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
        self._process.wait(30)
