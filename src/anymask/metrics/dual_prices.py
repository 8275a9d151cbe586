"""The pairing that is worth most, kept while nodes come and go: an assignment problem with dual prices (Kuhn 1955).

Every node has a price of at least 0; the prices of two neighbours add up to at least what their edge is worth, and to
exactly that if they are paired; the price of a node alone is 0. While that holds, no other pairing is worth more. A
node that comes or goes breaks it in one place, and the shortest path from there mends it (Dijkstra 1959), where an edge
is as long as its prices exceed its worth. The path ends at a node that is free, or is better set free; the nearest end
found so far bounds the search, which so stays local.

There are two sides and edges only between them. With numba installed ``compiled`` makes machine code of the functions
here, without it Python runs them as they stand: the pairs are the same.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from heapq import heappop, heappush
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

__all__ = ["FAR", "FREE", "Network", "advance", "compiled"]

FREE = -1
"""In place of a partner."""
FAR = 2**60
"""Beyond every price and every distance."""

Integers = Int[np.ndarray, "..."] | list[int]


class Network(NamedTuple):
    """Nodes, the edges between them, and the state of the pairing.

    Lists or arrays: Python reads lists faster, numba arrays.
    """

    first: Integers  # of each node, and one more: where its edges begin
    neighbour: Integers  # of each edge, which stands at both its nodes: the other node
    worth: Integers  # of each edge
    price: Integers  # of each node; FAR while it is away
    partner: Integers  # of each node, or FREE
    distance: Integers  # of each node, FAR between two searches
    via: Integers  # of each node: the one before it on the path


def advance(net: Network, leaving: Integers, entering: Integers) -> None:
    """Some nodes go, then others come."""
    for node in leaving:
        _remove(net, node)
    for node in entering:
        net.price[node] = 0
        _settle(net, node)


def _remove(net: Network, node: int) -> None:
    partner = net.partner[node]
    net.price[node] = FAR
    if partner != FREE:
        net.partner[node] = net.partner[partner] = FREE
        _settle(net, partner)


def _settle(net: Network, start: int) -> None:
    """Pair a free node, or leave it free at the price 0; its price may be anything, all others are right."""
    reached = [start]  # numba learns the type of a list from what is in it
    reached.clear()
    length, end = _search(net, start, reached)
    _change_prices(net, start, reached, length)
    if end != start:
        _flip(net, start, end)


def _search(net: Network, start: int, reached: list[int]) -> tuple[int, int]:
    """The length of the shortest path to an end, and that end; ``reached`` gets the nodes of the other side around it.

    An end is a free node of the other side, or a node of this side, which is set free at the length of its price. To
    the start itself belongs its price. The first edges are below 0 where the start's price is still too low.
    """
    nodes = len(net.price)
    length, end = net.price[start], start
    node, before = start, net.price[start]
    heap = [start]  # distance times the number of nodes, plus the node
    heap.clear()
    while True:
        for edge in range(net.first[node], net.first[node + 1]):
            other = net.neighbour[edge]
            distance = before + net.price[other] - net.worth[edge]
            if distance >= length or distance >= net.distance[other]:
                continue
            if net.distance[other] == FAR:
                reached.append(other)
            net.distance[other] = distance
            net.via[other] = node
            partner = net.partner[other]
            if partner == FREE:
                length, end = distance, other
                continue
            if distance + net.price[partner] < length:
                length, end = distance + net.price[partner], partner
            heappush(heap, distance * nodes + partner)
        if len(heap) == 0 or heap[0] // nodes >= length:
            return length, end
        key = heappop(heap)
        node, before = key % nodes, key // nodes + net.price[key % nodes]


def _change_prices(net: Network, start: int, reached: list[int], length: int) -> None:
    """The prices then meet the worth all along the path, and nowhere fall short of it."""
    net.price[start] -= length
    for other in reached:
        gain = length - net.distance[other]
        net.distance[other] = FAR
        if gain > 0:
            net.price[other] += gain
            net.price[net.partner[other]] -= gain


def _flip(net: Network, start: int, end: int) -> None:
    """Along the path, every second edge becomes a pair in place of the others."""
    other = net.partner[end]
    if other == FREE:
        other = end
    else:
        net.partner[end] = FREE
    node = FREE
    while node != start:
        node = net.via[other]
        following = net.partner[node]
        net.partner[node] = other
        net.partner[other] = node
        other = following


@cache
def compiled() -> Callable[[Network, Integers, Integers], None]:
    """``advance`` in machine code, which numba keeps on the disk for the next process.

    Raises ImportError without numba.
    """
    from numba import njit
    from numba.extending import overload

    for function in (_remove, _settle, _search, _change_prices, _flip):
        overload(function, strict=False)(_as_it_stands(function))
    return njit(cache=True)(inspect.unwrap(advance))


def _as_it_stands(function: Callable[..., Any]) -> Callable[..., Callable[..., Any]]:
    """What numba asks for each combination of types: the function to compile, without the checks of the tests."""
    plain = inspect.unwrap(function)
    return lambda *types: plain
