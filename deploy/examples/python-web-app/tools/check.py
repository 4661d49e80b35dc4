"""A small linter for this project: names that are imported and never used, lines that are too long, tabs."""

import ast
import pathlib
import sys

MAX_LINE = 120


def problems(path: pathlib.Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text, str(path))
    found = []
    imported: dict[str, int] = {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                imported[(alias.asname or alias.name).split(".")[0]] = node.lineno
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    used |= {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    found += [f"{path}:{line}: {name} is imported and not used" for name, line in imported.items() if name not in used]
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > MAX_LINE:
            found.append(f"{path}:{number}: {len(line)} characters, at most {MAX_LINE}")
        if "\t" in line:
            found.append(f"{path}:{number}: a tab")
    return found


def main() -> int:
    root = pathlib.Path(__file__).resolve().parent.parent
    files = sorted(path for folder in ("shortener", "tests", "tools") for path in (root / folder).rglob("*.py"))
    found = [problem for path in files for problem in problems(path.relative_to(pathlib.Path.cwd()))]
    print("\n".join(found) or f"{len(files)} files are clean")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
