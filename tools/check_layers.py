#!/usr/bin/env python3
"""Checks that each folder includes only what its line in src/LAYERS names.

Rules, with the words they are reported by:
  layer     a file in src/F includes src/G only if G is F itself or on F's line
  public    include/park and include/valet are open to every folder above base, and
            include nothing but themselves and the system
  private   a header *_int.h stays in its own folder
  path      "..." includes are paths from src or include
  listed    every folder of src has a line in LAYERS, below the folders it names,
            and a README.md
cli may include everything but private headers, its own ones by their names.

usage: check_layers.py [ROOT]; exit 0 clean, 1 broken rules, 2 wrong usage
"""

import re
import sys
from pathlib import Path

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')


class Checker:
    def __init__(self, root):
        self.root = root
        self.src = root / "src"
        self.faults = []
        self.layers = self.read_layers()

    def fault(self, path, line, rule, text):
        self.faults.append(f"{path.relative_to(self.root)}:{line}: {rule}: {text}")

    def read_layers(self):
        path = self.src / "LAYERS"
        layers = {}
        for number, line in enumerate(path.read_text().splitlines(), 1):
            line = line.split("#")[0].strip()
            if not line:
                continue
            folder, colon, rest = line.partition(":")
            folder, allowed = folder.strip(), rest.split()
            if not colon or folder in layers:
                self.fault(path, number, "listed", f"not one 'folder: folders' line: {line}")
            for name in allowed:
                if name not in layers:
                    self.fault(path, number, "listed", f"{folder} names {name}, which is not above it")
            layers[folder] = allowed
        return layers

    def check_folders(self):
        for folder in sorted(p for p in self.src.iterdir() if p.is_dir()):
            if not any(p.is_file() for p in folder.rglob("*")):
                continue  # git does not keep empty folders
            if folder.name not in self.layers:
                self.fault(self.src / "LAYERS", 1, "listed", f"no line for src/{folder.name}")
            if not (folder / "README.md").is_file():
                self.fault(folder / "README.md", 1, "listed", "missing")

    def target_of(self, path, quote, name):
        """(kind, folder) of an include: kind is src, public, system or unknown."""
        if (self.root / "include" / name).is_file():
            return "public", name.split("/")[0]
        if "/" in name and (self.src / name).is_file():
            return "src", name.split("/")[0]
        return ("system" if quote == "<" else "unknown"), None

    def check_include(self, path, line, folder, quote, name):
        kind, target = self.target_of(path, quote, name)
        if kind == "system" or (folder == "cli" and (path.parent / name).is_file()):
            return
        if kind == "unknown":
            self.fault(path, line, "path", f'"{name}" is no path from src or include')
        elif folder == "include":
            if kind != "public":
                self.fault(path, line, "public", f"a public header includes {name}")
        elif kind == "public":
            if folder == "base":
                self.fault(path, line, "public", f"base includes {name}, which is above it")
        elif name.endswith("_int.h") and target != folder:
            self.fault(path, line, "private", f"{name} belongs to src/{target} alone")
        elif folder not in ("cli", target) and target not in self.layers.get(folder, []):
            allowed = " ".join(self.layers.get(folder, [])) or "nothing"
            self.fault(path, line, "layer", f"{folder} may not include {name} (it may: {allowed})")

    def check_file(self, path):
        parts = path.relative_to(self.root).parts
        folder = parts[1] if parts[0] == "src" else parts[0]
        for number, text in enumerate(path.read_text(errors="replace").splitlines(), 1):
            match = INCLUDE.match(text)
            if match:
                self.check_include(path, number, folder, *match.groups())

    def run(self):
        self.check_folders()
        for top in ("src", "include", "cli"):
            for path in sorted((self.root / top).rglob("*")):
                if path.suffix in (".c", ".h", ".inc") and path.is_file():
                    self.check_file(path)
        return self.faults


def main():
    if len(sys.argv) > 2:
        sys.exit(__doc__)
    root = Path(sys.argv[1]) if len(sys.argv) == 2 else Path(__file__).resolve().parent.parent
    if not (root / "src" / "LAYERS").is_file():
        print(f"check_layers: no src/LAYERS under {root}", file=sys.stderr)
        sys.exit(2)
    faults = Checker(root).run()
    for fault in faults:
        print(fault)
    print(f"layers: {len(faults)} broken" if faults else "layers: ok")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
