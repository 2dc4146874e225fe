"""Fails on circles of Rust files or rooms, on two types of one name, and on files too long to read.

A room is a directory of `src`. A file uses another one by a path in a `use` or anywhere else in
its text. Tests and comments do not count, and neither does the declaration of a module's children.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

# Lines of a file, its comments and tests with it.
LONGEST = 350

Name = tuple[str, ...]
Graph = dict[Name, set[Name]]

TESTS = re.compile(
    r"^#\[cfg\([^\n]*\btest\b[^\n]*\)\]\n(?:#\[[^\n]*\]\n)*mod \w+( \{\n.*?^\}|;)", re.M | re.S
)
DEFINED = re.compile(r"^(?:pub(?:\([^)]*\))? )?(?:struct|enum|trait|type) (\w+)", re.M)


def modules(root: Path) -> dict[Name, str]:
    """The text of every module, by its path, without comments and tests."""
    found = {}
    for file in root.rglob("*.rs"):
        name = file.relative_to(root).with_suffix("").parts
        text = TESTS.sub("", file.read_text(encoding="utf-8"))
        own = name[:-1] if name[-1] in ("mod", "lib") else name
        found[own] = re.sub(r"//[^\n]*", "", text)
    return found


def paths_of(tree: str, before: Name = ()) -> Iterator[Name]:
    """The paths of a `use`, such as `a::{b, c::d}`."""
    depth, start = 0, 0
    for at, char in enumerate(f"{tree},"):
        depth += (char == "{") - (char == "}")
        if char != "," or depth:
            continue
        item, start = tree[start:at].strip(), at + 1
        head, brace, rest = item.partition("{")
        parts = tuple(part.strip() for part in head.split(" as ")[0].split("::") if part.strip())
        if brace:
            yield from paths_of(rest.rpartition("}")[0], before + parts)
        elif parts:
            yield before + parts


def used_by(name: Name, all_of_them: dict[Name, str]) -> Iterator[Name]:
    """The modules that a module's text names."""
    text = all_of_them[name]
    paths = [path for tree in re.findall(r"\buse\s+([^;]+);", text) for path in paths_of(tree)]
    paths += [tuple(path.split("::")) for path in re.findall(r"\b\w+(?:::\w+)+", text)]
    for path in paths:
        ups = path.count("super")
        if path[0] == "crate":
            full = path[1:]
        elif ups:
            full = name[: len(name) - ups] + path[ups:]
        else:
            full = name + path[path[0] == "self" :]
        ends = range(len(full), 0, -1)
        used = next((full[:end] for end in ends if full[:end] in all_of_them), name)
        if used != name:
            yield used


def circles(graph: Graph) -> list[list[Name]]:
    """Groups of which each member uses every other one, by however many steps."""

    def reached(start: Name) -> set[Name]:
        found: set[Name] = set()
        ahead = [start]
        while ahead:
            new = graph.get(ahead.pop(), set()) - found
            found |= new
            ahead += new
        return found

    reach = {name: reached(name) for name in graph}
    groups = {
        tuple(sorted(other for other in reach[name] if name in reach.get(other, ())))
        for name in graph
        if name in reach[name]
    }
    return [list(group) for group in sorted(groups)]


def report(graph: Graph, what: str) -> int:
    """Prints the circles of a graph and says how many there are."""
    found = circles(graph)
    for circle in found:
        print(f"A circle of {len(circle)} {what}:", file=sys.stderr)
        for name in circle:
            others = ", ".join(sorted("::".join(other) for other in graph[name] & set(circle)))
            print(f"  {'::'.join(name)} uses {others}", file=sys.stderr)
    return len(found)


def names_twice(texts: dict[Name, str]) -> int:
    """Prints the types that have one name, and says how many such names there are."""
    homes: dict[str, list[str]] = {}
    for name, text in texts.items():
        defined = re.findall(
            r"^(?:pub(?:\([^)]*\))? )?(?:struct|enum|trait|type) (\w+)", text, re.M
        )
        for each in defined:
            homes.setdefault(each, []).append("::".join(name))
    twice = {each: where for each, where in homes.items() if len(where) > 1}
    for each, where in sorted(twice.items()):
        print(f"{each} is defined in {' and in '.join(where)}", file=sys.stderr)
    return len(twice)


def too_long(root: Path) -> int:
    """Prints the files that have more than `LONGEST` lines, and says how many there are."""
    found = 0
    for file in sorted(root.rglob("*.rs")):
        lines = len(file.read_text(encoding="utf-8").splitlines())
        if lines > LONGEST:
            print(f"{file} has {lines} lines, more than {LONGEST}", file=sys.stderr)
            found += 1
    return found


def main() -> int:
    """Looks at the directory that is named, or at `src`."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else "src")
    texts = modules(root)
    files = {name: set(used_by(name, texts)) for name in texts if name}
    rooms: Graph = {}
    for name, used in files.items():
        rooms.setdefault(name[:1], set()).update({other[:1] for other in used} - {name[:1]})
    found = report(files, "files") + report(rooms, "rooms") + names_twice(texts) + too_long(root)
    return min(found, 1)


if __name__ == "__main__":
    sys.exit(main())
