"""The part of a lecture that its explorer needs: a notebook that a browser can wait for."""

import re
import symtable
from pathlib import Path

import nbformat
from nbformat import NotebookNode


def explorer_slice(path: Path, call: str) -> NotebookNode:
    """The lecture `path` with only the code cells that the first cell with `call` depends on.

    A cell is needed if it is the last to bind a name that a later, needed cell uses; magics are
    not, nor are cells that only show something. Outputs are left out.
    """
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    trees = [_parse(cell.source) for cell in cells]
    last = min(i for i, cell in enumerate(cells) if f"\n{call}" in f"\n{cell.source}")
    kept, wanted = [last], uses(trees[last])
    for i in reversed(range(last)):
        if names := gives(trees[i]) & wanted:
            kept.append(i)
            wanted = (wanted - names) | uses(trees[i])
    for i in kept:
        cells[i].outputs, cells[i].execution_count = [], None
    notebook.cells = [cells[i] for i in sorted(kept)]
    return notebook


def _parse(source: str) -> symtable.SymbolTable:
    code = re.sub(r"^(\s*)[%!].*", r"\1pass", source, flags=re.MULTILINE)
    return symtable.symtable(code, "cell", "exec")


def gives(table: symtable.SymbolTable) -> set[str]:
    """The names that a cell binds: not those within its functions and comprehensions."""
    return {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}


def uses(table: symtable.SymbolTable) -> set[str]:
    """The names that a cell reads, its own among them."""
    names = {s.get_name() for s in table.get_symbols() if s.is_referenced()}
    for inner in table.get_children():
        names |= _globals(inner)
    return names


def _globals(table: symtable.SymbolTable) -> set[str]:
    names = {s.get_name() for s in table.get_symbols() if s.is_global()}
    return names.union(*map(_globals, table.get_children()))
