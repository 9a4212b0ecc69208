"""Name what nobody uses, by vulture; `[tool.vulture]` in pyproject.toml says where and how.

Two uses that vulture cannot see: what the report's templates say is counted for it; and the record
(`audit/findings`) is not judged, since its fields and words are used by who reads a run folder.
"""

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


settings = make_config(["--config", "pyproject.toml"])
vulture = Vulture(
    ignore_names=settings["ignore_names"], ignore_decorators=settings["ignore_decorators"]
)
vulture.scavenge(settings["paths"])
for word in words_of_templates():
    vulture.used_names.add(word)
unused = [
    item
    for item in vulture.get_unused_code(min_confidence=settings["min_confidence"])
    if RECORD not in item.filename.resolve().parents
]
for item in unused:
    print(item.get_report())
sys.exit(bool(unused))
