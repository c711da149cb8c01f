#!/usr/bin/env python3
"""Checks that no Rust file of src/ and of crates/*/src/ imports another in a circle. Called by lint.sh.

An import is a path that begins with crate::, super:: or self::, in code that is not for tests. A path means the file of its
longest part that is a module; a name that a mod.rs re-exports means the file that it comes from.
"""

import pathlib
import re
import sys

PATH = re.compile(r"\b(crate|super|self)((?:::\w+)+)?((?:::)?\{)?")


def module_of(file, root):
    parts = file.relative_to(root).with_suffix("").parts
    return parts[:-1] if parts[-1] in ("mod", "lib", "main") else parts


def code_of(file):
    """The text without comments and strings, up to the tests at its end."""
    text = re.sub(r"//.*", "", file.read_text())
    text = re.sub(r'"(?:\\.|[^"\\])*"', '""', text)
    return re.split(r"#\[cfg\(test\)\]\s*mod \w+ \{", text)[0]


def group(text, start):
    """The items of the braces that open before `start`, each as a list of names."""
    depth, item, items = 1, "", []
    for character in text[start:]:
        if character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
        if depth == 0 or depth == 1 and character == ",":
            items.append(item.strip())
            item = ""
            if depth == 0:
                break
        else:
            item += character
    return [re.split(r"::|\{| as ", item)[:8] for item in items if item]


def imports(file, module):
    text = code_of(file)
    for match in PATH.finditer(text):
        start, names = match[1], (match[2] or "").strip(":").split("::")
        names = [name for name in names if name]
        base = () if start == "crate" else module
        if start == "super":
            base = base[:-1]
            while names and names[0] == "super":
                base, names = base[:-1], names[1:]
        rest = group(text, match.end()) if match[3] else [[]]
        for item in rest:
            yield base + tuple(names) + tuple(name.strip() for name in item if name.strip())


def circles(root):
    files = {module_of(file, root): file for file in root.rglob("*.rs")}
    exported = {}
    for module, file in files.items():
        for names in re.findall(r"pub use (\w[\w:]*(?:::\{[^}]*\})?);", code_of(file)):
            path, _, group_of = names.partition("::{")
            parts = tuple(part for part in path.split("::") if part not in ("self", "crate", "super"))
            leaves = re.findall(r"\w+", group_of) if group_of else [parts[-1]]
            target = parts if group_of else parts[:-1]
            for leaf in leaves:
                exported[module + (leaf,)] = module + target
    edges = {}
    for module, file in files.items():
        edges[module] = set()
        for path in imports(file, module):
            for length in range(len(path), -1, -1):
                at = exported.get(path[:length], path[:length])
                if at in files:
                    if at != module and not (at == () and length < len(path)):
                        edges[module].add(at)
                    break
    order, state, found = [], {}, []

    def visit(module, way):
        state[module] = "open"
        for other in sorted(edges[module]):
            if state.get(other) == "open":
                found.append([*way[way.index(other) :], other])
            elif other not in state:
                visit(other, [*way, other])
        state[module] = "done"
        order.append(module)

    for module in sorted(edges):
        if module not in state:
            visit(module, [module])
    return [" -> ".join(str(files[module]) for module in circle) for circle in found]


found = []
for root in [pathlib.Path("src"), *sorted(pathlib.Path("crates").glob("*/src"))]:
    found += circles(root)
if found:
    print("Files import each other in a circle:", *found, sep="\n  ", file=sys.stderr)
    sys.exit(1)
