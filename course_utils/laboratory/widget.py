"""The laboratory in a notebook, through anywidget: a slider that moves asks the kernel nothing."""

from collections.abc import Mapping
from functools import cache

from torch import nn

from course_utils.laboratory import FILES, HERE, MIME, NETWORKS, bundle, digits, stored
from course_utils.zoo import ZOO

RENDER = """
export default { render({ model, el }) {
  const root = document.createElement("div");
  el.append(root);
  const networks = model.get("networks");
  mount(root, model.get("kind"), { names: Object.keys(networks), digits: model.get("digits"),
    load: async (name) => networks[name] });
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
        _ipython_display_ = None  # ipywidgets 7, as on Colab, has one, which leaves out the words

        def _repr_mimebundle_(self, **options: object) -> tuple[dict, dict]:
            data, metadata = super()._repr_mimebundle_(**options)
            told = {"kind": self.kind, "networks": list(self.networks)}
            words = "An explorer: run this cell, or see the lecture's page on the course's site."
            return data | {"text/plain": words, MIME: told}, metadata

    return Laboratory


def laboratory(kind: str = "", *, networks: tuple | Mapping[str, nn.Module] = NETWORKS[:2]):
    """Return the laboratory as a widget for JupyterLab, VS Code and Colab.

    A stored notebook keeps words and, of type `MIME`, {"kind", "networks"}, for the site.

    Args:
        kind: a state to start from, such as "digit=3&attack=sign&eps=0.25", with "all=1" to show
            each picture to all networks at once; "transfer" for errors over the first 100 test
            digits; "walk" for what the first network makes of noise, and the second of that;
            "frequency" for what convolutions amplify; or "game" for two networks in the plane.
        networks: names, to choose from, by default FC10(1e-4) and FC100-100-10; or names to
            networks of one's own, as for `course_utils.laboratory.stored`.

    Raises ValueError where a network is unknown, or has layers that the laboratory lacks.
    """
    if kind == "game":
        return _widget()(kind=kind)
    own = networks if isinstance(networks, Mapping) else dict.fromkeys(networks)
    if unknown := {name for name in own if own[name] is None} - {*ZOO, *FILES}:
        raise ValueError(f"networks: got {', '.join(unknown)}, expected some of {NETWORKS}")
    told = {name: stored(name, model) for name, model in own.items()}
    return _widget()(kind=kind, networks=told, digits=digits())
