"""From the `usage` of a vendor's response to the quantities that `meterd` prices.

```python
response = openai_client.chat.completions.create(model="gpt-4o", messages=messages)
quantities = meterd.usage.from_openai(response.usage)  # {"input_tokens": 1200, "cached_input_tokens": 800, ...}
```

Each function takes the SDK's object, or the same as a dict; no SDK has to be installed. Quantities are disjoint: no token is
counted under two meters. A meter for a part that vendors price by itself (cached, audio, searches) is there only when it is not
0, so that a rate card needs it only when it is used. Reasoning tokens stay in `output_tokens`, as which all three vendors bill
them. Every function raises TypeError for what is not such a usage, and ValueError for one whose parts exceed the whole: nothing is
guessed where money follows.
"""

from collections.abc import Mapping


def from_openai(usage: object) -> dict[str, int]:
    """Return the quantities of an OpenAI chat completion, response (Responses API) or embedding, or of one in their format.

    `prompt_tokens` (`input_tokens` in the Responses API) includes `cached_tokens` and `cache_write_tokens`, each of which has a
    price of its own: https://developers.openai.com/api/docs/guides/prompt-caching. It includes `audio_tokens` as well, and
    `completion_tokens` includes those of the answer: https://developers.openai.com/api/docs/guides/audio. Predicted tokens that
    were rejected are part of `completion_tokens`, and billed: https://developers.openai.com/api/docs/guides/predicted-outputs.

    Meters: input_tokens, cached_input_tokens, cache_write_tokens, cache_write_12h_tokens, input_audio_tokens, output_tokens,
    output_audio_tokens. In a stream, usage comes with `stream_options={"include_usage": True}`.
    """
    chat = _number(usage, "prompt_tokens") is not None
    given, made = ("prompt_tokens", "completion_tokens") if chat else ("input_tokens", "output_tokens")
    written = _number(usage, f"{given}_details", "cache_write_tokens") or 0
    written_12h = _number(usage, f"{given}_details", "cache_write_tokens_details", "ttl_12h_tokens") or 0
    parts = {
        "cached_input_tokens": _number(usage, f"{given}_details", "cached_tokens") or 0,
        "cache_write_tokens": _rest("cache_write_tokens", written, written_12h),
        "cache_write_12h_tokens": written_12h,
        "input_audio_tokens": _number(usage, f"{given}_details", "audio_tokens") or 0,
    }
    quantities = {"input_tokens": _rest(given, _required(usage, given), *parts.values()), **_used(parts)}
    output = _number(usage, made)
    if output is not None:  # an embedding has none
        audio = _number(usage, f"{made}_details", "audio_tokens") or 0
        quantities |= {"output_tokens": _rest(made, output, audio), **_used({"output_audio_tokens": audio})}
    return quantities


def from_anthropic(usage: object) -> dict[str, int]:
    """Return the quantities of an Anthropic message.

    `input_tokens` counts only what comes after the last cache breakpoint: cache reads and writes are on top of it, and writes cost
    more the longer they are kept: https://platform.claude.com/docs/en/build-with-claude/prompt-caching. Where the usage does not
    tell 5 minutes from 1 hour, all are `cache_write_tokens`. A web search is billed by itself, a fetch is not:
    https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool.

    Meters: input_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, cache_write_tokens, output_tokens,
    web_searches. In a stream, take the input from `message_start` and the output from the last `message_delta`.
    """
    written_5m = _number(usage, "cache_creation", "ephemeral_5m_input_tokens") or 0
    written_1h = _number(usage, "cache_creation", "ephemeral_1h_input_tokens") or 0
    written = _number(usage, "cache_creation_input_tokens")
    if written is None:
        written = written_5m + written_1h
    parts = {
        "cache_read_tokens": _number(usage, "cache_read_input_tokens") or 0,
        "cache_write_5m_tokens": written_5m,
        "cache_write_1h_tokens": written_1h,
        "cache_write_tokens": _rest("cache_creation_input_tokens", written, written_5m, written_1h),
        "web_searches": _number(usage, "server_tool_use", "web_search_requests") or 0,
    }
    return {
        "input_tokens": _required(usage, "input_tokens"),
        "output_tokens": _required(usage, "output_tokens"),
        **_used(parts),
    }


def from_mistral(usage: object) -> dict[str, int]:
    """Return the quantities of a Mistral chat completion or embedding (`usage`), or of OCR (`usage_info`).

    `prompt_tokens` includes those read from the cache, which the API tells in `prompt_tokens_details.cached_tokens` or in
    `num_cached_tokens`: https://docs.mistral.ai/studio-api/conversations/advanced/prompt-caching. Audio that was sent is told in
    seconds, and OCR in pages, as they are priced: https://mistral.ai/pricing.

    Meters: input_tokens, cached_input_tokens, seconds, output_tokens; pages.
    """
    pages = _number(usage, "pages_processed")
    if pages is not None:
        return {"pages": pages}
    cached = _number(usage, "prompt_tokens_details", "cached_tokens") or _number(usage, "num_cached_tokens") or 0
    parts = {"cached_input_tokens": cached, "seconds": _number(usage, "prompt_audio_seconds") or 0}
    return {
        "input_tokens": _rest("prompt_tokens", _required(usage, "prompt_tokens"), cached),
        "output_tokens": _number(usage, "completion_tokens") or 0,
        **_used(parts),
    }


def _number(usage: object, *path: str) -> int | None:
    """The number at a path of attributes or keys; None when there is none."""
    value = usage
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
    # The Mistral SDK has a value of its own, of the type Unset, for what was not sent.
    if value is None or type(value).__name__ == "Unset":
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{'.'.join(path)} must be an int, not {type(value).__name__}")
    if value < 0:
        raise ValueError(f"{'.'.join(path)} is negative: {value}")
    return value


def _required(usage: object, name: str) -> int:
    value = _number(usage, name)
    if value is None:
        raise TypeError(f"not a usage of this vendor: {type(usage).__name__} has no {name}")
    return value


def _rest(name: str, whole: int, *parts: int) -> int:
    """What is left of the whole without its parts."""
    if sum(parts) > whole:
        raise ValueError(f"{name} is {whole}, less than its parts: {', '.join(map(str, parts))}")
    return whole - sum(parts)


def _used(parts: Mapping[str, int]) -> dict[str, int]:
    return {meter: quantity for meter, quantity in parts.items() if quantity}
