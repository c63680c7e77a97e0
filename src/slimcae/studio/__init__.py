"""The studio: a local page to see what the codec does, and the same server for programs.

page → HTTP (guard → routes) → workshop (bounded threads) → photo → codec. Nothing is read from or
written to disk for a request: uploads and results live in memory, within fixed limits.

FastAPI, because the OpenAPI document and the checks of parameters then come from the same
declarations and cannot drift apart.
"""

from slimcae.studio.app import create_app
from slimcae.studio.limits import Limits

__all__ = ["Limits", "create_app"]
