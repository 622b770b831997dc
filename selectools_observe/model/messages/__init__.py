"""Messages in one shape, whatever framework they come from: see ``docs/messages.md``."""

from .formats import messages_from, normalised, system_message
from .message import (
    BlobPart,
    FilePart,
    Message,
    Part,
    RawPart,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    UriPart,
)
from .of_step import StepMessages, messages_of

__all__ = [
    "BlobPart",
    "FilePart",
    "Message",
    "Part",
    "RawPart",
    "ReasoningPart",
    "StepMessages",
    "TextPart",
    "ToolCallPart",
    "ToolResultPart",
    "UriPart",
    "messages_from",
    "messages_of",
    "normalised",
    "system_message",
]
