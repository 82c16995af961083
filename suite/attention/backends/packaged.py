"""The base of backends that call another package's kernel.

Some of them compile at a first call, for minutes, or plan for the lengths of a batch, and each raises errors of its own
for a problem or a device that it does not take. So its set-up, its plan and a first pass over the very inputs come
before anything is timed, and whatever they raise becomes the reason why the case is not run.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from suite.attention.backends import needs
from suite.attention.check import one_pass
from suite.attention.problem import Backend, Problem


class PackagedBackend(Backend, ABC):
    distribution: ClassVar[str]
    """The name that its package is installed by."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        with needs.explained(f"{self.name} cannot use the package {self.distribution}", needs.AbsentError):
            self.set_up(problem)

    @abstractmethod
    def set_up(self, problem: Problem) -> None:
        """Import the package, in so many words, and take from it what a call needs."""

    def plan(self, q_BHSd: Tensor, k_BGTd: Tensor, v_BGTv: Tensor) -> None:
        """Prepare for inputs that lie in memory as these do. By default there is nothing to prepare."""

    def autotuned(self, *inputs: Tensor) -> Backend:
        failure = f"{self.name}: the package {self.distribution} fails on this problem"
        with needs.explained(failure), self.problem.forward_mode():
            self.plan(*inputs)
            one_pass(self, self.problem, *inputs)
        return self
