"""Whether a module computes what its kind computes, and nothing else: bounds hold for no other."""

from torch import nn
from torch.nn.modules import module as torch_module
from torch.nn.utils import parametrize

# What a subclass may define without changing what it computes.
HARMLESS = {"__init__", "__module__", "__doc__", "__qualname__", "__constants__", "extra_repr",
            "__static_attributes__", "__firstlineno__", "__annotations__", "__annotate_func__",
            "__annotations_cache__"}  # fmt: skip
HOOKS = ("_forward_hooks", "_forward_pre_hooks")


def kind_of(module: nn.Module, kinds: tuple[type[nn.Module], ...],
            name: str) -> type[nn.Module] | None:
    """Return which of these kinds a module is, in all that it computes; None if it is none.

    Subclasses count if they define no more than how they are set up. So do layers with torch's own
    parametrisations (`torch.nn.utils.parametrizations`): their weight is read as it is in eval
    mode.

    Raises:
        TypeError, with the module's `name`: what it computes may be something else than its weights
            say: forward hooks (of torch's deprecated `weight_norm` and of pruning too), methods
            replaced on the instance, parametrisations of another's making.
    """
    ours = parametrize.type_before_parametrizations(module)
    kind = next((k for k in kinds if issubclass(ours, k)), None)
    subclasses = ours.__mro__[: ours.__mro__.index(kind)] if kind else ()
    if kind is None or any(set(vars(subclass)) - HARMLESS for subclass in subclasses):
        return None
    parts, why = [module], None
    if parametrize.is_parametrized(module):
        parts += module.parametrizations.modules()
        for step in (step for part in module.parametrizations.values() for step in part):
            if type(step).__module__ != "torch.nn.utils.parametrizations":
                why = f"the parametrisation {type(step).__name__}"
    if torch_module._global_forward_hooks or torch_module._global_forward_pre_hooks:
        why = "forward hooks for all modules"
    for part in parts:
        if any(getattr(part, hooks) for hooks in HOOKS):
            why = "forward hooks (weight_norm of old and pruning set some, too)"
        for attribute, value in vars(part).items():
            if callable(value) and hasattr(type(part), attribute):
                why = f"{attribute} replaced"
    if why:
        raise TypeError(f"{name}: got {type(module).__name__} with {why}, expected one that "
                        "computes what its weights say and nothing else")
    return kind
