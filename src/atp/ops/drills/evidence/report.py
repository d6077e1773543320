"""The drills as a report, drawn from their events alone: Markdown, and one HTML page that loads nothing."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape

from atp.ops.declaration.durations import format_second
from atp.ops.drills.evidence.chart import chart
from atp.ops.drills.evidence.history import Drill
from atp.ops.drills.evidence.measure import account_told, damage_told, recorded_told
from atp.ops.estate.evidence.signoff import Review

Missing = Mapping[str, Sequence[int]]
Reviews = Mapping[str, Sequence[Review]]
Rows = list[tuple[str, ...]]

_NONE: Reviews = {}
_HEADS = ("drill", "lost at", "scenario", "verdict", "RTO", "RPO", "backup", "by")
_STYLE = """\
:root { color-scheme: light dark; --page: #f7f8f9; --panel: #fff; --text: #1b1f24; --muted: #57606a; --line: #d9dee3; \
--green: #1a6b35; --amber: #8a4b00; --red: #b3261e; --accent: #0b5cad; }
@media (prefers-color-scheme: dark) { :root { --page: #111418; --panel: #181c21; --text: #e4e8ec; --muted: #9aa5b1; \
--line: #2d343c; --green: #6bcf8e; --amber: #f0b35a; --red: #ff8a80; --accent: #79b8ff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 64rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.8rem; margin: 0; } h2 { font-size: 1.25rem; margin: 2.4rem 0 .6rem; } h3 { font-size: 1rem; }
p { color: var(--muted); margin: .3rem 0 1rem; overflow-wrap: anywhere; }
.wide { overflow-x: auto; margin: 0 0 .8rem; background: var(--panel); border: 1px solid var(--line); \
border-radius: 10px; }
table { width: 100%; border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .7rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
td { min-width: 5rem; overflow-wrap: break-word; } td:first-child { min-width: 6.5rem; }
thead th { color: var(--muted); font-weight: 550; }
tbody tr:last-child > * { border-bottom: 0; }
svg { display: block; width: 100%; min-width: 36rem; height: auto; }
svg text { fill: var(--text); font: 11px system-ui, sans-serif; } svg .title { font-size: 13px; font-weight: 600; }
svg .tick { fill: var(--muted); } svg .grid { stroke: var(--line); }
svg .wanted { stroke: var(--accent); stroke-width: 2; stroke-dasharray: 6 4; }
.pass { color: var(--green); } .insufficient { color: var(--amber); } .fail, .error { color: var(--red); }
svg g { fill: currentColor; stroke: currentColor; stroke-width: 2; } td.pass, td.fail, td.error, td.insufficient \
{ font-weight: 600; }
@media print { :root { --page: #fff; --panel: #fff; --text: #000; } h2, svg { break-inside: avoid; } }
"""


def as_markdown(estate: str, drills: Sequence[Drill], missing: Missing, reviews: Reviews = _NONE) -> str:
    """The report as Markdown; `reviews` by drill. Pure."""
    parts = [f"# Restore drills of {_md(estate)}", _summary(drills, missing)]
    for dataset in _datasets(drills):
        of = [drill for drill in drills if drill.dataset == dataset]
        parts += [f"## {_md(dataset)}", _md_table(_HEADS, [_row(drill) for drill in of])]
        parts += [_md(line) for line in _gaps(dataset, missing)]
        for drill in of:
            parts += [
                f"### {_md(drill.name)}: {drill.done.verdict}",
                *(_md(line) for line in _lines(drill, reviews)),
            ]
            parts += [_md_table(heads, rows) for heads, rows in _tables(drill)]
    return "\n\n".join(parts) + "\n"


def as_html(estate: str, drills: Sequence[Drill], missing: Missing, reviews: Reviews = _NONE) -> str:
    """The report as one HTML page, with charts of RPO and RTO over time; follows the dark mode of its reader. `reviews`
    by drill. Pure."""
    title = f"Restore drills of {escape(estate)}"
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f"<title>{title}</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>",
        f"<p>{escape(_summary(drills, missing))}</p>",
    ]
    for dataset in _datasets(drills):
        of = [drill for drill in drills if drill.dataset == dataset]
        parts.append(f"<h2>{escape(dataset)}</h2>")
        parts += [f'<div class="wide">{drawn}</div>' for name in ("rpo", "rto") if (drawn := chart(of, name))]
        parts.append(_html_table(_HEADS, [_row(drill) for drill in of]))
        parts += [f"<p>{escape(line)}</p>" for line in _gaps(dataset, missing)]
        for drill in of:
            parts.append(f"<h3>{escape(drill.name)}: {drill.done.verdict}</h3>")
            parts += [f"<p>{escape(line)}</p>" for line in _lines(drill, reviews)]
            parts += [_html_table(heads, rows) for heads, rows in _tables(drill)]
    return "\n".join([*filter(None, parts), "</main>\n</body>\n</html>\n"])


def _summary(drills: Sequence[Drill], missing: Missing) -> str:
    green = sum(drill.done.verdict == "pass" for drill in drills)
    gone = sum(len(numbers) for numbers in missing.values())
    return f"Drills: {len(drills)}, of which passed: {green}, numbers that are missing: {gone}."


def _datasets(drills: Sequence[Drill]) -> list[str]:
    return sorted({drill.dataset for drill in drills})


def _row(drill: Drill) -> tuple[str, ...]:
    done = drill.done
    lengths = (_seconds(done.rto_seconds), _seconds(done.rpo_seconds))
    lost_at = format_second(done.lost_at)
    return (
        drill.name,
        lost_at,
        done.scenario + damage_told(done.damaged_at),
        done.verdict,
        *lengths,
        done.backup or "none",
        drill.by,
    )


def _lines(drill: Drill, reviews: Reviews) -> Iterator[str]:
    done = drill.done
    if done.classification:
        yield f"The data is {done.classification}; {done.owner or 'nobody'} answers for it."
    if account := account_told(done):
        yield f"It ran as {account}."
    yield f"Judged by the estate file with sha256 {done.estate_sha256}."
    yield f"Legs after the loss: {', '.join(f'{leg.name} {leg.seconds:.3f} s' for leg in done.legs) or 'none'}."
    if done.backup:
        yield f"Backup {done.backup} from {done.repository}, manifest sha256 {done.manifest_sha256}."
    if done.recorded:
        yield f"Held against the operators' trail: {recorded_told(done.recorded)}."
    if done.lock:
        yield f"Lock of {done.lock.repository}: {done.lock.verdict}{'; '.join(('', *done.lock.succeeded))}."
    if done.ratio_to_raw_copy is not None:
        yield f"The restore took {done.ratio_to_raw_copy:.2f} times as long as a raw copy of its bytes."
    if done.missed_slots:
        yield f"Before it a drill was due and none came: {', '.join(map(format_second, done.missed_slots))}."
    if done.forced:
        yield f"It was forced: {done.forced}"
    if done.statement:
        signed = done.statement
        yield f"Statement sha256 {signed.sha256}, signed by {signed.signed_by} ({signed.whose})."
        yield f"The statement before it: {f'sha256 {done.previous_sha256}' if done.previous_sha256 else 'none'}."
    for review in reviews.get(drill.id, ()):
        yield f"Reviewed {review.sentence}"


def _tables(drill: Drill) -> Iterator[tuple[Sequence[str], Rows]]:
    """What was judged, asked, and tried on the lock; what there is none of is left out."""
    done = drill.done
    yield ("objective", "verdict", "why"), [(one.name, one.verdict, one.told) for one in done.objectives]
    if done.answers:
        answers: Rows = [(one.name, "yes" if one.passed else "NO", one.told) for one in done.answers]
        yield ("question", "ok", "answer"), answers
    if done.attempts:
        tried: Rows = [(one.tried, "refused" if one.refused else "DONE", one.answer) for one in done.attempts]
        yield ("tried on the lock", "came of it", "the store answered"), tried


def _gaps(dataset: str, missing: Missing) -> Iterator[str]:
    for number in missing.get(dataset, ()):
        yield f"{dataset}/{number} is missing: it was begun and never ended, or was taken away."


def _seconds(length: float | None) -> str:
    return "not measured" if length is None else f"{length:,.3f} s"


def _md(text: str) -> str:
    return "".join(f"\\{char}" if char in "\\`*_[]<>|#" else " " if char in "\r\n" else char for char in text)


def _md_table(heads: Sequence[str], rows: Rows) -> str:
    lines = [heads, ["---"] * len(heads), *([_md(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _html_table(heads: Sequence[str], rows: Rows) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "\n".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'


def _cell(text: str) -> str:
    kind = f' class="{text}"' if text in ("pass", "fail", "error", "insufficient") else ""
    return f"<td{kind}>{escape(text)}</td>"
