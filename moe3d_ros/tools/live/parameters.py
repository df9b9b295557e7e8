"""Parameters and states of the nodes that run, asked by their standard services, within a time."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
import time
from typing import Any
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rclpy.executors import Executor
    from rclpy.node import Node

LIST_TYPE = 'rcl_interfaces/srv/ListParameters'
SPIN_S = 0.05
SETTLE_S = 0.3  # from the moment that a server is found
AGAIN_S = 1.0


def nodes_with_parameters(node: Node) -> list[str]:
    """Return the full names of the nodes that tell their parameters."""
    suffix = '/list_parameters'
    return sorted(
        name.removesuffix(suffix)
        for name, types in node.get_service_names_and_types()
        if name.endswith(suffix) and LIST_TYPE in types
    )


def read_parameters(
    node: Node, executor: Executor, names: Iterable[str], timeout_s: float
) -> dict[str, dict[str, object]]:
    """
    Return the parameters of nodes.

    Parameters
    ----------
    node : asks.
    executor : spins it.
    names : full names of the nodes to ask.
    timeout_s : how long all together may take.

    Returns
    -------
    Values by names, by node; a node that does not answer in time is missing.
    """
    from rcl_interfaces.srv import GetParameters
    from rcl_interfaces.srv import ListParameters

    listed_s = time.monotonic() + timeout_s / 2  # one that is deaf must not take all the time
    end_s = listed_s + timeout_s / 2
    questions = {name: ListParameters.Request() for name in names}
    listed = ask_all(node, executor, ListParameters, '/list_parameters', questions, listed_s)
    declared = {name: list(answer.result.names) for name, answer in listed.items()}
    questions = {name: GetParameters.Request(names=known) for name, known in declared.items()}
    answers = ask_all(node, executor, GetParameters, '/get_parameters', questions, end_s)
    found: dict[str, dict[str, object]] = {}
    for name, answer in answers.items():
        known = declared[name]
        if len(answer.values) == len(known):
            found[name] = _values(known, answer.values)
        else:  # one that is declared without a value makes rclcpp refuse all of them
            found[name] = _one_by_one(node, executor, name, known, end_s)
    return found


def _one_by_one(
    node: Node, executor: Executor, name: str, known: list[str], end_s: float
) -> dict[str, object]:
    """Return the parameters that have a value."""
    from rcl_interfaces.srv import GetParameters

    client = node.create_client(GetParameters, f'{name}/get_parameters')
    calls = {key: _Call(client, GetParameters.Request(names=[key])) for key in known}
    try:
        _wait(executor, lambda: _all_answered(calls.values()), end_s)
        answers = [(key, call.answer) for key, call in calls.items() if call.answer is not None]
        return {k: v for key, a in answers for k, v in _values([key], a.values).items()}
    finally:
        node.destroy_client(client)


def ask_all(
    node: Node,
    executor: Executor,
    service: Any,  # noqa: ANN401
    suffix: str,
    questions: Mapping[str, Any],
    end_s: float,
) -> dict[str, Any]:
    """
    Ask several nodes the same, all at a time.

    Parameters
    ----------
    node, executor : see `read_parameters`.
    service : the type.
    suffix : of the service's name, behind that of the node.
    questions : by node.
    end_s : on the monotonic clock; answers that have not come by then are left out.
    """
    clients = {name: node.create_client(service, f'{name}{suffix}') for name in questions}
    calls = {name: _Call(client, questions[name]) for name, client in clients.items()}

    try:
        _wait(executor, lambda: _all_answered(calls.values()), end_s)
        answers = {name: call.answer for name, call in calls.items()}
        return {name: answer for name, answer in answers.items() if answer is not None}
    finally:
        for client in clients.values():
            node.destroy_client(client)


class _Call:
    """
    A question that is asked again until it is answered.

    A server that has not yet found the way back to a client it has just met loses its answer.
    """

    def __init__(self, client: Any, request: Any) -> None:  # noqa: ANN401
        self._client, self._request = client, request
        self._next_s: float | None = None  # when to ask
        self._futures: list[Any] = []
        self.answer: Any = None

    def is_answered(self) -> bool:
        """Return whether the answer has come; ask where it is time to."""
        now_s = time.monotonic()
        if self._next_s is None and self._client.service_is_ready():
            self._next_s = now_s + SETTLE_S
        if self._next_s is not None and now_s >= self._next_s:
            self._futures.append(self._client.call_async(self._request))
            self._next_s = now_s + AGAIN_S
        for future in self._futures:
            if future.done() and future.exception() is None:
                self.answer = future.result()
        return self.answer is not None


def _all_answered(calls: Iterable[_Call]) -> bool:
    """Return whether all answers have come; ask for those that have not."""
    return all([call.is_answered() for call in calls])  # a list: each call has its turn


def _values(names: list[str], values: Iterable[Any]) -> dict[str, object]:
    """Return the values of parameters that are set, as Python has them."""
    from rclpy.parameter import parameter_value_to_python

    found = {
        name: parameter_value_to_python(value) for name, value in zip(names, values, strict=False)
    }
    return {name: value for name, value in found.items() if value is not None}


def _wait(executor: Executor, condition: Callable[[], bool], end_s: float) -> None:
    """Spin until a condition holds or the time is over."""
    while not condition() and time.monotonic() < end_s:
        executor.spin_once(timeout_sec=SPIN_S)
