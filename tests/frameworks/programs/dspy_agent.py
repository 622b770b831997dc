"""DSPy's ReAct, by OpenInference's instrumentations."""

import dspy
from capturing import URL, provider
from openinference.instrumentation import using_attributes
from openinference.instrumentation.dspy import DSPyInstrumentor
from openinference.instrumentation.litellm import LiteLLMInstrumentor
from script import ASKED_MODEL, QUESTION, SESSION, SYSTEM, USER, find_order, refund

spans = provider()
DSPyInstrumentor().instrument(tracer_provider=spans, skip_dep_check=True)
LiteLLMInstrumentor().instrument(tracer_provider=spans, skip_dep_check=True)
model = dspy.LM(
    f"openai/{ASKED_MODEL}", api_base=f"{URL}/v1", api_key="none", cache=False, num_retries=0
)
dspy.configure(lm=model, adapter=dspy.ChatAdapter(use_json_adapter_fallback=False))
signature = dspy.Signature("question -> answer", SYSTEM)
agent = dspy.ReAct(signature, tools=[find_order, refund], max_iters=6)
with using_attributes(session_id=SESSION, user_id=USER):
    agent(question=QUESTION)
