"""Draws a result of `scripts/bench --json` as SVG: on top what each way to serve reaches of the
hand-written epoll server, below a dot for every bar, the further right the better. The picture
brings its own background, for light pages and for dark ones, and is the same for the same result.
"""

import math
import statistics
from html import escape

import bars

WIDTH, LEFT, RIGHT, STEP = 860, 345, 75, 20
STYLE = """
  .back { fill: #ffffff } text { fill: #24292f; font: 12px sans-serif } .dim { fill: #6e7781 }
  .head { font-weight: bold } .axis { stroke: #8c959f } .grid { stroke: #d0d7de }
  .native { fill: #8c959f } .green { fill: #2da44e } .peer { fill: #0969da }
  .yes { fill: #2da44e; fill-opacity: .6 } .no { fill: #cf222e; fill-opacity: .8 }
  @media (prefers-color-scheme: dark) {
    .back { fill: #0d1117 } text { fill: #e6edf3 } .dim { fill: #8d96a0 } .grid { stroke: #30363d }
  }"""


class Picture:
    def __init__(self):
        self.parts, self.y = [], 14

    def text(self, x, y, words, style="", anchor="start"):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" class="{style}" text-anchor="{anchor}">'
                          f"{escape(words)}</text>")

    def box(self, x, y, width, height, style):
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" '
                          f'height="{height:.1f}" class="{style}"/>')

    def upright(self, x, top, bottom, style):
        self.parts.append(f'<line x1="{x:.1f}" y1="{top:.1f}" x2="{x:.1f}" y2="{bottom:.1f}" '
                          f'class="{style}"/>')

    def heading(self, words, below):
        self.y += 12
        self.text(16, self.y, words, "head")
        self.text(16, self.y + 16, below, "dim")
        self.y += 24

    def svg(self):
        height = self.y + 16
        return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
                f'viewBox="0 0 {WIDTH} {height}">\n<style>{STYLE}\n</style>\n'
                f'<rect width="{WIDTH}" height="{height}" rx="6" class="back"/>\n' +
                "\n".join(self.parts) + "\n</svg>\n")


def shares(result):
    """{what: [(name, style, share of the epoll server)]} of the rows of requests per second. Shares
    are medians of the rounds' own ratios, as in the table."""
    found = {}
    for line in result["lines"]:
        values = result["values"].get(line["key"], {})
        if not line["key"].endswith(".rate") or "epoll" not in values:
            continue
        row = found.setdefault(line["what"], {})
        for kind in ("native", "green", *bars.PEERS):
            if kind in values and kind not in row:
                share = statistics.median(a / b for a, b in zip(values[kind], values["epoll"]))
                row[kind] = (bars.PEERS.get(kind, kind), "peer" if kind in bars.PEERS else kind,
                             share)
    return {what: list(row.values()) for what, row in found.items()}


def draw_shares(picture, result):
    rows = shares(result)
    if not rows:
        return
    picture.heading("Requests per second, as a share of a hand-written epoll server",
                    "medians; the same unmodified thread-per-connection program natively and green")
    span = WIDTH - LEFT - RIGHT
    most = max(1.1, *(share for row in rows.values() for *_, share in row))
    top = picture.y
    grid = len(picture.parts)
    for what, row in rows.items():
        picture.text(16, picture.y + 12, what)
        for name, style, share in row:
            picture.text(LEFT - 8, picture.y + 12, name, "dim", "end")
            picture.box(LEFT, picture.y + 3, span * share / most, 11, style)
            picture.text(LEFT + span * share / most + 5, picture.y + 12, f"{share:.2f}", "dim")
            picture.y += 14
        picture.y += 5
    lines_before = picture.parts[grid:]
    del picture.parts[grid:]
    for share in (0.25, 0.5, 0.75, 1):
        picture.upright(LEFT + span * share / most, top, picture.y,
                        "axis" if share == 1 else "grid")
    picture.parts += lines_before
    picture.y += 10


def times_the_bar(line):
    """How much better than it has to be, in doublings; endless where there is nothing to divide."""
    value, bound = line["value"], line["bound"]
    if line["sense"] == "<=":
        value, bound = bound, value
    if min(value, bound) > 0:
        return math.log2(value / bound)
    return math.inf if line["met"] else -math.inf


def draw_bars(picture, lines):
    sections = {}
    for line in lines:
        if line["met"] is not None and line["value"] is not None:
            sections.setdefault((line["bar"], line["section"]), []).append(line)
    judged = [line["met"] for section in sections.values() for line in section]
    if not judged:
        return
    picture.heading(f"{sum(judged)} of {len(judged)} bars are met",
                    "a dot for each, on a scale of how many times better it is than it has to be")
    middle, span, reach = (LEFT + WIDTH - RIGHT) / 2, (WIDTH - RIGHT - LEFT) / 2, 3
    for power in range(-reach, reach + 1):
        x = middle + span * power / reach
        bottom = picture.y + STEP * len(sections)
        picture.upright(x, picture.y, bottom, "axis" if power == 0 else "grid")
        label = f"{2 ** power}" if power >= 0 else f"1/{2 ** -power}"
        picture.text(x, bottom + 13, label, "dim", "middle")
    for (bar, section), found in sections.items():
        picture.text(16, picture.y + 14, f"{bar}  {section}")
        for line in sorted(found, key=lambda line: not line["met"]):  # what is not met lies on top
            x = middle + span * max(-reach, min(reach, times_the_bar(line))) / reach
            picture.parts.append(
                f'<circle cx="{x:.1f}" cy="{picture.y + 10:.1f}" r="4.5" '
                f'class="{"yes" if line["met"] else "no"}"><title>'
                f'{escape(line["what"])}: {line["compared"]} {line["value"]:.3g}</title></circle>')
        met = sum(line["met"] for line in found)
        picture.text(WIDTH - 16, picture.y + 14, f"{met} of {len(found)}", "dim", "end")
        picture.y += STEP
    picture.y += 20


def svg(result):
    picture = Picture()
    machine = result["machine"]
    rounds = f"rounds: {result['rounds']}, {result['seconds']:g} s each"
    picture.text(16, picture.y + 8, f"{machine['cpu']}, {machine['cpus']} CPUs, "
                 f"Linux {machine['kernel']}; {rounds}", "dim")
    picture.y += 16
    draw_shares(picture, result)
    draw_bars(picture, result["lines"])
    return picture.svg()
