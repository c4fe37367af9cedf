#!/usr/bin/env python3
"""Draws throughput of decode against batch size from the CSV of bench/peers: valet, the bound that
the machine set in the same rounds, and the peers. Medians of the rounds, with their range.

  bench/plot.py build/bench/peers.csv docs/throughput.svg
"""

import argparse
import csv
import math
import statistics
import sys
from html import escape
from pathlib import Path

WIDTH, HEIGHT = 720, 440
LEFT, RIGHT, TOP, BOTTOM = 64, 190, 48, 72
COLOURS = ("#1f6feb", "#d1570b", "#2da44e", "#8250df", "#bf3989", "#57606a")


def read(path):
    """(machine line, rows) of decode."""
    lines = path.read_text().splitlines()
    if not lines or not lines[0].startswith("# "):
        sys.exit(f"{path} does not begin with a machine line")
    rows = [row for row in csv.DictReader(lines[1:]) if row["what"] == "decode"]
    if not rows:
        sys.exit(f"{path} has no figure of decode")
    return lines[0][2:], rows


def series_of(rows, column, keep):
    """[(batch, median, least, most)] of the rows that are kept."""
    batches = {}
    for row in rows:
        if keep(row) and row[column]:
            batches.setdefault(int(row["n"]), []).append(float(row[column]))
    return [(n, statistics.median(v), min(v), max(v)) for n, v in sorted(batches.items())]


def all_series(rows):
    """(name, points) of each line, the bound first."""
    found = [("bound (valet q4_1)", series_of(rows, "limit", lambda r: r["program"] == "valet" and r["file"] == "q4_1"))]
    for name in sorted({(r["program"], r["file"]) for r in rows}, key=lambda p: (p[0] != "valet", p[1] != "q4_1", p)):
        found.append((" ".join(name), series_of(rows, "tokens_per_s", lambda r, n=name: (r["program"], r["file"]) == n)))
    return [(name, points) for name, points in found if points]


class Axes:
    """Batch size on a scale of doublings, tokens/s from zero."""

    def __init__(self, series):
        self.batches = sorted({p[0] for _, points in series for p in points})
        self.top, self.step = self.round_scale(max(p[3] for _, points in series for p in points))

    @staticmethod
    def round_scale(most):
        power = 10 ** math.floor(math.log10(most / 5))
        step = next(power * f for f in (1, 2, 5, 10) if power * f * 5 >= most)
        return step * math.ceil(most / step), step

    def x(self, batch):
        span = math.log2(self.batches[-1] / self.batches[0]) or 1
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log2(batch / self.batches[0]) / span

    def y(self, speed):
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * speed / self.top


def text(x, y, words, anchor="start", size=12, colour="#57606a"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}">{escape(words)}</text>'


def line(x1, y1, x2, y2, colour="#d0d7de", width=1):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"/>'


def draw_axes(axes):
    for n in range(round(axes.top / axes.step) + 1):
        y = axes.y(n * axes.step)
        yield line(LEFT, y, WIDTH - RIGHT, y)
        yield text(LEFT - 8, y + 4, f"{n * axes.step:g}", "end")
    for batch in axes.batches:
        yield text(axes.x(batch), HEIGHT - BOTTOM + 18, str(batch), "middle")
    yield text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - BOTTOM + 38, "sequences in the batch", "middle")


def draw_series(axes, points, colour, is_bound):
    path = " ".join(f"{axes.x(n):.1f},{axes.y(median):.1f}" for n, median, _, _ in points)
    dash = ' stroke-dasharray="6 4"' if is_bound else ""
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>'
    for n, median, least, most in points:
        if not is_bound:
            yield line(axes.x(n), axes.y(least), axes.x(n), axes.y(most), colour)
            yield f'<circle cx="{axes.x(n):.1f}" cy="{axes.y(median):.1f}" r="3" fill="{colour}"/>'


def draw_names(axes, names):
    """Names at the ends of the lines, moved apart where they would touch."""
    last = 0.0
    for y, name, colour in sorted((axes.y(points[-1][1]), name, colour) for name, points, colour in names):
        last = max(y + 4, last + 15)
        yield text(WIDTH - RIGHT + 10, last, name, colour=colour)


def draw(machine, rows):
    series = all_series(rows)
    axes = Axes(series)
    rounds = len({row["round"] for row in rows})
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        text(LEFT, 24, "Decode: tokens/s of all sequences together", size=16, colour="#1f2328"),
        *draw_axes(axes),
    ]
    named = []
    for i, (name, points) in enumerate(series):
        is_bound = name.startswith("bound")
        colour = "#8c959f" if is_bound else COLOURS[(i - 1) % len(COLOURS)]
        out += draw_series(axes, points, colour, is_bound)
        named.append((name, points, colour))
    out += draw_names(axes, named)
    out.append(text(LEFT, HEIGHT - 12, f"{machine}; {rows[0]['threads']} threads; medians and ranges of {rounds} rounds", size=10))
    return "\n".join([*out, "</svg>", ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv", type=Path)
    parser.add_argument("svg", type=Path)
    args = parser.parse_args()
    args.svg.write_text(draw(*read(args.csv)))


if __name__ == "__main__":
    main()
