#!/usr/bin/env python3
"""How much of src/ the tests of a build with --coverage have run: a table of lines by folder, in
Markdown. Exit status 1 where it is below what is asked for.

usage: coverage.py BUILD [FOLDER]
FOLDER: the files of this folder of src/ as well, with the lines that were not run.
"""

import json
import subprocess
import sys
from pathlib import Path

SRC = Path(__file__).resolve().parent.parent / "src"
BATCH = 50  # files for one gcov
MIN_PERCENT = {"park": 95.0, "all": 85.0}
WHOLE = "all"


def read_counts(data):
    """What gcov says of some objects; one that never ran counts as well."""
    command = ["gcov", "--json-format", "--stdout", *map(str, data)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    if done.returncode != 0:
        sys.exit("coverage: gcov failed")
    return [json.loads(line) for line in done.stdout.splitlines()]


def measure(build):
    """{file below src/: {line: whether it was run}}; a file may have been compiled several times"""
    data = sorted((build / "src").rglob("*.gcno"))
    if not data:
        sys.exit(f"coverage: {build} was not built with VALET_COVERAGE")
    files = {}
    for document in (d for at in range(0, len(data), BATCH) for d in read_counts(data[at : at + BATCH])):
        for file in document["files"]:
            path = (Path(document["current_working_directory"]) / file["file"]).resolve()
            if SRC not in path.parents or not path.exists():  # an object outlives its source
                continue
            lines = files.setdefault(path.relative_to(SRC), {})
            for line in file["lines"]:
                number = line["line_number"]
                lines[number] = lines.get(number, False) or line["count"] != 0
    return files


def percent(covered, total):
    return 100.0 * covered / total if total else 100.0


def count(lines):
    return sum(lines.values()), len(lines)


def by_folder(files):
    """{folder: (lines run, lines)}, the whole last"""
    folders = {}
    for name, lines in files.items():
        for key in (name.parts[0], WHOLE):
            covered, total = folders.get(key, (0, 0))
            run, here = count(lines)
            folders[key] = (covered + run, total + here)
    return {key: folders[key] for key in sorted(folders, key=lambda key: (key == WHOLE, key))}


def ranges(numbers):
    """[1, 2, 3, 7] as '1-3,7'"""
    parts = []
    for number in sorted(numbers):
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def print_table(folders):
    print("| folder | lines run | lines | % |")
    print("|---|--:|--:|--:|")
    for key, (covered, total) in folders.items():
        name = key if key == WHOLE else f"`{key}`"
        print(f"| {name} | {covered:,} | {total:,} | {percent(covered, total):.1f} |")


def print_files(files, folder):
    for name, lines in sorted(files.items()):
        if name.parts[0] == folder:
            missing = ranges(number for number, is_run in lines.items() if not is_run)
            print(f"{percent(*count(lines)):6.1f} %  {name}  {missing}")


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    files = measure(Path(sys.argv[1]).resolve())
    folders = by_folder(files)
    print_table(folders)
    if len(sys.argv) == 3:
        print_files(files, sys.argv[2])
    status = 0
    for key, least in MIN_PERCENT.items():
        share = percent(*folders.get(key, (0, 1)))
        if share < least:
            print(f"coverage: {key}: {share:.1f} % of lines, less than {least:.0f} %", file=sys.stderr)
            status = 1
    sys.exit(status)


if __name__ == "__main__":
    main()
