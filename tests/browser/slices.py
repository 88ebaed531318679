"""The part of a lecture that its explorer needs: a notebook that a browser can wait for."""

import ast
import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode


def explorer_slice(path: Path) -> NotebookNode:
    """The lecture `path` with only the code cells that its first explorer's cell depends on.

    A cell is needed if it is the last to bind a name that a later, needed cell uses; magics are
    not, nor are cells that only show something. Outputs are left out.
    """
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    trees = [_parse(cell.source) for cell in cells]
    last = min(i for i, cell in enumerate(cells) if "_explorer(" in cell.source)
    kept, wanted = [last], uses(trees[last])
    for i in reversed(range(last)):
        if names := gives(trees[i]) & wanted:
            kept.append(i)
            wanted = (wanted - names) | uses(trees[i])
    for i in kept:
        cells[i].outputs, cells[i].execution_count = [], None
    notebook.cells = [cells[i] for i in sorted(kept)]
    return notebook


def _parse(source: str) -> ast.Module:
    return ast.parse(re.sub(r"^(\s*)[%!].*", r"\1pass", source, flags=re.MULTILINE))


def gives(tree: ast.Module) -> set[str]:
    """The names that a cell binds."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(a.asname or a.name).split(".")[0] for a in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
    return names


def uses(tree: ast.Module) -> set[str]:
    """The names that a cell reads, its own among them."""
    return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
