"""Usage in, money out, through the real daemon: exact to the microcent, from Python and from the command line."""

import json

import grpc
import pytest

import meterd as client_package
from meterd import AsyncClient, Client, RateCard
from meterd.v1 import metering_pb2
from meterd.v1.metering_pb2_grpc import MeteringServiceStub
from meterd_server.rate_files import SEED
from pricing.shorthand import DATA, picocents_of, rates

from .process import meterd

MISTRAL = ("--service", "mistral", "--model", "mistral-large-latest")
WORKED_EXAMPLES = [
    ("mistral", "mistral-large-latest", {"input_tokens": 1_000, "output_tokens": 500}, 500_000),
    ("aws-polly", "standard", {"characters": len("Hello")}, 2_000),
    ("aws-textract", "detect-text", {"pages": 3}, 450_000),
]


def cards_of_rates():
    """The rows of rates.csv as cards, one for each service and model."""
    prices = {}
    for row in rates():
        prices.setdefault((row["service"], row["model"]), {})[row["meter"]] = picocents_of(row)
    return [RateCard(service, model, meters, source="rates.csv") for (service, model), meters in prices.items()]


@pytest.fixture(scope="module")
def daemon(daemon):
    """Put every row of rates.csv as a card; the seeds are among them."""
    with Client(daemon.address) as client:
        cards = cards_of_rates()
        assert len(cards) == client.put_rate_cards(cards).added_count
    return daemon


@pytest.mark.parametrize(("service", "model", "quantities", "microcents"), WORKED_EXAMPLES)
def test_the_worked_examples(client, service, model, quantities, microcents):
    """A chat, a spoken word and three pages cost what they cost, checked, quoted and charged."""
    user = f"worked-{service}"
    client.record_funding(user, microcents)
    used = {"model": model, "quantities": quantities}
    assert client.check_usage(user, service, **used)
    assert microcents == client.quote(user, service, **used).cost_microcents
    recorded = client.record_usage(user, service, reject_overdraft=True, **used)
    assert (-microcents, 0) == (recorded.entry.amount_microcents, recorded.balance.balance_microcents)
    assert quantities == recorded.entry.usage.quantities
    assert client_package.RateCardKey(service, model, 1) == recorded.entry.rate_card
    assert not client.check_usage(user, service, **used)


@pytest.mark.parametrize("row", rates(), ids=lambda row: f"{row['model']} {row['meter']}")
def test_every_rate_is_exact(daemon, row):
    """A thousand uses of one unit cost exactly a thousand times its price; what is below a microcent is owed."""
    batch = metering_pb2.BatchRequest()
    for _ in range(1_000):
        cost = batch.operations.add().record_cost
        cost.user_id = f"rate-{row['model']}-{row['meter']}"
        cost.usage.service, cost.usage.model = row["service"], row["model"]
        cost.usage.quantities[row["meter"]] = 1
    with grpc.insecure_channel(daemon.address) as channel:
        answers = [result.record_cost for result in MeteringServiceStub(channel).Batch(batch).results]
    charged, residue = divmod(1_000 * picocents_of(row), 10**6)
    assert charged == -sum(answer.entry.amount_microcents for answer in answers)
    assert (charged, residue) == (answers[-1].balance.spent_microcents, answers[-1].balance.residue_picocents)


async def test_a_chat_that_is_capped(daemon):
    """What a quote says is affordable can be spent, to the last token, and not one more."""
    async with AsyncClient(daemon.address) as client:
        await client.record_funding("capped", 1_000_000)
        asked = {"model": "mistral-large-latest", "input_tokens": 1_200}
        quote = await client.quote("capped", "mistral", affordable="output_tokens", **asked)
        assert (240_000, 1_266) == (quote.cost_microcents, quote.affordable_units)
        with pytest.raises(client_package.InsufficientFundsError):
            await client.record_usage("capped", "mistral", reject_overdraft=True, output_tokens=1_267, **asked)
        await client.record_usage("capped", "mistral", reject_overdraft=True, output_tokens=1_266, **asked)


async def test_rate_cards_from_asyncio(daemon):
    """The asyncio client puts and lists cards, too, page by page."""
    async with AsyncClient(daemon.address) as client:
        cards = [RateCard("aio", f"model-{number}", {"calls": number}) for number in range(5)]
        put = await client.put_rate_cards(cards)
        assert put.rate_cards == tuple([card async for card in client.list_rate_cards("aio", page_size=2)])
        assert (5, 0) == (put.added_count, (await client.put_rate_cards(cards, validate_only=True)).added_count)
        with pytest.raises(client_package.RateCardConflictError):
            await client.put_rate_cards([RateCard("aio", "model-1", {"calls": 7})])


def test_an_unknown_rate_names_what_has_no_price(client):
    """The error says service, model and meter, and nothing is charged."""
    with pytest.raises(client_package.UnknownRateError) as caught:
        client.record_usage("unknown", "mistral", model="mistral-large-latest", pages=1)
    error = caught.value
    assert ("mistral", "mistral-large-latest", "pages") == (error.service, error.model, error.meter)
    assert 0 == client.get_balance("unknown").version


def test_usage_is_there_after_a_restart(run_daemon):
    """Cards, usage and what is owed below a microcent survive a kill between any two calls."""
    daemon = run_daemon(options=["--prices", str(SEED)])
    with Client(daemon.address) as client:
        client.put_rate_cards([RateCard("network", prices_picocents={"bytes": 5_000})])
        entries = [client.record_usage("ada", "network", bytes=150).entry]
    for _ in range(2):
        daemon.end()
        daemon.start()
        with Client(daemon.address) as client:
            recorded = client.record_usage("ada", "network", bytes=150)
            entries.append(recorded.entry)
            assert entries == list(client.list_entries("ada", oldest_first=True))
    assert [0, -1, -1] == [entry.amount_microcents for entry in entries]
    assert 250_000 == recorded.balance.residue_picocents


def test_the_commands(run_daemon, tmp_path):
    """prices, quote, check and charge work against a running daemon, and print JSON that adds up."""
    daemon = run_daemon()

    def run(*arguments, code=0):
        result = meterd(daemon.folder, *arguments, "--address", daemon.address, "--json")
        assert (code, "") == (result.returncode, result.stderr)
        return [json.loads(line) for line in result.stdout.splitlines()]

    assert "3" == run("prices", "load", SEED)[0]["added_count"]
    assert "0" == run("prices", "check", SEED)[0]["added_count"]
    assert ["aws-polly", "aws-textract", "mistral"] == [card["service"] for card in run("prices", "list")]
    assert {"pages": "150000000000"} == run("prices", "show", "aws-textract", "detect-text")[0]["prices_picocents"]
    run("fund", "cli", "0.01usd")
    used = ("--usage", "input_tokens=1_000", "--usage", "output_tokens=500")
    assert (
        "500000"
        == run("quote", "cli", "mistral", *MISTRAL[2:], "input_tokens=1_000", "output_tokens=500")[0]["cost_microcents"]
    )
    assert run("check", "cli", *MISTRAL, *used)[0]["allowed"]
    (charged,) = run("charge", "cli", *MISTRAL, *used)
    assert ("-500000", "500000") == (charged["entry"]["amount_microcents"], charged["balance"]["balance_microcents"])
    assert not run("check", "cli", *MISTRAL, "--usage", "output_tokens=834", code=1)[0]["allowed"]


def test_an_import_is_loaded(run_daemon, tmp_path):
    """Other people's prices become a file, and the file prices usage."""
    daemon = run_daemon()
    output = tmp_path / "prices.toml"
    assert (
        0 == meterd(daemon.folder, "prices", "import", "litellm", DATA / "litellm.json", "--output", output).returncode
    )
    loaded = meterd(daemon.folder, "prices", "load", output, "--address", daemon.address)
    assert (0, f"loaded 4 cards from {output}, 4 of them new\n") == (loaded.returncode, loaded.stdout)
    with Client(daemon.address) as client:
        openai = list(client.list_rate_cards("openai"))
        assert openai
        price = openai[0].prices_picocents["input_tokens"]
        quote = client.quote("", "openai", model=openai[0].model, input_tokens=10**6)
        assert price == quote.cost_microcents
