"""User ids and request ids: every text that the contract allows is kept apart and given back as it came."""

from uuid import UUID

import pytest

from rules.commands import cost
from store.model import entries_of

UUID_TEXT = "0190b6c2-7a3e-7d5c-9f10-2b4a6c8e0f12"
REQUEST_IDS = [
    UUID_TEXT,
    UUID_TEXT.upper(),
    UUID_TEXT.replace("-", ""),
    "{" + UUID_TEXT + "}",
    *(UUID_TEXT.replace(letters, letters.upper()) for letters in ("b6c", "a3e", "d5c", "f10", "e0f")),
    UUID_TEXT[:-1] + "g",
    UUID_TEXT + " ",
    "00000000-0000-0000-0000-000000000000",
    "0190b6c27-a3e-7d5c-9f10-2b4a6c8e0f12",
    "0" * 16,
    "0",
    "00",
    "0.0",
    "1e3",
    "1000",
    "x",
    "X",
    "x ",
    " x",
    "~" * 64,
    "~" * 63 + "}",
    """it's "quoted" %s ? :1 \\""",
    "NULL",
]
USER_IDS = [
    "alice",
    "Alice",
    "alice ",
    "\N{CYRILLIC SMALL LETTER A}lice",
    "é",
    "e\N{COMBINING ACUTE ACCENT}",
    "é" * 64,
    "\N{GRINNING FACE}" * 32,
    "\N{GRINNING FACE}" * 31 + "é" * 2,
    "1",
    "01",
    "1.0",
    "'; DROP TABLE entry; --",
    '["alice"]',
    "%",
    "_",
]


@pytest.mark.parametrize("batches", [1, len(REQUEST_IDS)], ids=["one batch", "a batch each"])
async def test_request_ids_are_kept_as_they_came(store, batches):
    """No two request ids are taken for one, not even a UUID and the same in capitals, and each comes back as it was."""
    commands = [cost("alice", number, request_id) for number, request_id in enumerate(REQUEST_IDS)]
    size = len(commands) // batches
    for start in range(0, len(commands), size):
        outcomes = await store.commit(commands[start : start + size], 1)
        assert not any(outcome.replayed for outcome in outcomes)
    assert REQUEST_IDS == [entry.request_id for entry in await entries_of(store, "alice")]
    again = await store.commit(commands[::-1], 2)
    assert [(text, True) for text in REQUEST_IDS[::-1]] == [(one.entry.request_id, one.replayed) for one in again]


async def test_a_request_id_is_not_its_bytes(store):
    """A text of 16 characters is another id than the UUID of the same 16 bytes."""
    text = "sixteen letters!"
    first, second = await store.commit([cost("alice", 1, text), cost("alice", 1, str(UUID(bytes=text.encode())))], 1)
    assert (1, 2) == (first.entry.version, second.entry.version)


@pytest.mark.parametrize("batches", [1, len(USER_IDS)], ids=["one batch", "a batch each"])
async def test_user_ids_are_kept_apart(store, batches):
    """No two user ids are taken for one: not by case, spaces, accents, or what a database would make of them."""
    assert 128 == max(len(user_id.encode()) for user_id in USER_IDS)
    commands = [cost(user_id, number + 1, "r") for number, user_id in enumerate(USER_IDS)]
    size = len(commands) // batches
    for start in range(0, len(commands), size):
        await store.commit(commands[start : start + size], 1)
    for number, user_id in enumerate(USER_IDS):
        assert [(user_id, 1, -number - 1)] == [entry[:2] + entry[3:4] for entry in await entries_of(store, user_id)]
        account = await store.account(user_id)
        assert (user_id, -number - 1) == (account.user_id, account.balance_microcents)


async def test_names_survive_reopening(durable, open_store):
    """All of this holds for what was read from the disk."""
    first = await open_store()
    commands = [cost(user_id, 1, request_id) for user_id in USER_IDS for request_id in REQUEST_IDS]
    await first.commit(commands, 1)
    await first.close()
    second = await open_store()
    assert all(outcome.replayed for outcome in await second.commit(commands, 2))
    for user_id in USER_IDS:
        assert REQUEST_IDS == [entry.request_id for entry in await entries_of(second, user_id)]
