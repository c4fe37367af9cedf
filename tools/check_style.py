#!/usr/bin/env python3
"""Small checks of the text of the sources, each with a name.

  call      in src (but base), include and cli: calls of functions for which base has something
            better, or that have no safe use. Waived on its line by
                /* allow: NAME reason */
  waiver    a waiver that waives nothing, or gives no reason
  path      in any text file: a path of somebody's own machine

usage: check_style.py [ROOT]; exit 0 clean, 1 findings
"""

import os
import re
import sys
from pathlib import Path

CALLS = """strcpy strcat sprintf gets strtok atoi rand localtime sleep
           malloc free calloc realloc""".split()
# A call, and neither a member (x->free, x.free) nor part of a longer name.
CALL = re.compile(r"(?<![\w.>])(" + "|".join(CALLS) + r")\s*\(")
WAIVER = re.compile(r"/\*\s*allow:\s*(\w+)\s*(.*?)\s*\*/")
NOT_CODE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)

MACHINE_PATH = re.compile(r"(?<![\w.~$})/-])/(?:work|root|home|Users)/[\w.]")

SKIP_FOLDERS = {".git", "build", "models", "__pycache__", ".pytest_cache"}
TEXT_BYTES_MAX = 4 << 20


def blank(match):
    """Comments and literals become spaces, so that lines and columns stay."""
    return re.sub(r"[^\n]", " ", match[0])


def check_calls(text):
    code = NOT_CODE.sub(blank, text).split("\n")
    for number, line in enumerate(text.split("\n"), 1):
        waivers = dict(WAIVER.findall(line))
        called = {m[1] for m in CALL.finditer(code[number - 1])}
        for name in sorted(called - waivers.keys()):
            yield number, "call", f"{name}: use what base has, or waive it: /* allow: {name} reason */"
        for name, reason in waivers.items():
            if name not in called:
                yield number, "waiver", f"no call of {name} on this line"
            elif not reason:
                yield number, "waiver", f"{name}: say why"


def check_paths(text):
    for number, line in enumerate(text.split("\n"), 1):
        match = MACHINE_PATH.search(line)
        if match:
            yield number, "path", f"names a place on one machine: {line.strip()[:80]}"


def text_files(root):
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(set(folders) - SKIP_FOLDERS)
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_symlink() or path.stat().st_size > TEXT_BYTES_MAX:
                continue
            data = path.read_bytes()
            if b"\0" not in data:
                yield path, data.decode(errors="replace")


def is_checked_for_calls(relative):
    top = relative.parts[0]
    if relative.suffix not in (".c", ".h", ".inc"):
        return False
    return top in ("include", "cli") or (top == "src" and relative.parts[1] != "base")


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent)
    count = 0
    for path, text in text_files(root):
        relative = path.relative_to(root)
        found = list(check_paths(text))
        if is_checked_for_calls(relative):
            found += check_calls(text)
        for number, rule, what in sorted(found):
            print(f"{relative}:{number}: {rule}: {what}")
            count += 1
    print(f"style: {count} findings" if count else "style: ok")
    sys.exit(bool(count))


if __name__ == "__main__":
    main()
