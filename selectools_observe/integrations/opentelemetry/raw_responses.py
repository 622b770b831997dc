"""What a model call's span says in the provider's response only, which it holds as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .attributes import Attributes, count, parsed_text

_RESPONSES = ("output.value", "gcp.vertex.agent.llm_response")
_ANSWERED = ("gen_ai.response.model", "llm.response.model_name", "ai.response.model")
_ASKED_FOR = ("model", "model_name", "model_id", "modelId", "modelName")
_MODELS = ("model", "model_version", "modelVersion")
_USAGE = ("usage", "usage_metadata", "usageMetadata")
# Where responses of OpenAI, Anthropic, Gemini and Genkit count, the first that is there.
_COUNTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "prompt_tokens": (("prompt_tokens",), ("prompt_token_count",), ("inputTokens",)),
    "completion_tokens": (("completion_tokens",), ("outputTokens",)),
    "cache_read_tokens": (
        ("prompt_tokens_details", "cached_tokens"),
        ("input_tokens_details", "cached_tokens"),
        ("cache_read_input_tokens",),
        ("cached_content_token_count",),
        ("cachedContentTokens",),
    ),
    "cache_write_tokens": (("cache_creation_input_tokens",),),
    "reasoning_tokens": (
        ("completion_tokens_details", "reasoning_tokens"),
        ("output_tokens_details", "reasoning_tokens"),
        ("thoughts_token_count",),
        ("thoughtsTokens",),
    ),
}


def complete_call(found: dict[str, Any], attributes: Attributes) -> None:
    """Fill in what no attribute says but the response does: the model that answered, tokens."""
    response = _response(attributes.left, found.get("output"))
    if response is None:
        return
    model = next((response[name] for name in _MODELS if response.get(name)), None)
    if isinstance(model, str) and attributes.found.get("model") not in _ANSWERED:
        if found.get("model") not in (None, model):
            attributes.keep("model")
        found["model"] = model
    reason = _finish_reason(response)
    if reason is not None:
        found.setdefault("finish_reason", reason)
    usage = next((response[name] for name in _USAGE if response.get(name)), None)
    if isinstance(usage, Mapping):
        for name, places in _COUNTS.items():
            if name not in found:
                reported = next((n for n in (_at(usage, place) for place in places) if n), None)
                if reported is not None:
                    found[name] = reported


def model_named_in(request: object) -> str | None:
    """The model that a request, or the parameters of one, names."""
    if not isinstance(request, Mapping):
        return None
    names = (request.get(name) for name in _ASKED_FOR)
    return next((name for name in names if isinstance(name, str) and name), None)


def _finish_reason(response: Mapping[str, Any]) -> str | None:
    """Why the model stopped: of a response of OpenAI, Anthropic or Gemini, its first answer."""
    answers = response.get("choices") or response.get("candidates")
    first = answers[0] if isinstance(answers, list) and answers else None
    for place in (response, first):
        for name in ("finish_reason", "finishReason", "stop_reason"):
            reason = place.get(name) if isinstance(place, Mapping) else None
            if isinstance(reason, str) and reason:
                return reason
    return None


def _response(attributes: Mapping[str, Any], output: Any) -> Mapping[str, Any] | None:
    if isinstance(output, Mapping) and any(key in output for key in _USAGE):
        return output
    if isinstance(output, Mapping) and isinstance(output.get("replies"), list):
        return _of_haystack(output)
    for name in _RESPONSES:
        raw = attributes.get(name)
        if isinstance(raw, str) and ('"model' in raw or '"usage' in raw):
            response = parsed_text(raw)
            if isinstance(response, Mapping) and any(key in response for key in _USAGE):
                return response
    return None


def _of_haystack(output: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What is told beside Haystack's first reply: in the message, or where replies are texts."""
    told = output.get("meta") or [
        reply.get("meta") for reply in output["replies"] if isinstance(reply, Mapping)
    ]
    first = told[0] if isinstance(told, list) and told else None
    return first if isinstance(first, Mapping) else None


def _at(usage: Mapping[str, Any], place: tuple[str, ...]) -> int | None:
    at: Any = usage
    for name in place:
        at = at.get(name) if isinstance(at, Mapping) else None
    return None if at is None else count(at)
