"""A reader goes back and runs an earlier cell again: nothing that it reads may have become other."""

import ast
import symtable

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from tools.lectures import numbered, read_source


def reads_and_binds(cell: str) -> tuple[set[str], set[str]]:
    """The names that a cell reads before it binds them, and those that it binds or deletes.

    What its functions read counts as read.
    """
    read, bound = set(), set()

    def see(nodes: list[ast.AST]) -> None:
        for node in nodes:
            table = symtable.symtable(ast.unparse(node), "cell", "exec")
            scopes, here = list(table.get_children()), table.get_symbols()
            names = {s.get_name() for s in here if s.is_referenced()}
            while scopes:
                scope = scopes.pop()
                scopes += scope.get_children()
                names |= {s.get_name() for s in scope.get_symbols() if s.is_global()}
            binds = {s.get_name() for s in here if s.is_assigned() or s.is_imported()}
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names -= binds
            if isinstance(node, ast.AugAssign):
                names |= binds
            read.update(names - bound)
            bound.update(binds)

    def walk(nodes: list[ast.stmt]) -> None:
        for node in nodes:
            if isinstance(node, ast.For | ast.With | ast.If | ast.While | ast.Try):
                heads = [node.iter] if isinstance(node, ast.For) else []
                heads += [node.test] if isinstance(node, ast.If | ast.While) else []
                heads += [i.context_expr for i in getattr(node, "items", [])]
                see([ast.Expr(head) for head in heads])
                targets = [node.target] if isinstance(node, ast.For) else []
                targets += [i.optional_vars for i in getattr(node, "items", []) if i.optional_vars]
                bound.update(n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name))
                walk(node.body)
                for handler in getattr(node, "handlers", []):
                    walk(handler.body)
                walk(getattr(node, "orelse", []) + getattr(node, "finalbody", []))
            else:
                see([node])

    walk(ast.parse(TransformerManager().transform_cell(cell)).body)
    return read, bound


def read_when_called(cell: str) -> dict[str, set[str]]:
    """What each function that a cell defines reads of the notebook, by the function's name."""
    found = {}
    for node in ast.parse(TransformerManager().transform_cell(cell)).body:
        if isinstance(node, ast.FunctionDef):
            node.name, name = "function", node.name  # symtable takes one called top for a module
            (table,) = symtable.symtable(ast.unparse(node), "cell", "exec").get_children()
            scopes, found[name] = [table], set()
            while scopes:
                scope = scopes.pop()
                scopes += scope.get_children()
                found[name] |= {s.get_name() for s in scope.get_symbols() if s.is_global()}
    return found


def overwritten(cells: list[str]) -> set[tuple[str, str, str]]:
    """(name, first line of a cell that reads it, first line of a later one that binds it anew)."""
    flow, functions = [reads_and_binds(cell) for cell in cells], {}
    for cell, (read, _) in zip(cells, flow):
        for name in [name for name in read if name in functions]:
            read |= functions[name]
        for name, reads in read_when_called(cell).items():
            functions[name] = reads.union(*(functions.get(one, ()) for one in reads))
    return {
        (name, cells[j].splitlines()[0], cells[k].splitlines()[0])
        for j, (read, _) in enumerate(flow)
        for name in read
        if any(name in bound for _, bound in flow[:j])
        for k in range(j, len(flow))
        if name in flow[k][1]
    }


@pytest.mark.parametrize(
    ("cells", "names"),
    [
        (["a = 1", "print(a)", "a = []"], {"a"}),
        (["def f(): ...", "f()", "f = 3"], {"f"}),
        (["a = 1", "b = lambda: a", "del a"], {"a"}),
        (["a = 1", "def f(): return a", "for a in []: pass"], {"a"}),
        (["a = 1\ndef top(b): return a + b", "top(1)", "a = 2\nb = 3"], {"a"}),
        (["a = 1", "a += 1"], {"a"}),
        (["a = 1\nprint(a)", "a = 2\nprint(a)"], set()),
        (["a = 1", "[a for a in range(3)]", "def f(a): a = 2", "for b in [a]: print(b)"], set()),
        (["import a", "a.b", "from c import a"], {"a"}),
    ],
)
def test_what_is_overwritten_is_found(cells, names):
    assert {name for name, _, _ in overwritten(cells)} == names


@pytest.mark.parametrize("path", numbered(), ids=lambda path: path.stem)
def test_no_later_cell_changes_what_an_earlier_one_reads(path):
    cells = [cell.source for cell in read_source(path).cells if cell.cell_type == "code"]
    assert overwritten(cells) == set()
