"""Which card is for a usage, at which time, and how a book changes."""

import pytest

from meterd_server.model import OPERATION_MICROCENTS_MAX
from meterd_server.pricing import CardError, OutOfRange, RateBook, Rated, Unrated
from pricing.shorthand import HAIKU, MICROCENT, card, tiered

NOW = 1_700_000_000_000_000


def model_of(book, model, at_us=NOW):
    """Return the model or pattern of the card that is found for a model of `chat`; None when none is."""
    found = book.card("chat", model, at_us)
    return None if found is None else found.model


def test_a_usage_is_rated_by_the_card_for_it():
    """The answer is the price and the card, whose service, model and version say for ever by what it was priced."""
    book = RateBook([card(prices=HAIKU, model="haiku")])
    rating = book.rate("chat", "haiku", {"input_tokens": 1_200, "output_tokens": 300}, NOW)
    assert isinstance(rating, Rated)
    assert 270_000 * MICROCENT == rating.picocents
    assert ("chat", "haiku", 1) == (rating.card.service, rating.card.model, rating.card.version)


def test_what_has_no_price_is_named():
    """An unknown service, model or meter, each said as such; nothing is free for want of a price."""
    book = RateBook([card(prices=HAIKU, model="haiku")])
    assert Unrated("speech", "", "") == book.rate("speech", "", {"characters": 1}, NOW)
    assert Unrated("chat", "opus", "") == book.rate("chat", "opus", {"input_tokens": 1}, NOW)
    assert Unrated("chat", "haiku", "pages") == book.rate("chat", "haiku", {"input_tokens": 1, "pages": 1}, NOW)
    assert "no price for meter 'pages' of service 'chat', model 'haiku'" == str(Unrated("chat", "haiku", "pages"))
    assert "no rate card is valid for service 'speech'" == str(Unrated("speech", "", ""))


def test_a_usage_above_the_operation_cap_is_out_of_range():
    """At the cap it is rated, above it the answer says which limit it is; however large, the price is exact."""
    book = RateBook([card()])
    assert isinstance(book.rate("chat", "", {"units": OPERATION_MICROCENTS_MAX}, NOW), Rated)
    over = OutOfRange((OPERATION_MICROCENTS_MAX + 1) * MICROCENT, OPERATION_MICROCENTS_MAX)
    assert over == book.rate("chat", "", {"units": OPERATION_MICROCENTS_MAX + 1}, NOW)
    assert (2**63 - 1) * MICROCENT == book.rate("chat", "", {"units": 2**63 - 1}, NOW).picocents


def test_the_exact_name_wins_then_the_longest_pattern_then_the_service():
    """A card without a model is for all models that no other card is for."""
    book = RateBook(card(model=model) for model in ("", "*", "gpt-*", "gpt-5*", "gpt-5", "*-mini"))
    assert "gpt-5" == model_of(book, "gpt-5")
    assert "gpt-5*" == model_of(book, "gpt-5-nano")
    assert "gpt-*" == model_of(book, "gpt-4o")
    assert "*-mini" == model_of(book, "o4-mini")
    assert "gpt-5*" == model_of(book, "gpt-5-mini")  # as long as *-mini: the one with the longer beginning
    assert "*" == model_of(book, "o3")
    assert "" == model_of(book, "")
    assert "" == model_of(RateBook([card()]), "anything")
    assert None is model_of(RateBook([card(model="gpt-5")]), "")


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("a*", ["a", "ab", "a*b"], ["", "ba"]),
        ("*a", ["a", "ba"], ["ab"]),
        ("a*a", ["aa", "aba"], ["a", "ab"]),
        ("*a*b*", ["ab", "xaxbx", "aabb"], ["ba", "b", "a"]),
        ("a.c*", ["a.c", "a.cd"], ["abc"]),
        ("a*b*a*b", ["abab", "aXbXabb"], ["aba", "abb"]),
    ],
)
def test_a_star_stands_for_any_characters(pattern, matching, others):
    """Or for none; everything else stands for itself, and the whole name has to match."""
    book = RateBook([card(model=pattern)])
    assert [pattern] * len(matching) == [model_of(book, model) for model in matching]
    assert [None] * len(others) == [model_of(book, model) for model in others]


def test_a_version_takes_effect_at_its_date_and_old_usage_keeps_its_price():
    """To the microsecond, and whichever was asked about before; before the first there is no price."""
    book = RateBook([card(effective_from_us=NOW + day, prices={"units": day + 1}) for day in (0, 10, 20)])
    prices = {-1: None, 0: 1, 9: 1, 10: 11, 19: 11, 20: 21, 10**15: 21}
    for moment in (*prices, *reversed(prices)):
        rating = book.rate("chat", "", {"units": 1}, NOW + moment)
        assert prices[moment] == (rating.picocents if isinstance(rating, Rated) else None)


def test_a_better_match_counts_from_its_own_date_on():
    """A card for the exact model that starts next year leaves this year to the pattern, whichever is asked first."""
    book = RateBook(
        [card(), card(model="gpt-*", effective_from_us=NOW), card(model="gpt-5", effective_from_us=NOW + 10)]
    )
    for moments in ([-1, 0, 9, 10], [10, 9, 0, -1]):
        found = {moment: model_of(book, "gpt-5", NOW + moment) for moment in moments}
        assert {-1: "", 0: "gpt-*", 9: "gpt-*", 10: "gpt-5"} == found


def test_versions_are_numbered_by_date():
    """From 1 for each service and model, in whatever order they come."""
    book = RateBook([card(effective_from_us=NOW), card(), card(model="m")])
    assert [("", 1, 0), ("", 2, NOW), ("m", 1, 0)] == [(c.model, c.version, c.effective_from_us) for c in book]
    assert [1, 2] == [c.version for c in book.versions("chat", "")]
    assert () == book.versions("chat", "other")


def test_adding_leaves_the_old_book_as_it_was():
    """Whoever rates by a book while cards are added goes on with the prices that it had."""
    old = RateBook([card()])
    new = old.add(card(effective_from_us=5, prices={"units": 7}), card(service="speech"))
    assert (1, 3) == (len(old), len(new))
    assert MICROCENT == old.rate("chat", "", {"units": 1}, NOW).picocents
    assert 7 == new.rate("chat", "", {"units": 1}, NOW).picocents


def test_the_same_card_again_changes_nothing():
    """So that a file may be loaded at every start, with versions that were added since."""
    book = RateBook([card(), card(effective_from_us=NOW)])
    assert list(book) == list(book.add(card(), card(effective_from_us=NOW))) == list(book.add(*book))
    assert list(book) == list(RateBook(book))


@pytest.mark.parametrize(
    ("added", "cause"),
    [
        pytest.param(card(effective_from_us=NOW, source="new"), "their dates overlap", id="same date"),
        pytest.param(card(effective_from_us=NOW - 1), "has a later version 2", id="between two versions"),
        pytest.param(card(version=2, effective_from_us=NOW + 1), "has a version 2 already", id="edits a version"),
        pytest.param(card(version=2, effective_from_us=NOW, source="new"), "never edited", id="edits a source"),
    ],
)
def test_a_card_that_would_change_what_old_usage_costs_is_refused(added, cause):
    """A card is never edited and nothing slips in between: the cause is said, and no card of the call is taken."""
    book = RateBook([card(), card(effective_from_us=NOW)])
    with pytest.raises(CardError, match=f"the card for 'chat'.*{cause}"):
        book.add(card(service="speech"), added)
    assert 2 == len(book)


def test_rating_remembers_a_bounded_number_of_models():
    """A caller that names ever new models does not fill the memory, and still gets its prices."""
    book = RateBook([card(model="m*")])
    assert {MICROCENT} == {book.rate("chat", f"m{n}", {"units": 1}, NOW).picocents for n in range(5_000)}
    assert len(book._resolved) <= 4_096


def test_tiers_are_rated_like_any_price():
    """A book asks the card, which knows the size of the call."""
    book = RateBook([tiered(10, 2)])
    assert [10 * MICROCENT, 22] == [book.rate("chat", "", {"units": n}, NOW).picocents for n in (10, 11)]
