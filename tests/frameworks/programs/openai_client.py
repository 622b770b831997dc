"""OpenAI's client, by OpenInference's instrumentation."""

from capturing import provider
from openai_turns import run
from openinference.instrumentation.openai import OpenAIInstrumentor

spans = provider()
OpenAIInstrumentor().instrument(tracer_provider=spans)
run(spans)
