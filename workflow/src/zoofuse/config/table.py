"""Every setting and every method as tables, written into config/README.md: python -m zoofuse.config.table FILE.

The schema for editors is written beside, so that both follow from `zoofuse.settings`.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from zoofuse import config, settings
from zoofuse.methods import registry

SCHEMA = Path(__file__).parents[3] / "schemas" / "config.schema.json"
BEGIN, END = "<!-- settings: generated from zoofuse.settings by `make format` -->", "<!-- end of settings -->"


def settings_table() -> str:
    """Every setting of the schema and every method as Markdown tables, for config/README.md."""
    schema = config.full_schema()
    rows = ["| setting | default | allowed | what it is |", "|---|---|---|---|"]
    for path, setting, needed in [*_settings(schema, ""), *_variants(schema)]:
        missing = "(needed)" if needed else "(none)"
        default = json.dumps(setting["default"], ensure_ascii=False) if "default" in setting else missing
        rows.append(f"| `{path}` | {default} | {_allowed(setting)} | {setting.get('description', '')} |")
    rows += ["", "| method | default | role | what it is |", "|---|---|---|---|"]
    for name, of in registry.methods().items():
        source = f" ({of.cites})" if of.cites else ""
        rows.append(f"| `{name}` | {'yes' if of.default else ''} | {of.role} | {of.about}{source} |")
    return "\n".join(rows) + "\n"


def _variants(schema: dict) -> Iterator[tuple[str, dict, bool]]:
    """As `_settings`, of the options that a method has in its variants only."""
    for method, entry in registry.methods({}).items():
        options = settings.schema(entry.options)["properties"] if entry.options else {}
        block = schema["properties"].get(method, {}).get("properties", {})
        for name in [name for name in options if name not in block]:
            about = f"Of variants of {method}. {options[name]['description']}"
            yield f"variants.<name>.{name}", options[name] | {"description": about}, False


def schema_text() -> str:
    """The JSON schema of configurations, which editors check and complete YAML by."""
    draft = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "zoofuse configuration"}
    return json.dumps(draft | config.full_schema(), separators=(",", ":")) + "\n"


def _settings(schema: dict, prefix: str) -> Iterator[tuple[str, dict, bool]]:
    """(dotted path, schema, needed) of every setting that is no mapping."""
    for name, sub in schema.get("properties", {}).items():
        every = sub.get("additionalProperties")
        if isinstance(every, dict) and "properties" in every:
            yield from _settings(sub["additionalProperties"], f"{prefix}{name}.<name>.")
        elif sub.get("type") == "object" and not every:
            yield from _settings(sub, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", sub, name in schema.get("required", [])


def _allowed(setting: dict) -> str:
    if "enum" in setting:
        return ", ".join("null" if choice is None else choice for choice in setting["enum"])
    if setting.get("type") == "array":
        items = setting["items"]
        return f"list of {', '.join(items['enum'])}" if "enum" in items else "list of text"
    kinds = setting["type"] if isinstance(setting["type"], list) else [setting["type"]]
    bounds = {
        "minimum": "at least",
        "exclusiveMinimum": "more than",
        "maximum": "at most",
        "exclusiveMaximum": "less than",
    }
    limits = [f"{words} {setting[key]}" for key, words in bounds.items() if key in setting]
    return ", ".join([" or ".join(kinds), *limits])


def main() -> None:
    """Write the tables into the file named on the command line, between its two markers, and the schema."""
    path = Path(sys.argv[1])
    before, _, rest = path.read_text().partition(BEGIN)
    path.write_text(f"{before}{BEGIN}\n{settings_table()}{END}{rest.partition(END)[2]}")
    SCHEMA.write_text(schema_text())


if __name__ == "__main__":
    main()
