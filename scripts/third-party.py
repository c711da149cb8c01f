#!/usr/bin/env python3
"""Prints the licences of the crates that are linked into the library, with their texts, for those who pass it on.

Reads from the standard input what cargo tree lists, a crate's "name version" a line, and takes the texts from the
sources that cargo has fetched.
"""

import json
import pathlib
import re
import subprocess
import sys

metadata = json.loads(subprocess.check_output(["cargo", "metadata", "--locked", "--format-version", "1"]))
packages = {(package["name"], package["version"]): package for package in metadata["packages"]}
LICENCE = re.compile(r"^(LICEN[CS]E|COPYING|NOTICE|UNLICENSE)", re.IGNORECASE)

# A text that several crates share word for word is printed once.
crates_of = {}
without_text = []
print("The library contains these crates from https://crates.io:\n")
for line in sorted(set(sys.stdin.read().split("\n")) - {""}):
    name, version = line.split(" ")[:2]
    package = packages[name, version.removeprefix("v")]
    if package["source"] is None:
        continue  # the project's own
    print(f"  {package['name']} {package['version']}: {package['license']}")
    folder = pathlib.Path(package["manifest_path"]).parent
    files = sorted(file for file in folder.iterdir() if LICENCE.match(file.name) and file.is_file())
    for file in files:
        text = file.read_text(encoding="utf-8", errors="replace").strip()
        crates_of.setdefault(text, []).append(f"{package['name']} {package['version']}")
    if not files:
        by = ", ".join(package["authors"]) or package["repository"] or "its authors"
        without_text.append(f"  {package['name']} {package['version']}: by {by}")

if without_text:
    print("\nThese come without a text of their licence:\n")
    print("\n".join(without_text))
for text, crates in crates_of.items():
    print("\n" + "-" * 80 + "\n" + ", ".join(crates) + "\n\n" + text)
