#!/usr/bin/env python3
"""Writes unicode_table.h, from the Unicode data of the Python that runs it.

    python3 src/template/unicode_make.py > src/template/unicode_table.h

Simple case mappings (one code point to one), as ranges: every step-th code point from first
to last maps to itself plus delta. What repr() does not show as it is, as ranges.
"""

import sys
import unicodedata


def ranges(pairs):
    """[(code point, delta)] to [(first, last, step, delta)]."""
    rows = []
    for c, delta in pairs:
        if rows:
            first, last, step, d = rows[-1]
            if d == delta and (c - last == step or (first == last and c - last <= 2)):
                rows[-1] = (first, c, c - last, d)
                continue
        rows.append((c, c, 1, delta))
    return rows


def mapped(change):
    for i in range(sys.maxunicode + 1):
        to = change(chr(i))
        if len(to) == 1 and ord(to) != i:
            yield i, ord(to) - i


def hidden():
    rows = []
    for i in range(sys.maxunicode + 1):
        if chr(i).isprintable():
            continue
        if rows and rows[-1][1] == i - 1:
            rows[-1][1] = i
        else:
            rows.append([i, i])
    return rows


def table(kind, name, rows):
    print(f"static const struct {kind} {name}[] = {{")
    line = "   "
    for row in rows:
        text = " { " + ", ".join(f"0x{v:x}" if i < 2 else str(v) for i, v in enumerate(row)) + " },"
        if len(line) + len(text) > 98:
            print(line)
            line = "   "
        line += text
    print(line)
    print("};")
    print()


print(f"/* Made by unicode_make.py from Unicode {unicodedata.unidata_version}. */")
print("/* clang-format off */")
table("case_range", "to_upper", ranges(mapped(str.upper)))
table("case_range", "to_lower", ranges(mapped(str.lower)))
table("code_range", "hidden", hidden())
print("/* clang-format on */")
