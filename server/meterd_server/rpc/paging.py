"""Pages: how large, and tokens that say where a listing goes on, bound to the query that they belong to."""

from __future__ import annotations

import base64
import struct
from hashlib import blake2b

from meterd_server.rpc.status import RequestError, Violation, invalid_argument

PAGE_SIZE_DEFAULT = 100
PAGE_SIZE_MAX = 1000

_LAYOUT = struct.Struct(">8sq")


def page_size(asked: int) -> int:
    """How many rows a page has when `asked` were asked for. Raises `RequestError` for a negative number."""
    if asked < 0:
        raise RequestError(invalid_argument([Violation("page_size", "is negative")]))
    return min(asked or PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)


def make_token(user_id: str, order: str, version: int) -> str:
    """The token that continues this user's listing in this order after the entry `version`."""
    return base64.urlsafe_b64encode(_LAYOUT.pack(_binding(user_id, order, version), version)).decode().rstrip("=")


def read_token(token: str, user_id: str, order: str) -> int | None:
    """The version that the token continues after; None if it was not made for this user and order."""
    try:
        raw = base64.b64decode(token.encode() + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
        binding, version = _LAYOUT.unpack(raw)
    except (ValueError, struct.error):
        return None
    return version if version > 0 and binding == _binding(user_id, order, version) else None


def _binding(user_id: str, order: str, version: int) -> bytes:
    return blake2b(ascii((user_id, order, version)).encode(), digest_size=8, person=b"meterd-page").digest()
