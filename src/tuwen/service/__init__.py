"""The HTTP door: one bundle alone, or a whole shop. Needs the extra 'serve'.

Names are loaded on first use, so that importing this package costs nothing and a missing extra is said plainly.
"""

from importlib import import_module
from typing import Any

from tuwen.errors import MissingExtra

_PLACES = {
    "app": "tuwen.service.application",
    "Limits": "tuwen.service.limits",
    "Predictor": "tuwen.service.predictor",
    "Listening": "tuwen.service.listening",
    "serve_home": "tuwen.service.listening",
    "check_host": "tuwen.service.listening",
    "serve": "tuwen.service.listening",
}
_EXTRA = {"fastapi", "starlette", "uvicorn", "multipart", "python_multipart", "anyio", "alembic", "prometheus_client"}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"tuwen.service has no '{name}'")
    try:
        return getattr(import_module(_PLACES[name]), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in _EXTRA:
            raise MissingExtra("serve", "serving a bundle") from None
        raise
