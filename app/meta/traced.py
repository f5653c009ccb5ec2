"""A function of tensors as one call that the interpreter has no part in.

Small images make small operations: starting them from Python costs more than doing them, and
threads that start them wait for each other's turn at the interpreter. A traced function starts
them from one call, beside which other Python threads run. It computes what the function
computes, operation by operation.

`torch.jit` is in maintenance; what replaces it (`torch.compile`, `torch.export` with a compiled
package) needs a C++ compiler on the machine that serves, and minutes.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from typing import Any, cast

import torch

Traced = Callable[..., Any]
"""A function of tensors that gives a tensor or a tuple of them."""

WARM_UP_CALLS = 3
"""The first calls of a traced function look at what it is given and settle how it runs."""


def traced(function: Traced, *examples: torch.Tensor) -> Traced:
    """A function as it runs for inputs like the ``examples``, without gradients.

    Its branches must not depend on its inputs. Sizes may differ from those of the examples where
    the function takes them from `shape`.
    """
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        compiled = cast(
            "Traced",
            torch.jit.trace(function, examples, check_trace=False),  # type: ignore[no-untyped-call]
        )

    def call(*inputs: torch.Tensor) -> Any:
        with torch.no_grad():
            return compiled(*inputs)

    for _ in range(WARM_UP_CALLS):
        call(*examples)
    return call


class TracedLater:
    """A traced function that is made when it is first called, or by `make`."""

    def __init__(self, function: Traced, *examples: torch.Tensor) -> None:
        self._function, self._examples = function, examples
        self._made: Traced | None = None
        self._making = threading.Lock()

    def make(self) -> Traced:
        """The traced function."""
        with self._making:
            if self._made is None:
                self._made = traced(self._function, *self._examples)
            return self._made

    def __call__(self, *inputs: torch.Tensor) -> Any:
        """Call it."""
        return (self._made or self.make())(*inputs)


def begun(function: Traced, *inputs: torch.Tensor) -> Any:
    """Inside of a traced function: have a thread of torch's do something. See `joined`."""
    return torch.jit.fork(function, *inputs)  # type: ignore[no-untyped-call]


def at_once(function: Traced, *inputs: torch.Tensor) -> Any:
    """Do it here and now, where it might have been `begun`."""
    return function(*inputs)


def joined(started: Any) -> Any:
    """The result of what was `begun` or done `at_once`; waits for it."""
    if isinstance(started, torch.Tensor | tuple):
        return started
    return torch.jit.wait(started)  # type: ignore[no-untyped-call]
