"""Pages: how large, and tokens that say where a listing goes on, bound to the query that they belong to."""

from __future__ import annotations

import base64
import struct
from hashlib import blake2b

from meterd_server.rpc.status import RequestError, Violation, invalid_argument

PAGE_SIZE_DEFAULT = 100
PAGE_SIZE_MAX = 1000

_LAYOUT = struct.Struct(">8sq")
_BINDING_BYTES = 8


def page_size(asked: int) -> int:
    """How many rows a page has when `asked` were asked for. Raises `RequestError` for a negative number."""
    if asked < 0:
        raise RequestError(invalid_argument([Violation("page_size", "is negative")]))
    return min(asked or PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)


def make_token(user_id: str, order: str, version: int) -> str:
    """The token that continues this user's listing in this order after the entry `version`."""
    return _token(_LAYOUT.pack(_binding(user_id, order, version), version))


def read_token(token: str, user_id: str, order: str) -> int | None:
    """The version that the token continues after; None if it was not made for this user and order."""
    try:
        binding, version = _LAYOUT.unpack(_bytes_of(token))
    except (ValueError, struct.error):
        return None
    return version if version > 0 and binding == _binding(user_id, order, version) else None


def make_user_token(user_id: str) -> str:
    """The token that continues a listing of all users after this one."""
    raw = user_id.encode()
    return _token(_user_binding(raw) + raw)


def read_user_token(token: str) -> str | None:
    """The user that the token continues after; None if it is none of `make_user_token`'s."""
    try:
        raw = _bytes_of(token)
        user_id = raw[_BINDING_BYTES:].decode()
    except ValueError:
        return None
    return user_id if user_id and raw[:_BINDING_BYTES] == _user_binding(user_id.encode()) else None


def _token(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _bytes_of(token: str) -> bytes:
    """What `_token` was made of. Raises ValueError for what is none."""
    return base64.b64decode(token.encode() + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)


def _user_binding(user_id: bytes) -> bytes:
    return blake2b(user_id, digest_size=_BINDING_BYTES, person=b"meterd-users").digest()


def _binding(user_id: str, order: str, version: int) -> bytes:
    return blake2b(ascii((user_id, order, version)).encode(), digest_size=8, person=b"meterd-page").digest()
