"""A command line whose client is a fake: it answers from memory, or raises what a test puts in `error`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

import meterd
from meterd import Hold
from meterd_server.cli import app

USAGE_COST = 420_000
EPOCH = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def balance(user_id="ada", *, funded=0, spent=0, version=0, **more):
    """Return a balance; `more` are fields by their names."""
    left = funded - spent
    amounts = {"held_microcents": 0, "lapsed_microcents": 0, "credit_limit_microcents": 0, "unlimited": False} | more
    return meterd.Balance(
        user_id=user_id,
        balance_microcents=left,
        available_microcents=left,
        funded_microcents=funded,
        spent_microcents=spent,
        version=version,
        **amounts,
    )


def entry(
    version=1,
    amount=-50_000,
    *,
    user_id="ada",
    kind=None,
    after=0,
    request_id="r1",
    service="",
    labels=None,
    usage=None,
    **more,
):
    """Return an entry of the ledger, at a second of its own; `more` are fields by their names."""
    return meterd.Entry(
        user_id=user_id,
        version=version,
        kind=kind or (meterd.EntryKind.FUNDING if amount > 0 else meterd.EntryKind.COST),
        amount_microcents=amount,
        balance_microcents=after,
        request_id=request_id,
        service=service,
        labels=labels or {},
        occur_time=None,
        record_time=EPOCH + timedelta(seconds=version, microseconds=version),
        usage=usage,
        rate_card=meterd.RateCardKey(usage.service, usage.model, 1) if usage else None,
        **more,
    )


def reservation(state="OPEN", *, reservation_id="job-1", amount=5_000, held=5_000, captured=0):
    """Return a reservation that expires at noon and five minutes."""
    return meterd.Reservation(
        reservation_id=reservation_id,
        version=2,
        state=meterd.ReservationState(state),
        amount_microcents=amount,
        held_microcents=held,
        captured_microcents=captured,
        floor_microcents=0,
        on_expiry=meterd.OnExpiry.RELEASE,
        expire_time=EPOCH + timedelta(minutes=5),
        service="",
    )


@dataclass
class FakeClient:
    """Stands in for meterd.Client: keeps what it was asked, answers what the test has set."""

    balance: meterd.Balance = field(default_factory=lambda: balance(funded=500_000, version=1))
    rows: list[meterd.Entry] = field(default_factory=list)
    cards: list[meterd.RateCard] = field(default_factory=list)
    grants: tuple[meterd.Grant, ...] = ()
    unusual: dict[str, bool] = field(default_factory=dict)
    replayed: bool = False
    error: BaseException | None = None
    calls: list[tuple] = field(default_factory=list)
    address: str = ""
    timeout_seconds: float = 0.0
    closed: bool = False

    def connect(self, address: str, timeout_seconds: float) -> "FakeClient":
        self.address, self.timeout_seconds = address, timeout_seconds
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closed = True

    def _called(self, *call) -> None:
        self.calls.append(call)
        if self.error is not None:
            raise self.error

    def check(self, user_id, minimum_microcents=None):
        self._called("check", user_id, minimum_microcents)
        minimum = 100 if minimum_microcents is None else minimum_microcents
        left = self.balance.available_microcents
        return meterd.CheckResult(left >= minimum, left, max(0, minimum - left), self.balance)

    def record_cost(self, user_id, cost_microcents, **more):
        self._called("record_cost", user_id, cost_microcents, more)
        row = entry(2, -cost_microcents, request_id=more["request_id"], service=more["service"], labels=more["labels"])
        return meterd.Recorded(row, self.balance, self.replayed)

    def check_usage(self, user_id, service, **more):
        self._called("check_usage", user_id, service, more)
        left = self.balance.available_microcents
        return meterd.CheckResult(left >= USAGE_COST, left, max(0, USAGE_COST - left), self.balance)

    def record_usage(self, user_id, service, *, model, quantities, **more):
        self._called("record_usage", user_id, service, model, quantities, more)
        used = meterd.Usage(service, model, quantities)
        row = entry(2, -USAGE_COST, request_id=more["request_id"], service=service, labels=more["labels"], usage=used)
        return meterd.Recorded(row, self.balance, self.replayed)

    def quote(self, user_id, service, *, model, quantities, affordable):
        self._called("quote", user_id, service, model, quantities, affordable)
        left = self.balance.available_microcents
        key = meterd.RateCardKey(service, model, 1)
        missing = max(0, USAGE_COST - left)
        return meterd.Quote(USAGE_COST, missing == 0, left, missing, 7 if affordable else None, key)

    def put_rate_cards(self, cards, *, validate_only=False):
        cards = list(cards)
        self._called("put_rate_cards", cards, validate_only)
        return meterd.RateCardsPut(tuple(cards), 1)

    def list_rate_cards(self, service=""):
        self._called("list_rate_cards", service)
        yield from (card for card in self.cards if service in ("", card.service))

    def record_funding(self, user_id, amount_microcents, **more):
        self._called("record_funding", user_id, amount_microcents, more)
        return meterd.Recorded(entry(2, amount_microcents, request_id=more["request_id"]), self.balance, self.replayed)

    def update_funding(self, user_id, *, old_amount_microcents, new_amount_microcents, **more):
        self._called("update_funding", user_id, old_amount_microcents, new_amount_microcents, more)
        row = entry(2, new_amount_microcents - old_amount_microcents, request_id=more["request_id"])
        return meterd.Recorded(row, self.balance, self.replayed)

    def reserve(self, user_id, amount_microcents, **more):
        self._called("reserve", user_id, amount_microcents, more)
        return self._held(user_id, amount_microcents, more)

    def reserve_usage(self, user_id, service, *, model, quantities, **more):
        self._called("reserve_usage", user_id, service, model, quantities, more)
        return self._held(user_id, USAGE_COST, more)

    def _held(self, user_id, amount, more):
        about = reservation(reservation_id=more["request_id"], amount=amount, held=amount)
        kind = meterd.EntryKind.RESERVATION
        row = entry(2, 0, kind=kind, request_id=more["request_id"], held_microcents=amount, reservation=about)
        return Hold(None, None, user_id, meterd.Recorded(row, self.balance, self.replayed))

    def capture(self, user_id, reservation_id, cost_microcents, **more):
        self._called("capture", user_id, reservation_id, cost_microcents, more)
        return self._captured(reservation_id, cost_microcents, more)

    def capture_usage(self, user_id, reservation_id, service, *, model, quantities, **more):
        self._called("capture_usage", user_id, reservation_id, service, model, quantities, more)
        return self._captured(reservation_id, USAGE_COST, more)

    def _captured(self, reservation_id, cost, more):
        about = reservation("CAPTURED" if more["final"] else "OPEN", reservation_id=reservation_id)
        kind = meterd.EntryKind.CAPTURE
        row = entry(3, -cost, kind=kind, request_id=more["request_id"], reservation=about, **self.unusual)
        return meterd.Recorded(row, self.balance, self.replayed)

    def release(self, user_id, reservation_id, **more):
        self._called("release", user_id, reservation_id, more)
        about = reservation("RELEASED", reservation_id=reservation_id, held=0)
        row = entry(3, 0, kind=meterd.EntryKind.RELEASE, held_microcents=-5_000, reservation=about)
        return meterd.Recorded(row, self.balance, self.replayed)

    def extend(self, user_id, reservation_id, **more):
        self._called("extend", user_id, reservation_id, more)
        about = reservation(reservation_id=reservation_id)
        row = entry(3, 0, kind=meterd.EntryKind.EXTENSION, reservation=about)
        return meterd.Recorded(row, self.balance, self.replayed)

    def set_account_policy(self, user_id, **more):
        self._called("set_account_policy", user_id, more)
        row = entry(3, 0, kind=meterd.EntryKind.POLICY, request_id=more["request_id"])
        return meterd.Recorded(row, self.balance, self.replayed)

    def reverse_entry(self, user_id, version, amount_microcents=None, **more):
        self._called("reverse_entry", user_id, version, amount_microcents, more)
        amount = 50_000 if amount_microcents is None else amount_microcents
        row = entry(
            3,
            amount,
            kind=meterd.EntryKind.REVERSAL,
            request_id=more["request_id"],
            reversed_version=version,
            reversed_microcents=amount + 1,
        )
        return meterd.Recorded(row, self.balance, self.replayed)

    def get_account(self, user_id):
        self._called("get_account", user_id)
        return meterd.Account(self.balance, self.grants)

    def get_balance(self, user_id):
        self._called("get_balance", user_id)
        return self.balance

    def list_entries(self, user_id, *, oldest_first=False, page_size=100) -> Iterator[meterd.Entry]:
        self._called("list_entries", user_id, oldest_first, page_size)
        yield from self.rows if oldest_first else reversed(self.rows)


@pytest.fixture
def client() -> FakeClient:
    """Return the fake that the command line talks to."""
    return FakeClient()


@pytest.fixture
def run(client, monkeypatch) -> Callable:
    """Run `meterd` with arguments; its result has exit_code, stdout and stderr."""
    monkeypatch.delenv("METERD_ADDRESS", raising=False)
    return lambda *arguments: CliRunner().invoke(app, [str(each) for each in arguments], obj=client.connect)
