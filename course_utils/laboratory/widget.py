"""The laboratory in a notebook, through anywidget: a slider that moves asks the kernel nothing."""

from functools import cache

from course_utils.laboratory import HERE, NETWORKS, STUDIED, bundle, digits, stored
from course_utils.zoo import ZOO

RENDER = """
export default { render({ model, el }) {
  const root = document.createElement("div");
  el.append(root);
  if (model.get("kind") === "game") { mountGame(root); return; }
  const networks = model.get("networks");
  const source = { names: Object.keys(networks), digits: model.get("digits"),
    load: async (name) => networks[name] };
  mountLaboratory(root, source, { state: stateOf(model.get("kind")) });
} };
"""


@cache
def _widget() -> type:
    import anywidget  # not at import: what only reads the weights needs no widgets
    import traitlets

    class Laboratory(anywidget.AnyWidget):
        _esm = bundle() + RENDER
        _css = (HERE / "laboratory.css").read_text(encoding="utf-8")
        kind = traitlets.Unicode().tag(sync=True)
        networks = traitlets.Dict().tag(sync=True)
        digits = traitlets.Dict().tag(sync=True)

    return Laboratory


def laboratory(kind: str = "", *, networks: tuple[str, ...] = ("FC10(1e-4)", "FC100-100-10")):
    """Return the laboratory as a widget for JupyterLab, VS Code and Colab.

    Args:
        kind: "game", or a state to start from, such as "digit=3&attack=sign&eps=0.25".
        networks: names of the zoo, to choose from.

    Raises:
        ValueError: an unknown network, or one with layers that the laboratory lacks.
    """
    if unknown := [name for name in networks if name not in {**ZOO, **STUDIED}]:
        known = ", ".join(NETWORKS)
        raise ValueError(f"networks: got {', '.join(unknown)}, expected some of {known}")
    if kind == "game":
        return _widget()(kind=kind)
    told = {name: stored(name) for name in networks}
    return _widget()(kind=kind, networks=told, digits=digits(30))
