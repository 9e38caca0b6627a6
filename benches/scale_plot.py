"""Draws benches/results/scale.json: what a store costs, against the number of its secrets. The same figures give the
same bytes."""

import json
import math
import sys

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 320, 220, 52, 40, 20, 30
COLOURS = ["#1f5fa8", "#c8501e", "#3a8f4b"]


def panels(sizes):
    """Title, whether the axis is logarithmic, and lines: name and a figure for each size."""

    def line(name, *path, scale=1.0):
        def figure(size):
            for step in path:
                size = size[step]
            return size * scale

        return name, [figure(size) for size in sizes]

    mib = 1 / 1024
    per_secret = [(size["after_creates"]["store_bytes"]) / size["secrets"] for size in sizes]
    return [
        ("writes a second, 64 connections", False, [
            line("creates", "creates", "median_per_s"), line("updates", "updates", "median_per_s")]),
        ("memory, MiB", False, [
            line("after creates", "after_creates", "rss_kib", scale=mib),
            line("after updates", "after_updates", "rss_kib", scale=mib),
            line("after a start", "after_start", "rss_kib", scale=mib)]),
        ("start to first read, ms", True, [
            line("after a clean stop", "clean_stop", "median_start_to_first_read_ms"),
            line("after a kill", "kill", "median_start_to_first_read_ms")]),
        ("page of 100, median ms", False, [
            line(place, "page_of_100", place, "p50_ms") for place in ("first", "middle", "last")]),
        ("label of 1 in 1,000, ms", True, [
            line("a page", "selected_1_in_1000", "page", "p50_ms"),
            line("all of them", "selected_1_in_1000", "all_ms")]),
        ("bytes on disk a secret", True, [("store", per_secret)]),
    ]


def short(number):
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:g}{name}"
    return f"{number:g}"


def nice(most):
    """A round number that is not below."""
    power = 10 ** math.floor(math.log10(most))
    return next(step * power for step in (1, 2, 4, 6, 8, 10) if step * power >= most)


def panel(out, x, y, secrets, title, logarithmic, lines):
    right, bottom = x + WIDTH - RIGHT, y + HEIGHT - BOTTOM
    left, top = x + LEFT, y + TOP
    figures = [figure for _, line in lines for figure in line]
    if logarithmic:
        low, high = math.floor(math.log10(min(figures))), math.ceil(math.log10(max(figures)))
        ticks = [10.0**power for power in range(low, high + 1)]
        share = lambda figure: (math.log10(figure) - low) / max(high - low, 1)
    else:
        most = nice(max(figures))
        ticks = [most * quarter / 4 for quarter in range(5)]
        share = lambda figure: figure / most
    first, last = math.log10(secrets[0]), math.log10(secrets[-1])
    across = lambda count: left + (right - left) * (math.log10(count) - first) / (last - first)
    up = lambda figure: bottom - (bottom - top) * share(figure)

    out.append(f'<text x="{left}" y="{y + 16}" class="title">{title}</text>')
    for tick in ticks:
        out.append(f'<path d="M{left} {up(tick):.1f}H{right}" class="grid"/>')
        out.append(f'<text x="{left - 5}" y="{up(tick) + 4:.1f}" text-anchor="end">{short(tick)}</text>')
    for count in secrets:
        out.append(f'<text x="{across(count):.1f}" y="{bottom + 15}" text-anchor="middle">{short(count)}</text>')
    place = left
    for (name, line), colour in zip(lines, COLOURS):
        points = " ".join(f"{across(count):.1f},{up(figure):.1f}" for count, figure in zip(secrets, line))
        out.append(f'<polyline points="{points}" stroke="{colour}" class="line"/>')
        out.append(f'<text x="{place}" y="{y + 31}" fill="{colour}">{name}</text>')
        place += 7 * len(name) + 8


def main(source, target):
    with open(source, encoding="ascii") as file:
        measured = json.load(file)
    sizes = [size for size in measured["sizes"] if size["value_bytes"] == 200]
    secrets = [size["secrets"] for size in sizes]
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{3 * WIDTH}" height="{2 * HEIGHT + 24}" '
        f'viewBox="0 0 {3 * WIDTH} {2 * HEIGHT + 24}">',
        "<style>text{font:11px sans-serif}.title{font-weight:bold}.grid{stroke:#ddd}"
        ".line{fill:none;stroke-width:2}</style>",
        '<rect width="100%" height="100%" fill="#fff"/>',
    ]
    for number, (title, logarithmic, lines) in enumerate(panels(sizes)):
        panel(out, number % 3 * WIDTH, number // 3 * HEIGHT, secrets, title, logarithmic, lines)
    about = f"secrets of 200 bytes in the store; {measured['machine']}; {measured['command']} at {measured['commit'][:12]}"
    out += [f'<text x="{LEFT}" y="{2 * HEIGHT + 12}">{about}</text>', "</svg>"]
    with open(target, "w", encoding="ascii") as file:
        file.write("\n".join(out) + "\n")


main(*sys.argv[1:])
