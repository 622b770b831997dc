"""Decorators that make calls of a function runs, or tool steps of the current run."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from contextlib import aclosing, closing, nullcontext
from functools import partial
from typing import Any, TypeVar

from ...model.trace import TraceStep
from .run import Run, TimedStep, current_run, current_scope

Function = TypeVar("Function", bound=Callable[..., Any])


def recorded_agent(
    start_run: Callable[..., Run],
    check_blocking: Callable[[], None],
    function: Function,
    name: str | None,
    metadata: Mapping[str, Any],
) -> Function:
    """The function, each call of which is a run.

    Raises:
        TypeError: It blocks, and the recorder's store is async.
    """
    if not _is_async(function):
        check_blocking()
    described = {"agent": name or _name(function), **metadata}

    def run(_: Any, __: Any) -> Run:
        return start_run(metadata=described)

    return _within(function, run, _ignore)


def recorded_tool(function: Function, name: str | None) -> Function:
    """The function, each call of which is a tool step."""
    tool_name = name or _name(function)
    arguments = _arguments_of(function)

    def step(args: tuple[Any, ...], kwargs: dict[str, Any]) -> TimedStep | nullcontext[None]:
        run = current_run()
        return nullcontext() if run is None else run.tool(tool_name, arguments(args, kwargs))

    return _within(function, step, _keep_result)


def _within(
    function: Function,
    context: Callable[[tuple[Any, ...], dict[str, Any]], Any],
    keep: Callable[[Any, Any], None],
) -> Function:
    """The function, each call of which happens within a context that is told the result."""
    wrapper: Any
    if inspect.isasyncgenfunction(function):
        wrapper = _async_generator(function, context, keep)
    elif inspect.iscoroutinefunction(function):
        wrapper = _coroutine(function, context, keep)
    elif inspect.isgeneratorfunction(function):
        wrapper = _generator(function, context, keep)
    else:
        wrapper = _plain(function, context, keep)
    return functools.wraps(function)(wrapper)  # type: ignore[return-value]


def _plain(function: Any, context: Any, keep: Any) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        with context(args, kwargs) as entered:
            result = function(*args, **kwargs)
            keep(entered, result)
            return result

    return call


def _coroutine(function: Any, context: Any, keep: Any) -> Any:
    async def call(*args: Any, **kwargs: Any) -> Any:
        async with context(args, kwargs) as entered:
            result = await function(*args, **kwargs)
            keep(entered, result)
            return result

    return call


def _generator(function: Any, context: Any, keep: Any) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        # A generator shares its caller's context: there is no run in that.
        outside = current_scope.get()
        with context(args, kwargs) as entered:
            given: list[Any] = []
            try:
                with closing(function(*args, **kwargs)) as items:
                    go_on = partial(next, items)
                    while True:
                        try:
                            item = go_on()
                        except StopIteration as end:
                            result = end.value
                            break
                        given.append(item)
                        inside = current_scope.get()
                        current_scope.set(outside)
                        try:
                            go_on = partial(items.send, (yield item))
                        except GeneratorExit:
                            raise
                        except BaseException as error:  # noqa: BLE001 - thrown in: it is the function's
                            go_on = partial(items.throw, error)
                        current_scope.set(inside)
            except BaseException:
                keep(entered, given or None)  # it was left early, or it failed
                raise
            keep(entered, given)
            return result

    return call


def _async_generator(function: Any, context: Any, keep: Any) -> Any:
    async def call(*args: Any, **kwargs: Any) -> Any:
        outside = current_scope.get()
        async with context(args, kwargs) as entered:
            given: list[Any] = []
            try:
                async with aclosing(function(*args, **kwargs)) as items:
                    go_on = partial(anext, items)
                    while True:
                        try:
                            item = await go_on()
                        except StopAsyncIteration:
                            break
                        given.append(item)
                        inside = current_scope.get()
                        current_scope.set(outside)
                        try:
                            go_on = partial(items.asend, (yield item))
                        except GeneratorExit:
                            raise
                        except BaseException as error:  # noqa: BLE001 - as above
                            go_on = partial(items.athrow, error)
                        current_scope.set(inside)
            except BaseException:
                keep(entered, given or None)  # as above
                raise
            keep(entered, given)

    return call


def _keep_result(step: TraceStep | None, result: Any) -> None:
    if step is not None and result is not None:
        step.tool_result = result  # made text at the step's end


def _ignore(_: object, __: object) -> None:
    pass


def _arguments_of(
    function: Callable[..., Any],
) -> Callable[[tuple[Any, ...], dict[str, Any]], dict[str, Any]]:
    """What gives the arguments of a call by name, without a method's own object."""
    try:
        signature = inspect.signature(function)
    except ValueError:  # some built-in functions have none
        return lambda args, kwargs: {"args": list(args), **kwargs} if args else kwargs

    def arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:  # the call itself will say so
            return {"args": list(args), **kwargs} if args else kwargs
        bound.apply_defaults()
        return {
            name: value
            for place, (name, value) in enumerate(bound.arguments.items())
            if place or name not in {"self", "cls"}
        }

    return arguments


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", type(function).__name__)
