"""Page tokens: where a listing goes on, bound to the query that it belongs to."""

from __future__ import annotations

import base64
import struct
from hashlib import blake2b

_LAYOUT = struct.Struct(">8sq")


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
