"""Files and functions stay short, and there are at least as many lines of tests as of code."""

from __future__ import annotations

from pathlib import Path

from house import ROOT, toml

from tools import budget


def test_no_file_is_over_the_hard_bound() -> None:
    sizes = budget.file_sizes(ROOT, budget.code_files(ROOT))
    assert budget.over(sizes, budget.FILE_LINES_HARD) == []


def test_no_function_is_over_the_hard_bound() -> None:
    sizes = budget.function_sizes(ROOT, budget.code_files(ROOT))
    assert budget.over(sizes, budget.FUNCTION_LINES_HARD) == []


def test_there_are_at_least_as_many_lines_of_tests_as_of_code() -> None:
    code = budget.line_count(budget.code_files(ROOT))
    tests = budget.line_count(budget.test_files(ROOT))
    assert tests >= code


def test_every_package_of_the_project_is_counted() -> None:
    assert set(budget.PACKAGES) == set(
        toml("pyproject.toml")["tool"]["importlinter"]["root_packages"]
    )


def _tree(root: Path) -> None:
    (root / "agents").mkdir()
    (root / "braid" / "v1").mkdir(parents=True)
    (root / "tests" / "agents").mkdir(parents=True)
    body = "\n\n".join("    x = 1" for _ in range(30))
    (root / "agents" / "long.py").write_text(
        f"def long():\n{body}\n\n\nasync def short():\n    pass\n"
    )
    (root / "braid" / "v1" / "generated.py").write_text("x = 1\n" * 999)
    (root / "tests" / "agents" / "test_it.py").write_text("assert True\n\n")


def test_generated_code_is_not_counted(tmp_path: Path) -> None:
    _tree(tmp_path)
    code = budget.code_files(tmp_path)
    assert [path.name for path in code] == ["long.py"]
    assert budget.line_count(code) == 1 + 30 + 2
    assert budget.line_count(budget.test_files(tmp_path)) == 1


def test_only_lines_of_code_are_counted(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        '''"""A module.

With much to say.
"""

# A comment.
X = (
    1,  # one
    2,
)


def f() -> str:
    """Says a text."""

    return """two
lines"""
'''
    )
    assert budget.line_count([module]) == 4 + 1 + 2


def test_a_long_function_is_found_with_its_place(tmp_path: Path) -> None:
    _tree(tmp_path)
    sizes = budget.function_sizes(tmp_path, budget.code_files(tmp_path))
    assert [size.name for size in budget.over(sizes, 40)] == ["agents/long.py:1 long"]
    assert budget.over(sizes, 60) == []
    assert sizes[0].lines == 60


def test_a_long_file_is_found(tmp_path: Path) -> None:
    _tree(tmp_path)
    sizes = budget.file_sizes(tmp_path, budget.code_files(tmp_path))
    assert budget.over(sizes, 63) == [budget.Size(64, "agents/long.py")]
    assert budget.over(sizes, 64) == []
