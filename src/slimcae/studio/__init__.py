"""The studio: a local page to explore the codec, and an HTTP interface for programs.

page → HTTP (guard → routes) → workshop (bounded threads) → photo → codec. Requests do not use the
disk: uploads and results are kept in memory, within fixed limits.

FastAPI generates the OpenAPI document and the checks of parameters from the same declarations.
"""

from slimcae.studio.app import create_app
from slimcae.studio.limits import Limits

__all__ = ["Limits", "create_app"]
