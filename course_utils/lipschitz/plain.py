"""Whether a module computes what its kind computes, and nothing else: bounds hold for no other."""

from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.nn.utils import parametrize

# What a subclass may define without changing what it computes.
HARMLESS = {"__annotations__", "__annotate_func__", "__annotations_cache__"} | set(
    "__init__ __module__ __doc__ __qualname__ __constants__ extra_repr __getstate__ __deepcopy__ "
    "__static_attributes__ __firstlineno__".split()
)


def kind_of(module: nn.Module, kinds: tuple[type, ...], name: str) -> type | None:
    """Return which of these kinds a module is, in all that it computes; None if it is none.

    Subclasses count if they define no more than how they are set up. So do layers with torch's own
    parametrisations (`torch.nn.utils.parametrizations`), their weight read as in eval mode.

    Raises TypeError, with the module's `name`, where it may compute something else than its weights
    say: forward hooks (of torch's deprecated `weight_norm` and of pruning too), methods replaced,
    parametrisations of another's making, weights of a tensor type of their own.
    """
    ours = parametrize.type_before_parametrizations(module)
    kind = next((k for k in kinds if issubclass(ours, k)), None)
    # Behind the kind, too, a base may stand that comes before nn.Module's own methods.
    if not kind or any(set(vars(one)) - HARMLESS for one in {*ours.__mro__} - {*kind.__mro__}):
        return None
    parts, why = [module], None
    if parametrize.is_parametrized(module):
        parts += module.parametrizations.modules()
        if set(vars(type(module))) - HARMLESS - set(module.parametrizations):
            why = "methods replaced"
        for step in (step for part in module.parametrizations.values() for step in part):
            if type(step).__module__ != "torch.nn.utils.parametrizations":
                why = f"the parametrisation {type(step).__name__}"
    if torch_module._global_forward_hooks or torch_module._global_forward_pre_hooks:
        why = "forward hooks for all modules"
    for part in parts:
        if part._forward_hooks or part._forward_pre_hooks:
            why = "forward hooks (weight_norm of old and pruning set some, too)"
        for attribute, value in (vars(part) | part._parameters | part._buffers).items():
            if callable(value) and hasattr(type(part), attribute):
                why = f"{attribute} replaced"
            if isinstance(value, Tensor) and type(value) not in (Tensor, nn.Parameter):
                why = f"{attribute} of type {type(value).__name__}"
    if why:
        expected = "one that computes what its weights say and nothing else"
        raise TypeError(f"{name}: got {type(module).__name__} with {why}, expected {expected}")
    return kind
