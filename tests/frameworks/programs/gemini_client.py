"""Google's client of Gemini, by OpenInference's instrumentation."""

from capturing import provider
from gemini_turns import run
from openinference.instrumentation.google_genai import GoogleGenAIInstrumentor

spans = provider()
GoogleGenAIInstrumentor().instrument(tracer_provider=spans)
run(spans)
