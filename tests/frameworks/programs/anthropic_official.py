"""Anthropic's client, by OpenTelemetry's own instrumentation."""

import os

os.environ |= {
    "OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental",
    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY",
}

from anthropic_turns import run
from capturing import provider
from opentelemetry.instrumentation.genai.anthropic import AnthropicInstrumentor

spans = provider(everywhere=True)
AnthropicInstrumentor().instrument(tracer_provider=spans)
run(spans)
