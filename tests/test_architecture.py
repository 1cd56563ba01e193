"""The rules of the layout, checked in the sources: who imports whom, who may use files, sockets, threads, clocks."""

from __future__ import annotations

import ast
import re
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "hk_tick_collector"
MODULES = sorted(path for path in SOURCE.rglob("*.py") if not path.name.endswith("_pb2.py"))

# A part imports only parts of a lower rank, so that parts of one rank do not know each other.
RANKS = {
    "text": -1,
    "market": -1,
    "clock": -1,
    "errors": 0,
    "log": 0,
    "model": 1,
    "stats": 1,
    "planning": 1,
    "signals": 1,
    "tcp_connect": 1,
    "background": 1,
    "gaps": 2,
    "opend": 2,
    "store": 2,
    "frames": 3,
    "ops": 3,
    "archive": 4,
    "bars": 4,
    "data": 5,
    "quality": 5,
    "collect": 4,
    "jetstream": 4,
    "simulator": 4,
    "merging": 5,
    "publishing": 5,
    "following": 6,
    "web": 6,
    "cli": 7,
    "__main__": 8,
}
# The same inside the large parts: packages and single modules.
RANKS_INSIDE = {
    "ops": {"live": 0, "findings": 1, "alerts": 2, "explanations": 2, "doctor": 2, "metrics": 2},
    "collect": {
        "options": 0,
        "opend_state": 0,
        "storing_state": 0,
        "restart_history": 0,
        "memory_limit": 0,
        "buffer": 1,
        "loading": 2,
        "connection": 3,
        "writing": 3,
        "day_turn": 4,
        "reporting": 5,
        "assembly": 6,
        "service": 7,
    },
    "simulator": {
        "exchange": 0,
        "plan": 0,
        "encoding": 1,
        "truth": 2,
        "gateway": 3,
        "faults": 4,
        "server": 5,
        "control": 6,
    },
}
CONFIG_MAY_IMPORT = {"errors"}  # and only cli imports config
SIMULATOR_MAY_NOT_IMPORT = {"store", "ops"}


def part_of(path: Path) -> str:
    """`opend` for `opend/frame.py`, `errors` for `errors.py`, an empty text for the package itself."""
    inside = path.relative_to(SOURCE)
    return "" if inside.name == "__init__.py" and len(inside.parts) == 1 else inside.parts[0].removesuffix(".py")


@cache
def parsed(path: Path) -> ast.Module:
    """A source as a tree; many rules ask for the same one."""
    return ast.parse(path.read_text("utf-8"))


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """Every node of that tree."""
    return tuple(ast.walk(parsed(path)))


@cache
def imports(path: Path) -> set[str]:
    """Every module that a source imports, absolute; of `from a import b` both `a` and `a.b`."""
    package = ["hk_tick_collector", *path.relative_to(SOURCE).parts[:-1]]
    found: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found.add(module)
            found.update(f"{module}.{alias.name}" for alias in node.names)
    return found


def parts_imported(path: Path) -> set[str]:
    """The parts of our own package that a source imports, without its own part."""
    ours = {name.split(".")[1] for name in imports(path) if name.startswith("hk_tick_collector.")}
    return (ours & {*RANKS, "config"}) - {part_of(path)}


def uses(path: Path, *, attributes: set[str], names: set[str]) -> set[str]:
    """Which of these attributes (as `x.environ`) and imported names a source mentions."""
    found = {node.attr for node in nodes(path) if isinstance(node, ast.Attribute) and node.attr in attributes}
    return found | {name for name in imports(path) if name in names}


def label(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def each_of(paths: list[Path]) -> Callable[[Callable[[Path], None]], Callable[[], None]]:
    """Makes a rule for one module a test of all of them, which names each that breaks it.

    One test, because two thousand cost the quick tests a quarter of their time.
    """

    def over(rule: Callable[[Path], None]) -> Callable[[], None]:
        def test() -> None:
            assert paths
            broken: dict[str, str] = {}
            for path in paths:
                try:
                    rule(path)
                except AssertionError as error:
                    broken[label(path)] = str(error)
            assert broken == {}, "".join(f"\n{name}: {why}" for name, why in broken.items())

        test.__name__, test.__doc__, test.__module__ = rule.__name__, rule.__doc__, rule.__module__
        return test

    return over


@each_of(MODULES)
def test_imports_go_one_way(path: Path) -> None:
    """cli → simulator, collect → ops → store, opend → market, model → errors; only cli and `open` import config."""
    part, imported = part_of(path), parts_imported(path)
    if part == "config":
        assert imported <= CONFIG_MAY_IMPORT
    elif part == "":
        assert imported <= {"config", "data", "errors", "following"}  # `open` and `stream`: the Python API
    else:
        assert part in RANKS, f"{part} has no rank yet: give it one in {Path(__file__).name} and in ARCHITECTURE.md"
        assert {other for other in imported - {"config"} if RANKS[other] >= RANKS[part]} == set()
        assert "config" not in imported or part == "cli"
    if part == "simulator":
        assert not imported & SIMULATOR_MAY_NOT_IMPORT


@each_of([path for path in MODULES if part_of(path) in RANKS_INSIDE])
def test_imports_go_one_way_inside_a_part(path: Path) -> None:
    """Packages inside a part have ranks too; packages of the same rank do not import each other."""
    part, inside = part_of(path), path.relative_to(SOURCE).parts[1].removesuffix(".py")
    if inside == "__init__":
        return
    ranks = RANKS_INSIDE[part]
    assert inside in ranks, f"{part}/{inside} has no rank yet: give it one here"
    names = [name.split(".") for name in imports(path)]
    others = {name[2] for name in names if name[:2] == ["hk_tick_collector", part] and len(name) > 2} - {inside}
    assert {other for other in others & set(ranks) if ranks[other] >= ranks[inside]} == set()


def test_no_two_modules_need_each_other() -> None:
    """Imports for types count too: a lower module can be read without a higher one."""
    names = {
        ".".join(["hk_tick_collector", *path.relative_to(SOURCE).with_suffix("").parts]).removesuffix(".__init__"): path
        for path in MODULES
    }
    graph: dict[Path, set[Path]] = {}
    for path in MODULES:
        own_packages = {directory / "__init__.py" for directory in path.parents}
        graph[path] = {names[name] for name in imports(path) if name in names} - own_packages - {path}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(label(path) for path in error.args[1]))


@each_of([path for path in MODULES if part_of(path) == "gaps"])
def test_gaps_are_judged_without_io(path: Path) -> None:
    """gaps/ has no event loop, socket, thread, database, log or clock: all it needs comes in as arguments."""
    forbidden = {"asyncio", "socket", "threading", "time", "uvloop", "sqlite3", "apsw", "os", "pathlib"}
    assert {name.split(".")[0] for name in imports(path)} & forbidden == set()
    assert uses(path, attributes={"now", "utcnow", "today"}, names=set()) == set()


@each_of([path for path in MODULES if part_of(path) == "opend"])
def test_the_protocol_core_does_no_io(path: Path) -> None:
    """opend/ has no event loop, socket, thread, database or clock: bytes and times come in as arguments."""
    forbidden = {"asyncio", "socket", "selectors", "ssl", "threading", "time", "uvloop", "sqlite3", "apsw", "os"}
    assert {name.split(".")[0] for name in imports(path)} & forbidden == set()
    assert uses(path, attributes={"now", "utcnow", "today"}, names=set()) == set()


@each_of(MODULES)
def test_sqlite_is_opened_in_the_store_alone(path: Path) -> None:
    """Only store/ uses SQLite; all others ask store/."""
    assert part_of(path) == "store" or not {name.split(".")[0] for name in imports(path)} & {"apsw", "sqlite3"}


@each_of(MODULES)
def test_the_environment_is_read_in_config_alone(path: Path) -> None:
    """Variables that systemd or a shell sets reach the other modules as plain values."""
    used = uses(path, attributes={"environ", "environb", "getenv"}, names={"os.environ", "os.getenv", "os.environb"})
    assert part_of(path) == "config" or used == set()


def test_the_page_names_every_package() -> None:
    """ARCHITECTURE.md lists every package and every module beside the packages, and no source that does not exist."""
    page = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    packages = {f"{path.parent.relative_to(SOURCE)}/" for path in MODULES if path.name == "__init__.py"} - {"./"}
    beside = {path.name for path in MODULES if path.parent == SOURCE and not path.name.startswith("__")}
    assert {name for name in packages | beside if f"`{name}" not in page} == set(), "missing in ARCHITECTURE.md"
    named = set(re.findall(r"(?<![\w/.-])(?:[a-z_]+/)+(?:[a-z_0-9]+\.py)?(?![\w.])", page))
    assert {name for name in named if not (SOURCE / name).exists() and not (ROOT / name).exists()} == set()


def outputs(path: Path) -> list[str]:
    """How a source prints by itself: print(), write() of a stream, a console of rich, JSON or CSV made by hand."""
    found = []
    for node in nodes(path):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called == "print" or re.fullmatch(
                r"(sys\.)?(std(out|err)|__std(out|err)__)(\.buffer)?\.(write|writelines)|json\.dumps?|csv\.writer"
                r"|(typer|click)\.(echo|secho)|Console\(.*\)\.print",
                called,
            ):
                found.append(f"{path.name}:{node.lineno} {called}")
    return found


@each_of([path for path in MODULES if part_of(path) in ("cli", "__main__")])
def test_all_output_of_verbs_goes_through_one_module(path: Path) -> None:
    """Only cli/_show.py prints, cleans what is printed and makes JSON; cells of a table pass the same rule."""
    if path.name == "_show.py":
        return
    allowed = ["Console().print"] if path.name == "_table.py" else []  # cells are cleaned before
    assert [each for each in outputs(path) if each.partition(" ")[2] not in allowed] == []


@each_of([path for path in MODULES if part_of(path) != "cli"])
def test_nothing_below_the_verbs_prints(path: Path) -> None:
    """Their output is log lines and return values."""
    ways = {each.partition(" ")[2] for each in outputs(path)}
    assert ways <= {"json.dumps", "json.dump"}  # the live state and the memory of alerts


CLASS_LINES = 250
ARGUMENTS = 7


@each_of(MODULES)
def test_classes_and_constructors_stay_small(path: Path) -> None:
    """No class has more than 250 lines, no constructor more than seven arguments: beyond that, it does two jobs."""
    classes = [node for node in nodes(path) if isinstance(node, ast.ClassDef)]
    long = {node.name for node in classes if (node.end_lineno or 0) - node.lineno >= CLASS_LINES}
    constructors = [
        (node.name, each.args)
        for node in classes
        for each in node.body
        if isinstance(each, ast.FunctionDef) and each.name == "__init__"
    ]
    many = {
        name
        for name, args in constructors
        if len(args.posonlyargs) + len(args.args) + len(args.kwonlyargs) - 1 > ARGUMENTS
    }
    assert (long, many) == (set(), set())


def figures_read(path: Path) -> list[str]:
    """Where a source reads a figure of Stats for another purpose than to log it or to change it."""
    tree = ast.parse(path.read_text("utf-8"))
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}

    def told(node: ast.AST) -> bool:
        while node in parents:
            node = parents[node]
            if isinstance(node, ast.Call) and re.match(r"(log\.|say$)", ast.unparse(node.func)):
                return True
        return False

    def changed(node: ast.AST) -> bool:
        parent = parents[node]
        if isinstance(parent, ast.Subscript):
            return isinstance(parent.ctx, ast.Store)
        call = parents.get(parent)
        return isinstance(parent, ast.Attribute) and isinstance(call, ast.Call) and isinstance(parents[call], ast.Expr)

    return [
        f"{path.name}:{node.lineno} {ast.unparse(node)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Load)
        and ast.unparse(node.value).rpartition(".")[2].lstrip("_") == "stats"
        and not told(node)
        and not changed(node)
    ]


# Read to be told anew without what was imported meanwhile.
PRUNED = {"collect/writing/predecessor_days.py": {"self._stats.predecessor_days"}}
OBSERVERS = {"reporting", "service.py"}  # the latter tells what the flush at the end stored


@each_of([path for path in MODULES if part_of(path) == "collect"])
def test_no_decision_reads_stats(path: Path) -> None:
    """The parts write Stats and only observers read it: decisions read the two states."""
    if path.relative_to(SOURCE).parts[1] not in OBSERVERS:
        assert [each for each in figures_read(path) if each.split()[1] not in PRUNED.get(label(path), set())] == []


# Plain values, and what only a whole service shows: tests/e2e/test_collecting.py, test_signals_and_limits.py,
# tests/cli/test_import_verb.py.
WITHOUT_TESTS_OF_THEIR_OWN = {
    "collect/assembly.py",
    "collect/service.py",
    "collect/memory_limit.py",
    "collect/options.py",
    "collect/storing_state.py",
    "collect/loading/imported_gaps.py",
}


@each_of([path for path in MODULES if part_of(path) in ("gaps", "collect") and path.name != "__init__.py"])
def test_tests_mirror_the_sources(path: Path) -> None:
    """Each module of gaps/ and collect/ has a test file of the same name, in the same place below tests/."""
    own = ROOT / "tests" / path.relative_to(SOURCE).parent / f"test_{path.name}"
    assert own.exists() != (label(path) in WITHOUT_TESTS_OF_THEIR_OWN)
