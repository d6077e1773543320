"""One objective over time against what was wanted, as SVG: no script, nothing loaded, in the colours of its page."""

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

from atp.ops.declaration.durations import format_second
from atp.ops.drills.evidence.figures import Objective
from atp.ops.drills.evidence.history import Drill

_WIDTH, _HEIGHT = 720, 216
_LEFT, _RIGHT, _TOP, _BOTTOM = 96, 24, 30, 62
_LANE = _HEIGHT - 40  # where the marks of drills are that measured nothing
_LABEL_WIDTH = 20
_TICKS = (
    (0.01, "10 ms"),
    (0.1, "0.1 s"),
    (1, "1 s"),
    (10, "10 s"),
    (60, "1 min"),
    (600, "10 min"),
    (3_600, "1 h"),
    (21_600, "6 h"),
    (86_400, "1 d"),
    (604_800, "7 d"),
    (2_592_000, "30 d"),
    (31_536_000, "1 a"),
)
_LEAST = 0.01


class _Point(NamedTuple):
    drill: Drill
    objective: Objective


class _Scales(NamedTuple):
    since: float
    until: float
    low: float
    high: float

    def x(self, at: float) -> float:
        """Time, linear."""
        share = (at - self.since) / (self.until - self.since) if self.until > self.since else 0.5
        return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(self, seconds: float) -> float:
        """Seconds, logarithmic: a second and a day have to be seen beside each other."""
        share = math.log(max(seconds, _LEAST) / self.low) / math.log(self.high / self.low)
        return round(_HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM), 1)


def chart(drills: Sequence[Drill], name: str) -> str:
    """The chart of `rpo` or `rto`; empty when no drill has that objective. Pure."""
    points = [_Point(drill, one) for drill in drills for one in drill.done.objectives if one.name == name]
    if not points:
        return ""
    scales = _scales(points)
    dataset, title = escape(points[0].drill.dataset), f"{name.upper()} over time against what was wanted"
    return "\n".join(
        [
            f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{dataset}: {title}">',
            f'<text class="title" x="{_LEFT}" y="16">{title}</text>',
            *_grid(scales),
            *_wanted(points, scales),
            *(_mark(point, scales) for point in points),
            *_axis(points, scales),
            "</svg>",
        ]
    )


def _scales(points: Sequence[_Point]) -> _Scales:
    lengths = [
        max(length, _LEAST)
        for _, one in points
        for length in (one.achieved_seconds, one.wanted_seconds)
        if length is not None
    ] or [1.0, 10.0]
    ticks = [tick for tick, _ in _TICKS]
    low = max([tick for tick in ticks if tick <= min(lengths)], default=ticks[0])
    high = min([tick for tick in ticks if tick > max(lengths)], default=max(lengths) * 2)
    instants = [point.drill.done.lost_at.timestamp() for point in points]
    return _Scales(min(instants), max(instants), low, high)


def _grid(scales: _Scales) -> Iterator[str]:
    for tick, label in _TICKS:
        if scales.low <= tick <= scales.high:
            y = scales.y(tick)
            yield f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>'
            yield f'<text class="tick" x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{label}</text>'


def _wanted(points: Sequence[_Point], scales: _Scales) -> Iterator[str]:
    """The line of what was wanted, as each drill tells it, on to the edge of the chart."""
    steps = [(scales.x(p.drill.done.lost_at.timestamp()), p.objective.wanted_seconds) for p in points]
    for at, (x, wanted) in enumerate(steps):
        if wanted is not None:
            begin = _LEFT if at == 0 else x
            end = steps[at + 1][0] if at + 1 < len(steps) else _WIDTH - _RIGHT
            y = scales.y(wanted)
            yield f'<line class="wanted" x1="{begin}" x2="{end}" y1="{y}" y2="{y}"/>'


def _mark(point: _Point, scales: _Scales) -> str:
    """A dot where it was measured; a cross in a lane of its own where it was not."""
    done, one = point.drill.done, point.objective
    x = scales.x(done.lost_at.timestamp())
    told = escape(f"{point.drill.name}, {format_second(done.lost_at)}: {one.verdict}; {one.told}")
    if one.achieved_seconds is None:
        y = _LANE
        shape = f'<path d="M{x - 5} {y - 5}L{x + 5} {y + 5}M{x - 5} {y + 5}L{x + 5} {y - 5}"/>'
    else:
        shape = f'<circle cx="{x}" cy="{scales.y(one.achieved_seconds)}" r="5"/>'
    return f'<g class="{one.verdict}"><title>{told}</title>{shape}</g>'


def _axis(points: Sequence[_Point], scales: _Scales) -> Iterator[str]:
    """The numbers of the drills, as far as they have room, and the days of the first and the last."""
    yield f'<text class="tick" x="{_LEFT - 8}" y="{_LANE + 4}" text-anchor="end">not measured</text>'
    free = float("-inf")
    for point in points:
        x = scales.x(point.drill.done.lost_at.timestamp())
        if x >= free:
            free = x + _LABEL_WIDTH
            yield f'<text class="tick" x="{x}" y="{_HEIGHT - 20}" text-anchor="middle">{point.drill.done.number}</text>'
    first, last = points[0].drill.done.lost_at, points[-1].drill.done.lost_at
    yield f'<text class="tick" x="{_LEFT}" y="{_HEIGHT - 6}">{first:%Y-%m-%d}</text>'
    if first.date() != last.date():
        yield f'<text class="tick" x="{_WIDTH - 8}" y="{_HEIGHT - 6}" text-anchor="end">{last:%Y-%m-%d}</text>'
