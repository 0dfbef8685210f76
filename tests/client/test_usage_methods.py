"""The methods for usage and rate cards: what is sent, and what comes back."""

import copy
import pickle
from datetime import UTC, datetime

import meterd
from meterd.v1 import account_pb2, metering_pb2, pricing_pb2

from .test_methods import BALANCE, BALANCE_VALUE

USAGE = account_pb2.Usage(
    service="mistral", model="mistral-large-latest", quantities={"input_tokens": 1_200, "output_tokens": 300}
)
KEY = account_pb2.RateCardKey(service="mistral", model="mistral-*", version=2)
CARD = meterd.RateCard(
    service="mistral",
    model="mistral-*",
    prices_picocents={"input_tokens": 200_000_000, "output_tokens": 600_000_000},
    effective_time=datetime(2026, 11, 3, 4, 5, 6, 123457, tzinfo=UTC),
    version=2,
    source="the vendor",
    per_call_picocents=3,
    minimum_picocents=4,
    tiers=(meterd.RateTier(200_000, ("input_tokens",), {"input_tokens": 400_000_000}),),
)


def test_usage_reads_as_it_is_said(client, daemon):
    """Meters are keyword arguments, and every other argument reaches its field."""
    moment = datetime(2026, 11, 3, tzinfo=UTC)
    options = {"labels": {"k": "v"}, "request_id": "r-1", "reject_overdraft": True, "occur_time": moment}
    client.record_usage(
        "alice", "mistral", model="mistral-large-latest", input_tokens=1_200, output_tokens=300, **options
    )
    expected = metering_pb2.RecordCostRequest(
        user_id="alice",
        request_id="r-1",
        usage=USAGE,
        labels={"k": "v"},
        overdraft_policy=metering_pb2.OVERDRAFT_POLICY_REJECT,
    )
    expected.occur_time.FromDatetime(moment)
    assert [expected] == daemon.requests


def test_quantities_go_together_with_meters(client, daemon):
    """What an adapter returns may be given as it is, with more meters beside it."""
    response = {"prompt_tokens": 1_200, "completion_tokens": 300}
    client.record_usage(
        "alice", "mistral", model="mistral-large-latest", quantities=meterd.usage.from_openai(response), searches=2
    )
    expected = {"input_tokens": 1_200, "output_tokens": 300, "searches": 2}
    assert expected == dict(daemon.requests[0].usage.quantities)


def test_a_meter_may_have_the_name_of_an_option(client, daemon):
    """In `quantities` any name is a meter."""
    client.record_usage("alice", "chat", quantities={"labels": 3})
    assert {"labels": 3} == dict(daemon.requests[0].usage.quantities)


def test_a_retried_usage_has_the_same_request_id(connect, daemon):
    """Every attempt sends the same request."""
    daemon.script.append(daemon.failure(meterd.UnavailableError.code, "STORE_UNAVAILABLE"))
    connect().record_usage("alice", "chat", calls=1)
    first, second = daemon.requests
    assert first == second
    assert first.request_id


def test_recorded_usage(client, daemon):
    """The entry says what was used, and by which card it was charged."""
    entry = account_pb2.Entry(usage=USAGE, rate_card=KEY)
    daemon.script.append(metering_pb2.RecordCostResponse(entry=entry, balance=BALANCE))
    recorded = client.record_usage("alice", "mistral", calls=1)
    expected = meterd.Usage("mistral", "mistral-large-latest", {"input_tokens": 1_200, "output_tokens": 300})
    assert (expected, meterd.RateCardKey("mistral", "mistral-*", 2)) == (recorded.entry.usage, recorded.entry.rate_card)
    assert BALANCE_VALUE == recorded.balance
    assert (None, None) == (client.record_cost("alice", 1).entry.usage, client.record_cost("alice", 1).entry.rate_card)


def test_check_usage(client, daemon):
    """A check of usage sends no minimum."""
    daemon.script.append(metering_pb2.CheckResponse(allowed=True))
    assert client.check_usage(
        "alice", "mistral", model="mistral-large-latest", quantities={"input_tokens": 1_200}, output_tokens=300
    )
    assert [metering_pb2.CheckRequest(user_id="alice", usage=USAGE)] == daemon.requests


def test_quote(client, daemon):
    """A quote is true when it is allowed, and says how many units more can be afforded when it was asked."""
    answer = pricing_pb2.QuoteResponse(
        cost_microcents=420_000, allowed=True, available_microcents=500_000, affordable_units=0, rate_card=KEY
    )
    daemon.script.append(answer)
    more = {"model": "mistral-large-latest", "input_tokens": 1_200, "output_tokens": 300}
    quote = client.quote("alice", "mistral", affordable="output_tokens", **more)
    assert quote
    assert meterd.Quote(420_000, True, 500_000, 0, 0, meterd.RateCardKey("mistral", "mistral-*", 2)) == quote
    assert [pricing_pb2.QuoteRequest(user_id="alice", usage=USAGE, meter="output_tokens")] == daemon.requests
    denied = client.quote("", "mistral", calls=1)
    assert not denied
    assert denied.affordable_units is None


def test_cards_go_out_and_come_back_as_they_are(client, daemon):
    """Every field of a card is sent, and read again."""
    tier = pricing_pb2.RateTier(
        over_units=200_000, meters=["input_tokens"], prices_picocents={"input_tokens": 400_000_000}
    )
    message = pricing_pb2.RateCard(
        service="mistral",
        model="mistral-*",
        prices_picocents={"input_tokens": 200_000_000, "output_tokens": 600_000_000},
        version=2,
        source="the vendor",
        per_call_picocents=3,
        minimum_picocents=4,
        tiers=[tier],
    )
    message.effective_time.FromDatetime(CARD.effective_time)
    daemon.script.append(pricing_pb2.PutRateCardResponse(rate_cards=[message], added_count=1))
    assert meterd.RateCardsPut((CARD,), 1) == client.put_rate_cards([CARD])
    assert [pricing_pb2.PutRateCardRequest(rate_cards=[message])] == daemon.requests


def test_a_dry_run_says_so(client, daemon):
    """validate_only reaches the daemon, and a card without a date is valid since ever."""
    (card,) = client.put_rate_cards(
        [meterd.RateCard("scan", prices_picocents={"pages": 5})], validate_only=True
    ).rate_cards
    assert daemon.requests[0].validate_only
    assert datetime(1970, 1, 1, tzinfo=UTC) == card.effective_time


def test_list_rate_cards_iterates_over_all_pages(client, daemon):
    """Pages are fetched by their token until there is none."""
    daemon.script.extend(
        [
            pricing_pb2.ListRateCardsResponse(rate_cards=[{"service": "a"}], next_page_token="t"),
            pricing_pb2.ListRateCardsResponse(rate_cards=[{"service": "b"}, {"service": "c"}]),
        ]
    )
    assert ["a", "b", "c"] == [card.service for card in client.list_rate_cards("s", page_size=2)]
    assert [("s", 2, ""), ("s", 2, "t")] == [
        (each.service, each.page_size, each.page_token) for each in daemon.requests
    ]


def test_cards_and_usage_are_values():
    """They are equal to their copies, hash alike, and do not follow the dict that they were made of."""
    prices = {"pages": 5}
    card = meterd.RateCard("scan", prices_picocents=prices)
    prices["pages"] = 6
    assert {"pages": 5} == card.prices_picocents
    usage = meterd.Usage("scan", "", {"pages": 5})
    for value in (CARD, card, usage):
        assert {value} == {copy.deepcopy(value), pickle.loads(pickle.dumps(value))}
