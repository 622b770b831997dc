"""Callback handlers that save every run of LangChain and LangGraph; extra ``langchain``."""

from .handlers import AsyncTraceCallbackHandler, TraceCallbackHandler

__all__ = ["AsyncTraceCallbackHandler", "TraceCallbackHandler"]
