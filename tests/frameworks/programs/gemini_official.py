"""Google's client of Gemini, by OpenTelemetry's own instrumentation."""

import os

os.environ |= {
    "OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental",
    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY",
}

from capturing import provider
from gemini_turns import run
from opentelemetry.instrumentation.google_genai import GoogleGenAiSdkInstrumentor

spans = provider(everywhere=True)
GoogleGenAiSdkInstrumentor().instrument(tracer_provider=spans, skip_dep_check=True)
run(spans)
