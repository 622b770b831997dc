"""Which frameworks are tried, who reports their runs, and who leaves out what."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from fields import ABSENT, BROKEN_FIELDS, FIELDS, TOLD

HERE = Path(__file__).parent
MATRIX = HERE / "matrix.json"
REQUIREMENTS = HERE / "requirements"


class Framework(NamedTuple):
    """A framework, by one way of capturing it.

    Attributes:
        program: The program in ``programs/`` that plays the script.
        environment: The requirements it needs, and the environment made of them.
        title: What it is called in the matrix.
        reporter: Who reports its runs.
        is_client: It is a provider's client: what an agent has is not asked of it.
    """

    program: str
    environment: str
    title: str
    reporter: str
    is_client: bool = False

    @property
    def fields(self) -> list[str]:
        """The names of what is asked of it."""
        return [
            field.name for field in (*FIELDS, *BROKEN_FIELDS) if field.clients or not self.is_client
        ]


OPENINFERENCE = "OpenInference's instrumentation"
OFFICIAL = "OpenTelemetry's instrumentation"

FRAMEWORKS = (
    Framework("selectools_agent", "selectools", "selectools", "its observers"),
    Framework("langchain_agent", "langchain", "LangChain, LangGraph", "its callbacks"),
    Framework("openai_agents_agent", "openai_agents", "OpenAI Agents", "its trace processors"),
    Framework("pydantic_ai_agent", "pydantic_ai", "pydantic-ai", "its own spans"),
    Framework("google_adk_agent", "google_adk", "Google ADK", "its own spans"),
    Framework("strands_agent", "strands", "Strands", "its own spans"),
    Framework(
        "agent_framework_agent", "agent_framework", "Microsoft Agent Framework", "its own spans"
    ),
    Framework("haystack_agent", "haystack", "Haystack", "its own spans"),
    Framework("smolagents_agent", "smolagents", "smolagents", OPENINFERENCE),
    Framework("crewai_agent", "crewai", "CrewAI", OPENINFERENCE),
    Framework("llama_index_agent", "llama_index", "LlamaIndex", OPENINFERENCE),
    Framework("autogen_agent", "autogen", "AutoGen", f"its own spans and {OPENINFERENCE}"),
    Framework("agno_agent", "agno", "Agno", OPENINFERENCE),
    Framework("dspy_agent", "dspy", "DSPy", OPENINFERENCE),
    Framework("claude_agent_sdk_agent", "claude_agent_sdk", "Claude Agent SDK", OPENINFERENCE),
    Framework("openai_client", "openai", "openai", OPENINFERENCE, is_client=True),
    Framework("openai_official", "openai", "openai", OFFICIAL, is_client=True),
    Framework("anthropic_client", "anthropic", "anthropic", OPENINFERENCE, is_client=True),
    Framework("anthropic_official", "anthropic", "anthropic", OFFICIAL, is_client=True),
    Framework("gemini_client", "gemini", "google-genai", OPENINFERENCE, is_client=True),
    Framework("gemini_official", "gemini", "google-genai", OFFICIAL, is_client=True),
    Framework("litellm_client", "litellm", "litellm", OPENINFERENCE, is_client=True),
)

_ONE_CALL = "OpenInference: one span for all calls of the model"
_CLAUDE = {
    **dict.fromkeys(
        ("steps in order", "history", "tool calls asked for", "their ids", "prompt tokens",
         "cached tokens", "completion tokens"),
        _ONE_CALL,
    ),
    "agent": "OpenInference: named after the SDK's function",
    "tools": "Claude Code puts the server's name before them: mcp__shop__refund",
}  # fmt: skip
REASONS: dict[tuple[str, str], str] = {
    **{("claude_agent_sdk_agent", field): why for field, why in _CLAUDE.items()},
    ("anthropic_client", "reasoning tokens"): "Anthropic's API does not count them apart",
    ("anthropic_official", "reasoning tokens"): "Anthropic's API does not count them apart",
    ("dspy_agent", "tool calls asked for"): "DSPy asks for them in the answer's text",
    ("dspy_agent", "their ids"): "DSPy has none",
    ("dspy_agent", "ids of tool calls"): "DSPy has none",
    ("litellm_client", "model"): "OpenInference: only of calls that ask for a tool",
    ("smolagents_agent", "model"): "OpenInference: only in Python's repr of the response",
    ("smolagents_agent", "cached tokens"): "OpenInference: only in Python's repr of the response",
    (
        "smolagents_agent",
        "reasoning tokens",
    ): "OpenInference: only in Python's repr of the response",
    ("llama_index_agent", "agent"): "OpenInference: only in Python's repr of an event",
    (
        "llama_index_agent",
        "input",
    ): "OpenInference: only in Python's repr of an event; the calls have it",
    ("llama_index_agent", "output"): "OpenInference: only as Python's repr; the last call has it",
    ("llama_index_agent", "model"): "OpenInference: only in Python's repr of the response",
    ("agno_agent", "reasoning tokens"): "OpenInference: only summed up in the run's own output",
    (
        "agent_framework_agent",
        "session",
    ): "the framework reports the provider's conversation instead",
    ("gemini_client", "their ids"): "OpenInference leaves them out of the answer's messages",
}
"""Why a field is not what was scripted, where more can be said than who leaves it out."""


def reason(framework: Framework, field: str, found: str) -> str | None:
    """Who leaves out a field that was not found as scripted; None where it was reported.

    What is reported and not stored is our fault, but for what `REASONS` explains.
    """
    explained = REASONS.get((framework.program, field))
    if explained is not None:
        return explained
    return f"{framework.reporter}: not reported" if found == ABSENT else None


def is_good(found: str) -> bool:
    """Whether a field is what was scripted."""
    return found == TOLD
