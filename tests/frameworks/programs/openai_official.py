"""OpenAI's client, by OpenTelemetry's own instrumentation."""

import os

os.environ |= {
    "OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental",
    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY",
}

from capturing import provider
from openai_turns import run
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor

spans = provider(everywhere=True)
OpenAIInstrumentor().instrument(tracer_provider=spans)
run(spans)
