"""Name what nobody uses, by vulture; `[tool.vulture]` in pyproject.toml says where and how.

Three uses that vulture cannot see: what the report's templates say is counted for it; the record
(`audit/findings`) is not judged, since its fields and words are used by who reads a run folder; and
a key of a TypedDict is used where any mapping is written with it.
"""

import ast
import re
import sys
from pathlib import Path

from vulture import Vulture
from vulture.config import make_config

TEMPLATES = Path("report_templates")
RECORD = Path("audit/findings").resolve()


def words_of_templates() -> set[str]:
    """Every name between the braces of a template."""
    pieces = re.compile(r"\{[{%](.*?)[%}]\}", re.DOTALL)
    texts = [path.read_text(encoding="utf-8") for path in sorted(TEMPLATES.glob("*.j2"))]
    return set(re.findall(r"[A-Za-z_]\w*", " ".join(" ".join(pieces.findall(t)) for t in texts)))


def typed_keys(path: Path) -> tuple[set[tuple[Path, int]], set[str]]:
    """Where a file declares keys of TypedDicts, and the keys of the mappings that it writes."""
    declared: set[tuple[Path, int]] = set()
    written: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef) and "TypedDict" in map(ast.unparse, node.bases):
            declared |= {(path.resolve(), item.lineno) for item in node.body}
        elif isinstance(node, ast.Dict):
            written |= {key.value for key in node.keys if isinstance(key, ast.Constant)}
        elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            written.add(node.slice.value)
    return declared, written


settings = make_config(["--config", "pyproject.toml"])
vulture = Vulture(
    ignore_names=settings["ignore_names"], ignore_decorators=settings["ignore_decorators"]
)
vulture.scavenge(settings["paths"])
for word in words_of_templates():
    vulture.used_names.add(word)
keys = [typed_keys(path) for room in ("audit", "flows") for path in Path(room).rglob("*.py")]
declared = set().union(*(places for places, _ in keys))
written = set().union(*(names for _, names in keys))
unused = [
    item
    for item in vulture.get_unused_code(min_confidence=settings["min_confidence"])
    if RECORD not in item.filename.resolve().parents
    and not ((item.filename.resolve(), item.first_lineno) in declared and item.name in written)
]
for item in unused:
    print(item.get_report())
sys.exit(bool(unused))
