"""Anthropic's client, by OpenInference's instrumentation."""

from anthropic_turns import run
from capturing import provider
from openinference.instrumentation.anthropic import AnthropicInstrumentor

spans = provider()
AnthropicInstrumentor().instrument(tracer_provider=spans)
run(spans)
