"""Which attributes mean what: the GenAI conventions old and new, OpenInference, and others' names.

Data only. Sources: the GenAI semantic conventions up to 1.41 and their repository after that, with
the names deprecated on the way; OpenInference's specification; what pydantic-ai, Google ADK, the
Vercel AI SDK and OpenLLMetry (``traceloop``) write next to them; the own names of Laminar
(``lmnr``), LiveKit (``lk``), Haystack, Braintrust, AgentOps, Mastra, Genkit and Spring AI.
"""

from __future__ import annotations

from enum import Enum


class Kind(Enum):
    """What a span is for a run."""

    MODEL = "model"
    TOOL = "tool"
    GUARDRAIL = "guardrail"
    NODE = "node"  # an agent, a chain, a workflow: what the other three happen in
    OTHER = "other"  # not of these conventions: HTTP calls, queries

    # Enum's own hash is written in Python, and each span's kind is looked up many times.
    __hash__ = object.__hash__


# Words for kinds that several conventions share.
_WORDS = {
    "llm": Kind.MODEL,
    "embedding": Kind.MODEL,
    "tool": Kind.TOOL,
    "retriever": Kind.TOOL,
    "reranker": Kind.TOOL,
    "guardrail": Kind.GUARDRAIL,
    "agent": Kind.NODE,
    "chain": Kind.NODE,
    "evaluator": Kind.NODE,
    "prompt": Kind.NODE,
    "task": Kind.NODE,
    "workflow": Kind.NODE,
}
# Asked in this order; a value that is not in the table leaves it to the next.
KIND_BY_VALUE: dict[str, dict[str, Kind]] = {
    "openinference.span.kind": _WORDS | {"decision": Kind.NODE, "unknown": Kind.NODE},
    "gen_ai.operation.name": {
        "chat": Kind.MODEL,
        "text_completion": Kind.MODEL,
        "generate_content": Kind.MODEL,
        "embeddings": Kind.MODEL,
        "execute_tool": Kind.TOOL,
        "retrieval": Kind.TOOL,
        "create_agent": Kind.OTHER,  # makes an agent and runs nothing
        "invoke_agent": Kind.NODE,
        "invoke_workflow": Kind.NODE,
        "plan": Kind.NODE,
    },
    "traceloop.span.kind": _WORDS,
    "llm.request.type": {
        "chat": Kind.MODEL,
        "completion": Kind.MODEL,
        "embedding": Kind.MODEL,
        "rerank": Kind.MODEL,
    },
    "ai.operationId": {
        "ai.generateText": Kind.NODE,
        "ai.generateText.doGenerate": Kind.MODEL,
        "ai.streamText": Kind.NODE,
        "ai.streamText.doStream": Kind.MODEL,
        "ai.generateObject": Kind.NODE,
        "ai.generateObject.doGenerate": Kind.MODEL,
        "ai.streamObject": Kind.NODE,
        "ai.streamObject.doStream": Kind.MODEL,
        "ai.embed": Kind.NODE,
        "ai.embed.doEmbed": Kind.MODEL,
        "ai.toolCall": Kind.TOOL,
    },
    "langfuse.observation.type": _WORDS | {"generation": Kind.MODEL},
    "mlflow.spanType": _WORDS | {"chat_model": Kind.MODEL},
    "langsmith.span.kind": _WORDS | {"parser": Kind.NODE},
    "lmnr.span.type": _WORDS
    | dict.fromkeys(("default", "pipeline", "executor", "evaluation"), Kind.NODE),
    "braintrust.span_attributes": _WORDS | {"function": Kind.TOOL, "eval": Kind.NODE},
    "agentops.span.kind": _WORDS
    | dict.fromkeys(("session", "operation", "workflow.step"), Kind.NODE)
    | {f"agentopsspankindvalues.{word}": kind for word, kind in _WORDS.items()},
    "mastra.span.type": {
        "model_generation": Kind.MODEL,
        "tool_call": Kind.TOOL,
        "mcp_tool_call": Kind.TOOL,
        # Parts of a generation, which has all that they say.
        "model_step": Kind.OTHER,
        "model_inference": Kind.OTHER,
        "model_chunk": Kind.OTHER,
        "agent_run": Kind.NODE,
        "processor_run": Kind.NODE,
        "workflow_run": Kind.NODE,
        "workflow_step": Kind.NODE,
    },
    "genkit:metadata:subtype": {
        "model": Kind.MODEL,
        "embedder": Kind.MODEL,
        "tool": Kind.TOOL,
        "tool.v2": Kind.TOOL,
        "retriever": Kind.TOOL,
        "agent": Kind.NODE,
        "flow": Kind.NODE,
    },
    "spring.ai.kind": {"tool_call": Kind.TOOL, "chat_client": Kind.NODE, "advisor": Kind.NODE},
}

# Spans known by their name: Claude Code's own, and steps of a framework's inner loop.
KIND_BY_NAME: dict[str, Kind] = {
    "claude_code.interaction": Kind.NODE,
    "claude_code.llm_request": Kind.MODEL,
    "claude_code.tool": Kind.TOOL,
    "claude_code.tool.execution": Kind.TOOL,
    "claude_code.tool.blocked_on_user": Kind.OTHER,
    "claude_code.hook": Kind.OTHER,
    "execute_event_loop_cycle": Kind.OTHER,  # Strands: one turn of an agent
    "Cycle": Kind.OTHER,
    "haystack.agent.step": Kind.OTHER,
    "haystack.agent.step.llm": Kind.MODEL,
    "haystack.agent.step.tool": Kind.TOOL,
}
# Haystack's components, by the end of the names of their classes.
KIND_BY_COMPONENT: dict[str, Kind] = {
    "Generator": Kind.MODEL,
    "Embedder": Kind.MODEL,
    "Retriever": Kind.TOOL,
    "Ranker": Kind.TOOL,
}
# Spans without attributes, as of calls that failed before those were set: the conventions' names
# say it, and Google ADK's.
KIND_BY_NAME_START: tuple[tuple[str, Kind], ...] = (
    ("execute_tool ", Kind.TOOL),
    ("invoke_agent ", Kind.NODE),
    ("invoke_workflow ", Kind.NODE),
    ("agent_run [", Kind.NODE),
)
# A call that a model asks for, which AgentOps reports inside of the model's own; no execution.
ASKED_FOR = "tool_call."
# Tools that are none: Google ADK reports calls that it made at once as one more.
NO_TOOLS = frozenset({"(merged tools)"})
# Spans inside a tool's that report its execution, under a name of their own.
NAMELESS_TOOLS = frozenset({"claude_code.tool.execution"})

# Told by what is there, for spans that name no kind (or one of a later version). A prefix ends in
# a dot.
KIND_BY_PRESENCE: tuple[tuple[str, Kind], ...] = (
    ("gen_ai.tool.name", Kind.TOOL),
    ("tool.name", Kind.TOOL),
    ("lk.function_tool.name", Kind.TOOL),
    ("gen_ai.request.model", Kind.MODEL),
    ("llm.model_name", Kind.MODEL),
    ("gen_ai.", Kind.NODE),
    ("haystack.", Kind.NODE),
    ("lk.", Kind.NODE),
)

COSTS = (
    "llm.cost.total",
    "operation.cost",
    "gen_ai.usage.cost",
    "gen_ai.usage.total_cost",
    "gen_ai.usage.cost_usd",
    "gen_ai.cost.total_cost",
    "gen_ai.cost.total",
    "litellm.cost.total",
    "litellm.response_cost",
    "llm.usage.cost",
    "llm.usage.total_cost",
    "cost_usd",
    "total_cost_usd",
)
# A cost that is told in parts only.
COST_PARTS: tuple[tuple[str, ...], ...] = (
    ("gen_ai.cost.input_cost", "gen_ai.cost.output_cost"),
    ("gen_ai.usage.input_cost", "gen_ai.usage.output_cost"),
    ("llm.cost.prompt", "llm.cost.completion"),
)
# Tokens written to a cache, by how long it keeps them; the ends of names.
CACHE_WRITE_PARTS: dict[str, str] = {
    "ephemeral_5m_input_tokens": "cache_write_5m_tokens",
    "ephemeral_1h_input_tokens": "cache_write_1h_tokens",
}
# What was asked for, where what answered has another name.
REQUEST_MODELS = ("gen_ai.request.model", "llm.request.model_name", "llm.model_name", "ai.model.id")
# A JSON object of what the model was called with.
CALL_PARAMETERS = (
    "llm.invocation_parameters",
    "gen_ai.request.parameters",
    "model_parameters",
    "langfuse.observation.model.parameters",
    "braintrust.metadata",
)

# What AgentOps' decorators are called, where the names of attributes say it.
_AGENTOPS_PARTS = ("agent", "task", "operation", "workflow", "session")

# Where a field of a step, or an entry of its `extra`, comes from. The first that is there counts;
# the first is also what we write.
FIELDS: dict[Kind, dict[str, tuple[str, ...]]] = {
    Kind.MODEL: {
        "model": (
            "gen_ai.response.model",
            "gen_ai.request.model",
            "llm.response.model_name",
            "llm.model_name",
            "embedding.model_name",
            "ai.response.model",
            "ai.model.id",
            "langfuse.observation.model.name",
            "genkit:name",
            "model_name",
            "model",
        ),
        "prompt_tokens": (
            "gen_ai.usage.input_tokens",
            "gen_ai.usage.prompt_tokens",
            "llm.token_count.prompt",
            "ai.usage.inputTokens",
            "ai.usage.promptTokens",
            "llm.usage.prompt_tokens",
            "gen_ai.response.prompt_tokens",
            "input_tokens",
        ),
        "completion_tokens": (
            "gen_ai.usage.output_tokens",
            "gen_ai.usage.completion_tokens",
            "llm.token_count.completion",
            "ai.usage.outputTokens",
            "ai.usage.completionTokens",
            "llm.usage.completion_tokens",
            "gen_ai.response.completion_tokens",
            "output_tokens",
        ),
        "cost_usd": COSTS,
        "cache_read_tokens": (
            "gen_ai.usage.cache_read.input_tokens",
            "gen_ai.usage.cache_read_input_tokens",
            "llm.token_count.prompt_details.cache_read",
            "gen_ai.usage.details.cache_read_tokens",
            "gen_ai.usage.cached_tokens",
            "gen_ai.usage.input_tokens.cached",
            "ai.usage.cachedInputTokens",
            "cache_read_tokens",
        ),
        "cache_write_tokens": (
            "gen_ai.usage.cache_creation.input_tokens",
            "gen_ai.usage.cache_creation_input_tokens",
            "gen_ai.usage.cache_write.input_tokens",
            "gen_ai.usage.cache_write_input_tokens",
            "llm.token_count.prompt_details.cache_write",
            "gen_ai.usage.details.cache_write_tokens",
            "cache_creation_tokens",
            "cache_write_tokens",
        ),
        "reasoning_tokens": (
            "gen_ai.usage.reasoning.output_tokens",
            "llm.token_count.completion_details.reasoning",
            "gen_ai.usage.details.reasoning_tokens",
            "gen_ai.usage.reasoning_tokens",
            "gen_ai.usage.output_tokens.reasoning",
            "ai.usage.reasoningTokens",
        ),
        "audio_input_tokens": (
            "gen_ai.usage.audio.input_tokens",
            "llm.token_count.prompt_details.audio",
            "gen_ai.usage.details.input_audio_tokens",
        ),
        "audio_output_tokens": (
            "gen_ai.usage.audio.output_tokens",
            "llm.token_count.completion_details.audio",
            "gen_ai.usage.details.output_audio_tokens",
        ),
        "time_to_first_token_ms": (
            "gen_ai.response.time_to_first_chunk",
            "gen_ai.server.time_to_first_token",
            "gen_ai.client.operation.time_to_first_chunk",
            "llm.time_to_first_token_ms",
            "ai.response.msToFirstChunk",
            "lk.response.ttft",
            "ttft_ms",
        ),
        "finish_reason": (
            "gen_ai.response.finish_reasons",
            "gen_ai.response.finish_reason",
            "llm.finish_reason",
            "llm.response.finish_reason",
            "ai.response.finishReason",
            "stop_reason",
        ),
        "input": (
            "gen_ai.input.messages",
            "llm.input_messages.",
            "gcp.vertex.agent.llm_request",
            "ai.prompt.messages",
            "gen_ai.prompt.",
            "gen_ai.prompt",
            "gen_ai.content.prompt",
            "llm.prompts",
            "request_data",
            "traceloop.entity.input",
            "embedding.embeddings.",
            "langfuse.observation.input",
            "mlflow.spanInputs",
            "lmnr.span.input",
            "braintrust.input_json",
            "agentops.entity.input",
            "mastra.model_generation.input",
            "genkit:input",
            "lk.chat_ctx",
            "haystack.agent.step.llm.input",
            "haystack.component.input",
            "input.value",
        ),
        "output": (
            "gen_ai.output.messages",
            "llm.output_messages.",
            "gcp.vertex.agent.llm_response",
            "ai.response.text",
            "ai.response.object",
            "gen_ai.completion.",
            "gen_ai.completion",
            "gen_ai.content.completion",
            "llm.completions",
            "llm.responses",
            "response_data",
            "traceloop.entity.output",
            "langfuse.observation.output",
            "mlflow.spanOutputs",
            "lmnr.span.output",
            "braintrust.output_json",
            "agentops.entity.output",
            "mastra.model_generation.output",
            "genkit:output",
            "lk.response.text",
            "haystack.agent.step.llm.output",
            "haystack.component.output",
            "output.value",
        ),
    },
    Kind.TOOL: {
        "tool_name": (
            "gen_ai.tool.name",
            "tool.name",
            "ai.toolCall.name",
            "traceloop.entity.name",
            "lk.function_tool.name",
            "spring.ai.tool.definition.name",
            "genkit:name",
            "haystack.tool.name",
            "haystack.component.name",
            "tool_name",
        ),
        "tool_args": (
            "gen_ai.tool.call.arguments",
            "tool_arguments",
            "gcp.vertex.agent.tool_call_args",
            "ai.toolCall.args",
            "traceloop.entity.input",
            "gen_ai.retrieval.query.text",
            "reranker.query",
            "langfuse.observation.input",
            "mlflow.spanInputs",
            "lmnr.span.input",
            "braintrust.input_json",
            "lk.function_tool.arguments",
            "gen_ai.tool.args",
            "spring.ai.tool.call.arguments",
            "mastra.tool_call.input",
            "mastra.mcp_tool_call.input",
            "genkit:input",
            "haystack.agent.step.tool.input",
            "haystack.component.input",
            "input.value",
            "tool.parameters",
            "agentops.tool.input",
            "agentops.entity.input",
            "tool_input",
            "gen_ai.input.messages",
            "gen_ai.prompt",
        ),
        "tool_result": (
            "gen_ai.tool.call.result",
            "tool_response",
            "gcp.vertex.agent.tool_response",
            "ai.toolCall.result",
            "traceloop.entity.output",
            "gen_ai.retrieval.documents",
            "retrieval.documents.",
            "reranker.output_documents.",
            "langfuse.observation.output",
            "mlflow.spanOutputs",
            "lmnr.span.output",
            "braintrust.output_json",
            "lk.function_tool.output",
            "gen_ai.tool.output",
            "spring.ai.tool.call.result",
            "mastra.tool_call.output",
            "mastra.mcp_tool_call.output",
            "genkit:output",
            "haystack.agent.step.tool.output",
            "haystack.component.output",
            "output.value",
            "tool.result",
            "agentops.tool.output",
            "agentops.entity.output",
            "gen_ai.output.messages",
            "gen_ai.completion",
        ),
        "model": ("reranker.model_name",),
        "cost_usd": COSTS,
        "tool_call_id": (
            "gen_ai.tool.call.id",
            "tool.id",
            "tool_call.id",
            "ai.toolCall.id",
            "lk.function_tool.id",
        ),
    },
    Kind.GUARDRAIL: {
        "input": ("input.value",),
        "output": ("output.value",),
    },
    Kind.NODE: {
        "input": (
            "gen_ai.input.messages",
            "traceloop.entity.input",
            "ai.prompt",
            "langfuse.observation.input",
            "langfuse.trace.input",
            "mlflow.spanInputs",
            "lmnr.span.input",
            "braintrust.input_json",
            "haystack.agent.input",
            "haystack.component.input",
            "haystack.pipeline.input_data",
            "lk.user_input",
            "lk.chat_ctx",
            "agentops.entity.input",
            *(f"agentops.{part}.input" for part in _AGENTOPS_PARTS),
            "mastra.agent_run.input",
            "mastra.workflow_run.input",
            "mastra.workflow_step.input",
            "mastra.processor_run.input",
            "genkit:input",
            "input.value",
            "user_prompt",
            "gen_ai.prompt",
        ),
        "output": (
            "gen_ai.output.messages",
            "traceloop.entity.output",
            "ai.response.text",
            "ai.response.object",
            "langfuse.observation.output",
            "langfuse.trace.output",
            "mlflow.spanOutputs",
            "lmnr.span.output",
            "braintrust.output_json",
            "haystack.agent.output",
            "haystack.component.output",
            "haystack.pipeline.output_data",
            "lk.response.text",
            "agentops.entity.output",
            *(f"agentops.{part}.output" for part in _AGENTOPS_PARTS),
            "mastra.agent_run.output",
            "mastra.workflow_run.output",
            "mastra.workflow_step.output",
            "mastra.processor_run.output",
            "genkit:output",
            "final_result",
            "output.value",
            "gen_ai.completion",
        ),
    },
    Kind.OTHER: {},
}

SYSTEM_TEXT = "gen_ai.system_instructions"
# Tool calls that an answer asks for, next to its text: the Vercel AI SDK.
TOOL_CALLS = "ai.response.toolCalls"
# Attributes of an agent's span that hold messages, and nothing else.
MESSAGE_NAMES = frozenset({"gen_ai.input.messages", "gen_ai.output.messages"})

# Attributes whose texts are JSON, quotes and all.
QUOTED = frozenset(
    {
        "mlflow.spanInputs",
        "mlflow.spanOutputs",
        "genkit:input",
        "genkit:output",
        "lmnr.span.input",
        "lmnr.span.output",
        "braintrust.input_json",
        "braintrust.output_json",
        "traceloop.entity.input",
        "traceloop.entity.output",
    }
)

# Attributes in seconds whose field is in milliseconds.
SECONDS = frozenset(
    {
        "gen_ai.response.time_to_first_chunk",
        "gen_ai.server.time_to_first_token",
        "gen_ai.client.operation.time_to_first_chunk",
        "lk.response.ttft",
    }
)
# Attributes that hold a list of texts, mostly of one.
TEXT_LISTS = frozenset({"gen_ai.response.finish_reasons"})

# Deprecated: messages told as events. What the event's name says goes where.
MESSAGE_EVENTS: dict[str, str] = {
    "gen_ai.system.message": "input",
    "gen_ai.user.message": "input",
    "gen_ai.assistant.message": "input",
    "gen_ai.tool.message": "input",
    "gen_ai.choice": "output",
}
# An event whose attributes are looked at as if they were the span's.
DETAIL_EVENTS = frozenset(
    {
        "gen_ai.client.inference.operation.details",
        "gen_ai.content.prompt",
        "gen_ai.content.completion",
    }
)

NODE_NAMES: tuple[str, ...] = (
    "gen_ai.agent.name",
    "agent.name",
    "gen_ai.workflow.name",
    "graph.node.name",
    "graph.node.id",
    "traceloop.entity.name",
    "haystack.component.name",
    "lk.agent_name",
    "lk.agent_label",
    "agent_name",
)
# Entries of OpenInference's `metadata` attribute, a JSON object, as LangGraph fills it.
METADATA_FIELDS: dict[str, str] = {
    "langgraph_node": "node_name",
    "langgraph_step": "step_number",
}

# Whose run it is: the field, the name in a run's metadata, and the names that say it, in the
# attributes of a span or in its `metadata` attribute. From the root, or else from the first that
# tells.
IDENTITY: dict[str, tuple[str, ...]] = {
    "gen_ai.agent.name": ("gen_ai.agent.name", "agent.name", "agent_name", "lc_agent_name"),
    "gen_ai.conversation.id": (
        "gen_ai.conversation.id",
        "session.id",
        "gcp.vertex.agent.session_id",
    ),
    "user.id": ("user.id", "enduser.id", "enduser.pseudo.id"),
}
# What frameworks put before the names that a caller gives.
_GIVEN = (
    "", "gen_ai.", "langfuse.", "langfuse.trace.", "langfuse.trace.metadata.", "langsmith.trace.",
    "langsmith.metadata.", "mlflow.trace.", "traceloop.association.properties.",
    "lmnr.association.properties.", "mastra.metadata.", "genkit:", "genkit:metadata:",
    "ai.telemetry.metadata.", "metadata.",
)  # fmt: skip
_OF = {
    "gen_ai.conversation.id": (
        ("session", "conversation", "thread", "chat"), ("session", "group_id", "groupId"),
    ),
    "user.id": (("user", "enduser"), ("user",)),
}  # fmt: skip
# OpenTelemetry's own name for a thread of the operating system, and words that say too little.
_NO_IDENTITY = frozenset({"thread.id", "session", "user", "metadata.user", "gen_ai.user"})


def _identities(field: str) -> tuple[str, ...]:
    whose, bare = _OF[field]
    ids = [f"{word}{end}" for word in whose for end in (".id", "_id", "Id")]
    names = [f"{given}{name}" for given in _GIVEN for name in (*ids, *bare)]
    names.append("gen_ai.openai.thread.id")
    return tuple(name for name in names if name not in _NO_IDENTITY)


for _field in _OF:
    IDENTITY[_field] = tuple(dict.fromkeys((*IDENTITY[_field], *_identities(_field))))
IDENTITY_NAMES = frozenset(name for names in IDENTITY.values() for name in names)
RESOURCE_METADATA: tuple[str, ...] = ("service.name", "deployment.environment.name")

REASONING_PARTS = frozenset({"thinking", "reasoning"})

# What is said once more when a run is sent, so that readers of OpenInference alone understand it.
ALSO_AS: dict[Kind, dict[str, tuple[str, ...]]] = {
    Kind.MODEL: {
        "model": ("gen_ai.request.model", "llm.model_name"),
        "prompt_tokens": ("llm.token_count.prompt",),
        "completion_tokens": ("llm.token_count.completion",),
        "cache_read_tokens": ("llm.token_count.prompt_details.cache_read",),
        "cache_write_tokens": ("llm.token_count.prompt_details.cache_write",),
        "reasoning_tokens": ("llm.token_count.completion_details.reasoning",),
        "input": ("input.value",),
        "output": ("output.value",),
    },
    Kind.TOOL: {
        "tool_name": ("tool.name",),
        "tool_args": ("input.value",),
        "tool_result": ("output.value",),
        "tool_call_id": ("tool.id",),
    },
    Kind.GUARDRAIL: {},
    Kind.NODE: {
        "input": ("input.value",),
        "output": ("output.value",),
    },
    Kind.OTHER: {},
}
KIND_WRITTEN: dict[Kind, dict[str, str]] = {
    Kind.MODEL: {"openinference.span.kind": "LLM", "gen_ai.operation.name": "chat"},
    Kind.TOOL: {"openinference.span.kind": "TOOL", "gen_ai.operation.name": "execute_tool"},
    Kind.GUARDRAIL: {"openinference.span.kind": "GUARDRAIL"},
    Kind.NODE: {"openinference.span.kind": "CHAIN"},
    Kind.OTHER: {},
}
