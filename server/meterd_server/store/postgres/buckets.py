"""Which bucket a user is in: the same for every daemon, every Python and every year. It is part of what is stored."""

from zlib import crc32

BUCKETS = 1024
"""How many buckets there are; never to be changed, for rows are stored under their bucket."""


def bucket_of(user_id: str) -> int:
    """CRC-32 of the user id's UTF-8 bytes, modulo BUCKETS: 0 to 1023."""
    return crc32(user_id.encode()) % BUCKETS
