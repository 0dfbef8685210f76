"""What the vendors' usage objects come to: every token under one meter, at one price."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterd.usage import from_anthropic, from_mistral, from_openai


class Unset:
    """As the Mistral SDK's value for what was not sent."""


def objects(value):
    """Return a dict as an SDK has it: objects with attributes."""
    return SimpleNamespace(**{k: objects(v) for k, v in value.items()}) if isinstance(value, dict) else value


OPENAI_CHAT = {
    "prompt_tokens": 2_600,
    "completion_tokens": 300,
    "total_tokens": 2_900,
    "prompt_tokens_details": {
        "cached_tokens": 2_000,
        "cache_write_tokens": 400,
        "audio_tokens": 0,
        "text_tokens": 2_600,
    },
    "completion_tokens_details": {"reasoning_tokens": 128, "audio_tokens": None, "rejected_prediction_tokens": 5},
}
OPENAI_RESPONSE = {
    "input_tokens": 2_600,
    "input_tokens_details": {
        "cached_tokens": 2_000,
        "cache_write_tokens": 400,
        "cache_write_tokens_details": {"ttl_12h_tokens": 100, "ttl_30m_tokens": 300},
    },
    "output_tokens": 300,
    "output_tokens_details": {"reasoning_tokens": 128},
    "total_tokens": 2_900,
}
ANTHROPIC = {
    "input_tokens": 50,
    "output_tokens": 503,
    "cache_creation_input_tokens": 456,
    "cache_read_input_tokens": 1_800,
    "cache_creation": {"ephemeral_5m_input_tokens": 356, "ephemeral_1h_input_tokens": 100},
    "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1},
    "service_tier": "standard",
}
MISTRAL = {
    "prompt_tokens": 1_013,
    "total_tokens": 1_043,
    "completion_tokens": 30,
    "prompt_tokens_details": {"cached_tokens": 1_008},
    "prompt_audio_seconds": None,
}


@pytest.mark.parametrize("form", [dict, objects])
@pytest.mark.parametrize(
    ("read", "usage", "quantities"),
    [
        pytest.param(
            from_openai,
            OPENAI_CHAT,
            {"input_tokens": 200, "cached_input_tokens": 2_000, "cache_write_tokens": 400, "output_tokens": 300},
            id="OpenAI chat completion: the prompt includes what was cached and what was written",
        ),
        pytest.param(
            from_openai,
            OPENAI_RESPONSE,
            {
                "input_tokens": 200,
                "cached_input_tokens": 2_000,
                "cache_write_tokens": 300,
                "cache_write_12h_tokens": 100,
                "output_tokens": 300,
            },
            id="OpenAI response: writes that are kept for 12 hours are their own meter",
        ),
        pytest.param(
            from_openai,
            {
                "prompt_tokens": 100,
                "completion_tokens": 60,
                "prompt_tokens_details": {"audio_tokens": 90},
                "completion_tokens_details": {"audio_tokens": 45},
            },
            {"input_tokens": 10, "input_audio_tokens": 90, "output_tokens": 15, "output_audio_tokens": 45},
            id="OpenAI audio: has prices of its own, both ways",
        ),
        pytest.param(from_openai, {"prompt_tokens": 8, "total_tokens": 8}, {"input_tokens": 8}, id="OpenAI embedding"),
        pytest.param(
            from_anthropic,
            ANTHROPIC,
            {
                "input_tokens": 50,
                "cache_read_tokens": 1_800,
                "cache_write_5m_tokens": 356,
                "cache_write_1h_tokens": 100,
                "output_tokens": 503,
                "web_searches": 2,
            },
            id="Anthropic: the input excludes what was read and written",
        ),
        pytest.param(
            from_anthropic,
            {"input_tokens": 50, "output_tokens": 5, "cache_creation_input_tokens": 7, "cache_read_input_tokens": None},
            {"input_tokens": 50, "cache_write_tokens": 7, "output_tokens": 5},
            id="Anthropic: writes of which is not said how long they are kept",
        ),
        pytest.param(
            from_mistral,
            MISTRAL,
            {"input_tokens": 5, "cached_input_tokens": 1_008, "output_tokens": 30},
            id="Mistral: the prompt includes what was cached",
        ),
        pytest.param(
            from_mistral,
            {"prompt_tokens": 9, "completion_tokens": 3, "num_cached_tokens": 4, "prompt_audio_seconds": Unset()},
            {"input_tokens": 5, "cached_input_tokens": 4, "output_tokens": 3},
            id="Mistral: the other place for it, and what was not sent",
        ),
        pytest.param(
            from_mistral,
            {"prompt_tokens": 4, "completion_tokens": 100, "prompt_audio_seconds": 203},
            {"input_tokens": 4, "seconds": 203, "output_tokens": 100},
            id="Mistral audio: by the second",
        ),
        pytest.param(from_mistral, {"pages_processed": 3, "doc_size_bytes": 9}, {"pages": 3}, id="Mistral OCR"),
    ],
)
def test_each_token_is_counted_once(read, usage, quantities, form):
    """Under the meter that has its price; parts that were not used are left out, so that a card need not price them."""
    assert quantities == read(form(usage))


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_the_parts_are_the_whole(cached, written, audio, rest):
    """For OpenAI and Mistral the quantities of a prompt add up to its tokens."""
    details = {"cached_tokens": cached, "cache_write_tokens": written, "audio_tokens": audio}
    whole = cached + written + audio + rest
    usage = {"prompt_tokens": whole, "prompt_tokens_details": details}
    assert whole == sum(from_openai(usage).values())
    assert whole == sum(from_mistral(usage).values())


@pytest.mark.parametrize("read", [from_openai, from_anthropic, from_mistral])
@pytest.mark.parametrize("usage", [None, {}, [], "usage", {"tokens": 5}, SimpleNamespace(usage=OPENAI_CHAT)])
def test_what_is_not_a_usage_is_refused(read, usage):
    """A stream without usage, or the whole response: nothing is recorded as nothing used."""
    with pytest.raises(TypeError, match="not a usage of this vendor"):
        read(usage)


@pytest.mark.parametrize(
    ("read", "usage", "error", "reason"),
    [
        (from_openai, {"prompt_tokens": 1.5}, TypeError, "prompt_tokens must be an int, not float"),
        (from_openai, {"prompt_tokens": True}, TypeError, "prompt_tokens must be an int, not bool"),
        (from_openai, {"input_tokens": -1}, ValueError, "input_tokens is negative"),
        (
            from_openai,
            {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 6}},
            ValueError,
            "prompt_tokens is 5, less than its parts",
        ),
        (
            from_anthropic,
            ANTHROPIC | {"cache_creation_input_tokens": 455},
            ValueError,
            "cache_creation_input_tokens is 455, less than its parts",
        ),
        (from_mistral, {"prompt_tokens": 5, "num_cached_tokens": 6}, ValueError, "prompt_tokens is 5, less than"),
    ],
)
def test_a_usage_that_cannot_be_is_refused(read, usage, error, reason):
    """Nothing is guessed or cut off where money follows."""
    with pytest.raises(error, match=reason):
        read(usage)
