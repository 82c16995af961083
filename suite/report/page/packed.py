"""Parts of the page as compressed text, and the promise of what a browser may run of them."""

import base64
import functools
import gzip
import hashlib
import json
from collections.abc import Iterable
from typing import Any

from markupsafe import Markup

SAFE_IN_SCRIPT = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)


def in_script(value: Any) -> Markup:
    """Return plain data as JSON that cannot end the script element it stands in."""
    return Markup(_json(value).translate(SAFE_IN_SCRIPT))


def packed(value: Any) -> str:
    """Return plain data as compressed JSON in base64."""
    return packed_text(_json(value))


@functools.lru_cache(maxsize=16)
def packed_text(text: str) -> str:
    """Return text compressed, in base64; the same each time, so that a page that is written twice does not differ."""
    # A foreign record may hold half a surrogate pair, which UTF-8 cannot write.
    return base64.b64encode(gzip.compress(text.encode(errors="replace"), mtime=0)).decode()


def policy(scripts: Iterable[str]) -> str:
    """Return a Content-Security-Policy under which these very scripts run, and nothing is loaded or sent."""
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
