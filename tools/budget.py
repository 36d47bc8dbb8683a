"""The size of the tree: long files and functions, and lines of tests per line of code.

Prints what is over the soft bounds, which is only a smell; exits with 1 over the hard ones.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = (
    "braid",
    "substrate",
    "embedding",
    "rdl",
    "cloudnets",
    "protocol",
    "runtime",
    "orchestrator",
    "agents",
    "simulations",
    "commands",
    "migrations",
)
GENERATED = "braid/v1/"

FILE_LINES_SOFT, FILE_LINES_HARD = 300, 450
FUNCTION_LINES_SOFT, FUNCTION_LINES_HARD = 40, 80

NOT_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


@dataclass(frozen=True, slots=True, order=True)
class Size:
    """A file or function and its length in lines."""

    lines: int
    name: str


def code_files(root: Path) -> list[Path]:
    """Python files of the packages and tools, without generated ones."""
    found = [path for name in (*PACKAGES, "tools") for path in (root / name).rglob("*.py")]
    return sorted(p for p in found if not p.relative_to(root).as_posix().startswith(GENERATED))


def test_files(root: Path) -> list[Path]:
    """Python files of the tests."""
    return sorted((root / "tests").rglob("*.py"))


def line_count(paths: list[Path]) -> int:
    """Lines of code: without blank lines, comments and docstrings."""
    return sum(len(_code_lines(path.read_text())) for path in paths)


def _code_lines(text: str) -> set[int]:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    told = [token for token in tokens if token.type not in NOT_CODE]
    lines = {line for token in told for line in range(token.start[0], token.end[0] + 1)}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and _is_text(node.value):
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def file_sizes(root: Path, paths: list[Path]) -> list[Size]:
    """Each file's length, longest first."""
    sizes = (Size(len(p.read_text().splitlines()), p.relative_to(root).as_posix()) for p in paths)
    return sorted(sizes, reverse=True)


def function_sizes(root: Path, paths: list[Path]) -> list[Size]:
    """Each function's length, longest first. Nested ones count for themselves and for the outer."""
    return sorted((size for p in paths for size in _functions(root, p)), reverse=True)


def _functions(root: Path, path: Path) -> Iterator[Size]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            where = f"{path.relative_to(root).as_posix()}:{node.lineno} {node.name}"
            yield Size(node.end_lineno - node.lineno + 1, where)


def over(sizes: list[Size], bound: int) -> list[Size]:
    """Those longer than ``bound`` lines."""
    return [size for size in sizes if size.lines > bound]


def main() -> None:
    """Prints the report."""
    code, tests = code_files(ROOT), test_files(ROOT)
    files, functions = file_sizes(ROOT, code), function_sizes(ROOT, code)
    for size in over(files, FILE_LINES_SOFT) + over(functions, FUNCTION_LINES_SOFT):
        print(f"{size.lines:5} lines  {size.name}")
    code_lines, test_lines = line_count(code), line_count(tests)
    print(f"{code_lines} lines of code, {test_lines} of tests ({test_lines / code_lines:.2f})")
    if over(files, FILE_LINES_HARD) or over(functions, FUNCTION_LINES_HARD):
        sys.exit(f"over {FILE_LINES_HARD} lines a file or {FUNCTION_LINES_HARD} a function")


if __name__ == "__main__":
    main()
