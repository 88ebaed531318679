"""The look that all figures share, and the line styles that need no colour."""

import matplotlib.pyplot as plt

STYLES = (
    {"color": "black", "linestyle": "-", "marker": "o"},
    {"color": "tab:orange", "linestyle": "--", "marker": "s"},
    {"color": "tab:blue", "linestyle": ":", "marker": "^"},
)
SIX_STYLES = tuple(
    {"color": color, "linestyle": line, "marker": marker}
    for color, line, marker in zip(
        ("black", "0.45", "tab:blue", "black", "0.45", "tab:orange"),
        ("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 3))),
        "os^Dvx",
        strict=True,
    )
)
STYLE = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "figure.dpi": 110,
    "font.size": 11,
    "grid.alpha": 0.3,
    "image.cmap": "gray",
    "lines.markersize": 5,
}


def use_style() -> None:
    """Set the course's style for all figures drawn from now on."""
    plt.rcParams.update(STYLE)
