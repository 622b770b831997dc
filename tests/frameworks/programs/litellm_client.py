"""LiteLLM, by OpenInference's instrumentation."""

import litellm
from capturing import URL, provider
from openai_turns import run
from openinference.instrumentation.litellm import LiteLLMInstrumentor

spans = provider()
LiteLLMInstrumentor().instrument(tracer_provider=spans)


def create(model, **more):
    return litellm.completion(
        model=f"openai/{model}", api_base=f"{URL}/v1", api_key="none", num_retries=0, **more
    )


run(spans, create)
