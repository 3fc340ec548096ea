"""Compiles and runs kernels: numba without the interpreter lock, one thread per part of the queries.

Kernels release the interpreter lock, so Python's own threads run them side by side. numba's `parallel=True` would do the
same work, but takes seconds more to compile, and its OpenMP layer does not survive a fork of the process.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

import numba
from numba import types
from numba.extending import intrinsic

QUERIES_A_TASK = 64

Function = TypeVar("Function", bound=Callable[..., Any])


def _instruction(definition: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
    """numba's `intrinsic`, with the type that its callers see: they do not pass the typing context."""
    return cast(Callable[[Any], Any], intrinsic(definition))


@_instruction
def popcount(typing_context: Any, word: Any) -> Any:
    """The number of ones in a uint64, one machine instruction."""
    return types.uint64(types.uint64), lambda context, builder, signature, args: builder.ctpop(args[0])


@_instruction
def trailing_zeros(typing_context: Any, word: Any) -> Any:
    """The position of the lowest one in a uint64 that is not zero."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], context.get_constant(types.boolean, True))

    return types.uint64(types.uint64), generate


def kernel(function: Function, **options: Any) -> Function:
    """Compiles on first use, and caches the machine code on disk if a folder is writable.

    options: further ones of numba.njit.
    """
    try:
        return cast(Function, numba.njit(nogil=True, cache=True, **options)(function))
    except RuntimeError:  # numba finds neither a writable package folder nor a writable home
        return cast(Function, numba.njit(nogil=True, **options)(function))


def default_threads() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def over_queries(task: Callable[[slice], None], queries: int, threads: int | None = None) -> None:
    """Runs `task` on slices that together cover range(queries)."""
    shares = [slice(i, min(i + QUERIES_A_TASK, queries)) for i in range(0, queries, QUERIES_A_TASK)]
    threads = min(threads or default_threads(), len(shares))
    if threads <= 1:
        for share in shares:
            task(share)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(task, shares):
            pass
