"""What SECURITY.md promises of the code, read from the code."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = sorted(
    path
    for folder in ("modeling_erc", "datasets_scripts")
    for path in (ROOT / folder).rglob("*.py")
    if "__pycache__" not in path.parts
)
NETWORK = {"aiohttp", "ftplib", "http", "httpx", "httpx2", "requests", "smtplib", "socket", "urllib", "urllib3"}
PICKLES = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}
# The reader that admits numbers, strings and arrays and nothing else.
READERS = {"convert.py", "members.py", "restricted.py", "stand_ins.py"}


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module or ""


def called(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@pytest.mark.parametrize("path", [ROOT / "train_hf.py", *CODE], ids=lambda path: path.name)
def test_no_network_client_but_the_hub_s_and_no_unguarded_pickle(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    # `urllib.parse` reads and writes addresses and opens none.
    names = {module.partition(".")[0] for module in imported(tree) if module != "urllib.parse"}
    assert not names & NETWORK
    assert path.name in READERS or not names & PICKLES
    for function, call in called(tree):
        assert function not in ("eval", "exec", "pd.read_pickle"), f"line {call.lineno}"
        if function in ("torch.load", "np.load", "numpy.load"):
            guards = {f"{k.arg}={ast.unparse(k.value)}" for k in call.keywords}
            assert guards & {"weights_only=True", "allow_pickle=False"}, f"line {call.lineno}"


def test_all_readers_of_pickles_exist() -> None:
    assert {path.name for path in CODE} >= READERS
