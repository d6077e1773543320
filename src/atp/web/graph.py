"""The estate as a drawing: what depends on what, in layers, what is needed below what needs it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from atp.limits import GRAPH_NODES_MAX
from atp.ops.estate.declare.values import Estate

WIDTH, HEIGHT = 184, 50
_GAP_X, _GAP_Y, _EDGE = 24, 54, 14
_SWEEPS = 4
_Layers = list[list[str]]


@dataclass(frozen=True, slots=True)
class Node:
    """A thing and where its box begins."""

    name: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Graph:
    """Boxes, the paths between them (SVG path data), and how large all of it is."""

    nodes: tuple[Node, ...]
    edges: tuple[str, ...]
    width: float
    height: float


def graph_of(estate: Estate) -> Graph | None:
    """The drawing of an estate; None when it has nothing, or more things than can be told apart."""
    names = estate.things()
    if not 0 < len(names) <= GRAPH_NODES_MAX:
        return None
    needs = {name: list(estate.needs(name)) for name in names}
    depths = _depths(names, needs)
    layers, chains = _layers(names, needs, depths)
    _untangle(layers, chains)
    return _drawn(layers, chains, set(names))


def _depths(names: Sequence[str], needs: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """How far each thing is from the top at most; of a cycle the dependency that closes it does not count."""
    order, state = list[str](), dict[str, int]()
    back = set[tuple[str, str]]()
    for start in names:
        waiting = [(start, False)]
        while waiting:
            name, is_left = waiting.pop()
            if is_left:
                state[name] = 2
                order.append(name)
            elif name not in state:
                state[name] = 1
                waiting.append((name, True))
                for one in needs[name]:
                    if state.get(one) == 1:
                        back.add((name, one))
                    elif one not in state:
                        waiting.append((one, False))
    depths = dict.fromkeys(names, 0)
    for name in reversed(order):
        for one in needs[name]:
            if (name, one) not in back:
                depths[one] = max(depths[one], depths[name] + 1)
    return depths


def _layers(
    names: Sequence[str], needs: Mapping[str, Sequence[str]], depths: Mapping[str, int]
) -> tuple[_Layers, list[list[str]]]:
    """The things by depth; and each dependency as a chain of names, with a bend in every layer that it passes."""
    layers: _Layers = [[] for _ in range(max(depths.values()) + 1)]
    for name in names:
        layers[depths[name]].append(name)
    chains = []
    for name in names:
        for one in needs[name]:
            upper, lower = sorted((name, one), key=depths.__getitem__)
            bends = [f"{name}/{one}/{depth}" for depth in range(depths[upper] + 1, depths[lower])]
            for depth, bend in enumerate(bends, depths[upper] + 1):
                layers[depth].append(bend)
            chains.append([upper, *bends, lower])
    return layers, chains


def _untangle(layers: _Layers, chains: Sequence[Sequence[str]]) -> None:
    """Put each thing below the middle of its neighbours, down and up again: few lines cross after that."""
    beside = dict[str, list[str]]()
    for chain in chains:
        for upper, lower in pairwise(chain):
            beside.setdefault(upper, []).append(lower)
            beside.setdefault(lower, []).append(upper)
    place = {name: at / max(1, len(layer) - 1) for layer in layers for at, name in enumerate(layer)}
    for sweep in range(_SWEEPS):
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            weight = {
                name: sum(place[one] for one in beside[name]) / len(beside[name]) if name in beside else place[name]
                for name in layer
            }
            layer.sort(key=weight.__getitem__)
            place.update({name: at / max(1, len(layer) - 1) for at, name in enumerate(layer)})


def _drawn(layers: _Layers, chains: Sequence[Sequence[str]], names: set[str]) -> Graph:
    widths = {name: WIDTH if name in names else 0 for layer in layers for name in layer}
    lengths = [sum(widths[name] + _GAP_X for name in layer) - _GAP_X for layer in layers]
    width = max(lengths)
    left, top = dict[str, float](), dict[str, float]()
    for depth, layer in enumerate(layers):
        x = (width - lengths[depth]) / 2
        for name in layer:
            left[name], top[name] = x + _EDGE, depth * (HEIGHT + _GAP_Y) + _EDGE
            x += widths[name] + _GAP_X
    edges = tuple(_path(chain, left, top, widths) for chain in chains)
    nodes = tuple(Node(name, left[name], top[name]) for layer in layers for name in layer if name in names)
    return Graph(nodes, edges, width + 2 * _EDGE, len(layers) * (HEIGHT + _GAP_Y) - _GAP_Y + 2 * _EDGE)


def _path(chain: Sequence[str], left: Mapping[str, float], top: Mapping[str, float], widths: Mapping[str, int]) -> str:
    """A curve from the lower edge of the first to the upper edge of the last, straight past what is between."""
    middle = {name: left[name] + widths[name] / 2 for name in chain}
    path, y = f"M{middle[chain[0]]:g} {top[chain[0]] + HEIGHT:g}", top[chain[0]] + HEIGHT
    for upper, lower in pairwise(chain):
        bend = (y + top[lower]) / 2
        path += f"C{middle[upper]:g} {bend:g} {middle[lower]:g} {bend:g} {middle[lower]:g} {top[lower]:g}"
        y = top[lower]
        if lower != chain[-1]:
            y += HEIGHT
            path += f"V{y:g}"
    return path
