"""What happens in the demo: users who pay and spend at the same time, one who runs out, one call that is sent twice."""

import asyncio
from dataclasses import dataclass, field
from itertools import count

import meterd
from meterd_server.cli.demo.daemon import DemoError
from meterd_server.cli.demo.services import CHAT, SCAN, SPEECH, Service

TEXT = (
    "Alice was beginning to get very tired of sitting by her sister on the bank, and of having nothing to do: once "
    "or twice she had peeped into the book her sister was reading, but it had no pictures or conversations in it, "
    "“and what is the use of a book,” thought Alice “without pictures or conversations?” So she was considering in "
    "her own mind (as well as she could, for the hot day made her feel very sleepy and stupid), whether the "
    "pleasure of making a daisy-chain would be worth the trouble of getting up and picking the daisies, when "
    "suddenly a White Rabbit with pink eyes ran close by her."
)
"""Read aloud by the speech service: the beginning of Lewis Carroll's book of 1865, in the public domain."""

DOLLAR_MICROCENTS = 100_000_000
_ANSWER_TOKENS_MAX = 1_024
_CHATS_AT_ONCE = 20
_SLICE_MICROCENTS = 50_000
_OUTPUT_TOKEN_MICROCENTS = 600


@dataclass
class Story:
    """What the demo saw happen, for its report."""

    users: tuple[str, ...]
    denied: meterd.CheckResult | None = None
    refused: meterd.InsufficientFundsError | None = None
    denied_user: str = ""
    denied_pages: int = 0
    affordable_pages: int = 0
    sent_twice: list[meterd.Recorded] = field(default_factory=list)
    reserved: meterd.Recorded | None = None
    captured: meterd.Recorded | None = None
    metered: meterd.Reservation | None = None


async def play(client: meterd.AsyncClient) -> Story:
    """Fund three users and let them use three services, all at once; return what was seen.

    Raises DemoError when a promise is broken, meterd.Error when a call fails that must not.
    """
    story = Story(await _new_users(client, "ada", "grace", "linus"))
    ada, grace, linus = story.users
    await asyncio.gather(_busy(client, story, ada), _tops_up(client, story, grace), _runs_out(client, story, linus))
    return story


async def _busy(client: meterd.AsyncClient, story: Story, user: str) -> None:
    """Pay $1, use everything at once; the answer to one call is lost, and the caller sends it again."""
    await client.record_funding(user, DOLLAR_MICROCENTS)
    chats = (_chat(client, user, 400 + 61 * n, 90 + 37 * n) for n in range(_CHATS_AT_ONCE))
    await asyncio.gather(*chats, _speech(client, user), _scan(client, user, 40))
    await _holds(client, story, user)
    request_id = meterd.new_request_id()
    story.sent_twice = [await _scan(client, user, 3, request_id) for _ in range(2)]
    first, second = story.sent_twice
    if first.replayed or not second.replayed or first.entry != second.entry:
        raise DemoError(f"a call that was sent twice was answered {first} and then {second}")


async def _tops_up(client: meterd.AsyncClient, story: Story, user: str) -> None:
    """Pay 25 cents; the payment system then says that the total went from 25 to 75 cents."""
    old, new = DOLLAR_MICROCENTS // 4, DOLLAR_MICROCENTS * 3 // 4
    await client.record_funding(user, old)
    chats = (_chat(client, user, 1_000 + 203 * n, 311 * (n + 1)) for n in range(3))
    await asyncio.gather(*chats, *(_speech(client, user) for _ in range(2)))
    await client.update_funding(user, old_amount_microcents=old, new_amount_microcents=new)
    await _scan(client, user, 120)


async def _runs_out(client: meterd.AsyncClient, story: Story, user: str) -> None:
    """Pay 2 cents, spend some of it, ask for more than is left, and then for all that still can be afforded."""
    await client.record_funding(user, DOLLAR_MICROCENTS // 50)
    await _chat(client, user, 1_204, 386)
    await _speech(client, user)
    story.denied_user, story.denied_pages = user, 12
    story.denied = await client.check_usage(user, SCAN.name, model=SCAN.model, pages=story.denied_pages)
    quote = await client.quote(user, SCAN.name, model=SCAN.model, pages=0, affordable="pages")
    story.affordable_pages = quote.affordable_units or 0
    try:
        await _scan(client, user, story.denied_pages)
    except meterd.InsufficientFundsError as error:
        story.refused = error
    if story.denied.allowed or story.refused is None:
        raise DemoError(f"{user} may spend more than there is: {story.denied}")
    await _scan(client, user, story.affordable_pages)
    if await client.check_usage(user, SCAN.name, model=SCAN.model, pages=1):
        raise DemoError(f"{user} can afford another page after the {story.affordable_pages} that were said to be all")
    await _streams(client, story, user)


async def _holds(client: meterd.AsyncClient, story: Story, user: str) -> None:
    """Hold the most that a chat can cost, then pay for what it did use: nobody else could spend that money meanwhile."""
    most = {"input_tokens": 620, "output_tokens": _ANSWER_TOKENS_MAX}
    async with client.reserve_usage(user, CHAT.name, model=CHAT.model, quantities=most) as hold:
        story.reserved = hold.recorded
        story.captured = await hold.capture_usage(input_tokens=620, output_tokens=213)


async def _streams(client: meterd.AsyncClient, story: Story, user: str) -> None:
    """Stream an answer, a few tokens at a time, until the last of the money is used up."""
    async with client.meter(user, slice_microcents=_SLICE_MICROCENTS, service=CHAT.name) as session:
        async for granted_microcents in session:
            if not (tokens := granted_microcents // _OUTPUT_TOKEN_MICROCENTS):
                break  # what is left is less than a token
            await session.report_usage(model=CHAT.model, output_tokens=tokens)
    story.metered = session.reservation
    if session.balance.balance_microcents < 0:
        raise DemoError(f"{user} was metered beyond the last microcent: {session.balance}")


async def _chat(client: meterd.AsyncClient, user: str, prompt_tokens: int, answer_tokens: int) -> None:
    """Ask before, with the most that it can use; record after, what it did use."""
    most = {"input_tokens": prompt_tokens, "output_tokens": _ANSWER_TOKENS_MAX}
    if await client.check_usage(user, CHAT.name, model=CHAT.model, quantities=most):
        await _record(client, user, CHAT, input_tokens=prompt_tokens, output_tokens=answer_tokens)


async def _speech(client: meterd.AsyncClient, user: str) -> None:
    """Ask, then record at once: what is used is known before."""
    if await client.check_usage(user, SPEECH.name, model=SPEECH.model, characters=len(TEXT)):
        await _record(client, user, SPEECH, characters=len(TEXT))


async def _scan(client: meterd.AsyncClient, user: str, pages: int, request_id: str | None = None) -> meterd.Recorded:
    """Check and deduct in one step: recorded only if it is covered."""
    return await _record(client, user, SCAN, request_id=request_id, reject_overdraft=True, pages=pages)


async def _record(
    client: meterd.AsyncClient,
    user: str,
    service: Service,
    *,
    request_id: str | None = None,
    reject_overdraft: bool = False,
    **meters: int,
) -> meterd.Recorded:
    return await client.record_usage(
        user,
        service.name,
        model=service.model,
        quantities=meters,
        request_id=request_id,
        reject_overdraft=reject_overdraft,
    )


async def _new_users(client: meterd.AsyncClient, *names: str) -> tuple[str, ...]:
    """Return the names, or `ada-2` and so on where a demo has used this ledger before."""
    for number in count(1):
        users = tuple(name if number == 1 else f"{name}-{number}" for name in names)
        if not any([(await client.get_balance(user)).version for user in users]):
            break
    return users
