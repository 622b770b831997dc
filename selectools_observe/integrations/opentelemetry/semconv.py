"""Which attributes mean what: the GenAI conventions old and new, OpenInference, and others' names.

Data only. Sources: the GenAI semantic conventions up to 1.41 and their repository after that, with
the names deprecated on the way; OpenInference's specification; what pydantic-ai, Google ADK, the
Vercel AI SDK and OpenLLMetry (``traceloop``) write beside them.
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


# Asked in this order; a value that is not in the table leaves it to the next.
KIND_BY_VALUE: dict[str, dict[str, Kind]] = {
    "openinference.span.kind": {
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
        "decision": Kind.NODE,
        "unknown": Kind.NODE,
    },
    "gen_ai.operation.name": {
        "chat": Kind.MODEL,
        "text_completion": Kind.MODEL,
        "generate_content": Kind.MODEL,
        "embeddings": Kind.MODEL,
        "execute_tool": Kind.TOOL,
        "retrieval": Kind.TOOL,
        "create_agent": Kind.NODE,
        "invoke_agent": Kind.NODE,
        "invoke_workflow": Kind.NODE,
        "plan": Kind.NODE,
    },
    "traceloop.span.kind": {
        "tool": Kind.TOOL,
        "workflow": Kind.NODE,
        "agent": Kind.NODE,
        "task": Kind.NODE,
    },
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
}

# Told by what is there, for spans that name no kind (or one of a later version). A prefix ends in
# a dot.
KIND_BY_PRESENCE: tuple[tuple[str, Kind], ...] = (
    ("gen_ai.tool.name", Kind.TOOL),
    ("tool.name", Kind.TOOL),
    ("gen_ai.request.model", Kind.MODEL),
    ("llm.model_name", Kind.MODEL),
    ("gen_ai.", Kind.NODE),
)

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
            "model_name",
        ),
        "prompt_tokens": (
            "gen_ai.usage.input_tokens",
            "gen_ai.usage.prompt_tokens",
            "llm.token_count.prompt",
            "ai.usage.inputTokens",
            "ai.usage.promptTokens",
            "llm.usage.prompt_tokens",
        ),
        "completion_tokens": (
            "gen_ai.usage.output_tokens",
            "gen_ai.usage.completion_tokens",
            "llm.token_count.completion",
            "ai.usage.outputTokens",
            "ai.usage.completionTokens",
            "llm.usage.completion_tokens",
        ),
        "cost_usd": (
            "llm.cost.total",
            "operation.cost",
            "gen_ai.usage.cost",
            "gen_ai.usage.total_cost",
        ),
        "cache_read_tokens": (
            "gen_ai.usage.cache_read.input_tokens",
            "gen_ai.usage.cache_read_input_tokens",
            "llm.token_count.prompt_details.cache_read",
            "gen_ai.usage.details.cache_read_tokens",
            "ai.usage.cachedInputTokens",
        ),
        "cache_write_tokens": (
            "gen_ai.usage.cache_creation.input_tokens",
            "gen_ai.usage.cache_creation_input_tokens",
            "llm.token_count.prompt_details.cache_write",
            "gen_ai.usage.details.cache_write_tokens",
        ),
        "reasoning_tokens": (
            "gen_ai.usage.reasoning.output_tokens",
            "llm.token_count.completion_details.reasoning",
            "gen_ai.usage.details.reasoning_tokens",
            "gen_ai.usage.reasoning_tokens",
            "ai.usage.reasoningTokens",
        ),
        "input": (
            "gen_ai.input.messages",
            "llm.input_messages.",
            "gcp.vertex.agent.llm_request",
            "ai.prompt.messages",
            "gen_ai.prompt.",
            "gen_ai.prompt",
            "traceloop.entity.input",
            "embedding.embeddings.",
            "input.value",
        ),
        "output": (
            "gen_ai.output.messages",
            "llm.output_messages.",
            "gcp.vertex.agent.llm_response",
            "ai.response.text",
            "gen_ai.completion.",
            "gen_ai.completion",
            "traceloop.entity.output",
            "output.value",
        ),
    },
    Kind.TOOL: {
        "tool_name": (
            "gen_ai.tool.name",
            "tool.name",
            "ai.toolCall.name",
            "traceloop.entity.name",
        ),
        "tool_args": (
            "gen_ai.tool.call.arguments",
            "tool_arguments",
            "gcp.vertex.agent.tool_call_args",
            "ai.toolCall.args",
            "traceloop.entity.input",
            "gen_ai.retrieval.query.text",
            "reranker.query",
            "input.value",
            "tool.parameters",
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
            "output.value",
        ),
        "model": ("reranker.model_name",),
        "cost_usd": ("llm.cost.total", "operation.cost"),
        "tool_call_id": ("gen_ai.tool.call.id", "tool.id", "tool_call.id", "ai.toolCall.id"),
    },
    Kind.GUARDRAIL: {
        "input": ("input.value",),
        "output": ("output.value",),
    },
    Kind.NODE: {
        "input": ("gen_ai.input.messages", "traceloop.entity.input", "input.value"),
        "output": (
            "gen_ai.output.messages",
            "traceloop.entity.output",
            "final_result",
            "output.value",
        ),
    },
    Kind.OTHER: {},
}

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
    "agent_name",
)
# Entries of OpenInference's `metadata` attribute, a JSON object, as LangGraph fills it.
METADATA_FIELDS: dict[str, str] = {
    "langgraph_node": "node_name",
    "langgraph_step": "step_number",
}

# Metadata of a run: from its root span, or else from the first of its spans that tells.
RUN_METADATA: dict[str, tuple[str, ...]] = {
    "gen_ai.agent.name": ("gen_ai.agent.name", "agent.name", "agent_name"),
    "gen_ai.conversation.id": (
        "gen_ai.conversation.id",
        "session.id",
        "gcp.vertex.agent.session_id",
        "traceloop.association.properties.session_id",
    ),
    "user.id": ("user.id", "enduser.id", "traceloop.association.properties.user_id"),
}
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
