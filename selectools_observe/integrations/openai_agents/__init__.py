"""A processor that saves every run of the OpenAI Agents SDK; needs the extra ``openai-agents``."""

from .tracing_processor import TraceStoreProcessor

__all__ = ["TraceStoreProcessor"]
