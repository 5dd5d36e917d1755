"""A user's torch module as a table of costs: one forward pass, watched operation by operation.

The pass runs on a copy of the module whose tensors have shapes and no values, so it computes
nothing; torch is imported on the first call only. What each operation counts as:

* A convolution, a product with weights (``dense``) and a product of two activations (``matmul``)
  cost multiply-accumulates; scaled-dot-product attention is two ``matmul`` and a ``softmax``, and
  a recurrent module one layer for each of its levels and directions. Nothing else has any.
* A view is free. So is whatever depends on weights and constants only and is no product or
  look-up (masks, weight normalisation): it need not be done again for each input.
* Every weight counts once, with the first layer that uses it, frozen ones too; weights that the
  pass does not use do not count, nor do buffers.
* A mean, maximum or sum is a ``pool``; sorting, padding and indexing are ``shuffle``.
"""

from __future__ import annotations

import copy
import dataclasses
import logging
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from edgesim.core.documents import PROFILE_NAME_PATTERN
from edgesim.core.errors import EdgesimError, did_you_mean
from edgesim.nn.model import (
    LAYER_KINDS,
    PRECISIONS,
    Accuracy,
    Layer,
    LayerKind,
    ModelCost,
    StateCounts,
)
from edgesim.nn.table import count_states

if TYPE_CHECKING:
    import torch

__all__ = ["from_module"]

_FREE: Final = frozenset(
    {
        *("alias", "detach", "lift", "lift_fresh", "lift_fresh_copy", "reshape_alias"),
        *("unsafe_view", "unsafe_split", "unsafe_split_with_sizes", "unsafe_chunk"),
    }
)
"""Views that torch does not declare as such."""

_MAKES: Final = re.compile(
    r"(new_)?(empty|zeros|ones|full|rand|randn|randint)(_like|_strided|_permuted)?|new_tensor"
)
"""Operations that take no more than a shape from their input."""

_KINDS: Final[tuple[tuple[LayerKind, str], ...]] = (
    ("relu", r"relu6?|hardtanh|leaky_relu|prelu_kernel|threshold|rrelu(_with_noise)?"),
    (
        "activation",
        r"sigmoid|hardsigmoid|silu|hardswish|tanh|gelu|elu|selu|celu|glu|mish|softplus"
        r"|log_sigmoid(_forward)?|hardshrink|softshrink|erf",
    ),
    ("softmax", r"(log_|safe_|masked_)?softmax|logsumexp"),
    (
        "normalisation",
        r"(native_)?(layer|group)_norm|(fused_)?rms_norm(_composite)?|.*batch_norm.*",
    ),
    (
        "pool",
        r"(adaptive_)?(avg|max)_pool[123]d(_with_indices)?|fractional_max_pool[23]d"
        r"|mkldnn_.*pool.*|mean|(std|var)(_mean)?|aminmax|median|nanmedian|mode|kthvalue|norm",
    ),
    ("resize", r"upsample_.*|grid_sampler.*|affine_grid_generator"),
    (
        "shuffle",
        r"pack_padded_sequence|pad_packed_sequence"
        r"|cat|stack|clone|copy|contiguous|(constant_|reflection_|replication_)?pad([123n]d|_nd)?"
        r"|.*_copy|(native_)?channel_shuffle|pixel_(un)?shuffle|roll|flip|rot90|repeat"
        r"|repeat_interleave|(unsafe_)?index(_select|_put|_copy|_add|_fill)?|index_put_impl"
        r"|(unsafe_)?masked_(index|index_put_accumulate|select|scatter)|gather|take"
        r"|(slice_|select_|diagonal_|as_strided_|masked_)?scatter(_add|_reduce)?|im2col|col2im"
        r"|max_unpool[23]d|sort|topk|nonzero(_static)?|unique2?|unique_(dim|consecutive)|fill"
        r"|zero|set|resize|view_as_(real|complex)_copy|diag_embed|one_hot|searchsorted|bucketize",
    ),
    (
        "elementwise",
        r"to_copy|cum(sum|prod|max|min)|logcumsumexp|masked_fill|where|tril|triu|floor_divide"
        r"|native_dropout|dropout|bernoulli|complex|polar|cross|linalg_cross"
        r"|clamp(_min|_max)?|lerp|addcmul|addcdiv",
    ),
)
"""What an operation is by its name, without underscores at the ends; the first that fits."""

_PRODUCTS: Final = frozenset(
    {"mm", "addmm", "bmm", "baddbmm", "addbmm", "linear", "int_mm", "addmm_activation"}
)
_VECTOR_PRODUCTS: Final = frozenset({"mv", "addmv", "dot", "vdot"})
_CONVOLUTIONS: Final = frozenset({"convolution", "convolution_overrideable"})
_LOOKUPS: Final = frozenset({"embedding", "embedding_bag", "embedding_bag_forward_only"})
_INDEXING: Final = frozenset({"index", "unsafe_index", "index_select", "gather"})
_HEAVY: Final = re.compile(
    r".*(linalg|fft|cholesky|svd|qr|solve|inverse|lu_|eig|mm|conv|cdist|trilinear|attention|attn"
    r"|rnn|lstm|gru|matrix|flex).*"
)
"""Unknown operations that cannot be as cheap as the shape of their output suggests."""


def from_module(
    module: torch.nn.Module,
    example_input: torch.Tensor | Sequence[torch.Tensor] | Mapping[str, torch.Tensor],
    *,
    name: str | None = None,
    task: str = "",
    input_description: str | None = None,
    input_bytes: int | None = None,
    output_bytes: int | None = None,
    accuracy: Mapping[str, Accuracy] | None = None,
    state_counts: StateCounts | None = None,
    unsupported_on: Iterable[str] = (),
    source: str | None = None,
    batch_dimension: int | None = 0,
    count_as: Mapping[str, LayerKind] | None = None,
) -> ModelCost:
    """The cost table of a torch module, in evaluation mode, for one input.

    The module itself is neither run nor changed; a copy is, with its hooks. If the copy cannot
    run without values (a branch on what was computed), it runs once more, on the CPU with values.
    An operation that is not known but works value by value counts as ``elementwise``, and one
    warning names all of these.

    Args:
        module: the model.
        example_input: one input, a batch of one, as ``module`` takes it: a tensor; a tuple of
            tensors for several arguments; a dictionary for keyword arguments. Only shapes, types
            and, for the run with values, values matter.
        name: the name scenarios use; by default the class's name in snake case.
        task: what it does: ``image classification``.
        input_description: shape and type of one input; by default those of ``example_input``
            without the batch.
        input_bytes: what is sent to run it elsewhere; by default the bytes of ``example_input``,
            which for an image in float32 are four times those of its raw pixels.
        output_bytes: what comes back; by default the bytes of all tensors returned.
        accuracy: by precision; a precision without an entry is not offered.
        state_counts: layer counts for AutoScale's state; by default counted from the layers.
        unsupported_on: kinds or families of processor that cannot run it.
        source: where it comes from; by default the class and torch's version.
        batch_dimension: the dimension of every input tensor that must be 1; ``None`` if there is
            no batch, and the whole of ``example_input`` is one input.
        count_as: kinds for operations, by the name that messages give them
            (``{"torchvision::nms": "elementwise"}``), without multiply-accumulates.

    Raises:
        EdgesimError: if torch is not installed; if ``module`` is no module or TorchScript, has lazy layers that
            never ran, or cannot be copied; if ``example_input`` is not one input or does not fit;
            if the forward pass fails; if it uses operations whose cost is not known; if there is
            nothing in it to count; for a name, precision or kind that does not exist.
    """
    try:
        import torch
    except ImportError as error:
        raise EdgesimError(
            f"from_module needs PyTorch, which cannot be imported ({error}): pip install torch; "
            "or write the layers to a file and use read_model"
        ) from None
    if not isinstance(module, torch.nn.Module):
        found = repr(module) if isinstance(module, type) else f"a {type(module).__name__}"
        raise EdgesimError(f"module must be an instance of torch.nn.Module; found {found}")
    # What torch.compile returns; its layers are those of the module within.
    inner = getattr(module, "_orig_mod", None)
    module = inner if isinstance(inner, torch.nn.Module) else module
    name = _checked_name(name, type(module).__name__)
    for precision in accuracy or {}:
        if precision not in PRECISIONS:
            raise EdgesimError(
                f"accuracy: unknown precision {precision!r}; {did_you_mean(precision, PRECISIONS)}"
            )
    for operation, kind in (count_as or {}).items():
        if kind not in LAYER_KINDS:
            raise EdgesimError(
                f"count_as: unknown kind {kind!r} for {operation}; {did_you_mean(kind, LAYER_KINDS)}"
            )
    arguments = _arguments(example_input, batch_dimension)
    for path, parameter in module.named_parameters():
        if torch.nn.parameter.is_lazy(parameter):
            raise EdgesimError(
                f"{path!r} of {type(module).__name__} has no shape yet; call the module once before"
            )

    for path, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            where = f"{path!r} of {type(module).__name__}" if path else "module"
            raise EdgesimError(f"{where} is TorchScript; pass the module that it was made from")

    watch = _traced(module, arguments, count_as or {})
    if watch.unknown:
        raise EdgesimError(
            f"the cost of {_listed(watch.unknown)} is not known; give each a kind, without "
            f"multiply-accumulates, with count_as={{{next(iter(watch.unknown))!r}: 'elementwise'}}, "
            "or write the layers to a file and use read_model"
        )
    if not watch.rows:
        raise EdgesimError(
            f"there are no layers: {type(module).__name__} computes nothing from example_input"
        )
    if output_bytes is None and not watch.outputs:
        raise EdgesimError(
            f"{type(module).__name__} returns no tensor; say with output_bytes what comes back"
        )
    if watch.guessed:
        warnings.warn(
            f"counted as elementwise, for want of knowing better: {_listed(watch.guessed)}; "
            "count_as decides otherwise",
            stacklevel=2,
        )
    layers = watch.layers()
    kind_of = type(module)
    return ModelCost(
        name=name,
        task=task,
        input=input_description or _described(arguments, batch_dimension),
        layers=layers,
        input_bytes=_bytes(arguments.values()) if input_bytes is None else input_bytes,
        output_bytes=_bytes(watch.outputs) if output_bytes is None else output_bytes,
        accuracy=dict(accuracy or {}),
        state_counts=state_counts or count_states(layers),
        source=source
        or f"traced from {kind_of.__module__}.{kind_of.__qualname__} with torch {torch.__version__}",
        unsupported_on=frozenset(unsupported_on),
    )


def _checked_name(name: str | None, class_name: str) -> str:
    if name is None:
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", class_name)
        name = re.sub(r"\W", "_", words, flags=re.ASCII).strip("_").lower()
    if not re.fullmatch(PROFILE_NAME_PATTERN, name) or len(name) > 64:
        raise EdgesimError(
            f"a model's name begins with a-z and holds at most 64 of a-z, digits and _; found {name!r}"
        )
    return name


def _arguments(example: Any, batch_dimension: int | None) -> dict[int | str, torch.Tensor]:
    """The tensors of an example by position or keyword."""
    import torch

    found: dict[int | str, Any]
    if isinstance(example, torch.Tensor):
        found = {0: example}
    elif isinstance(example, Mapping):
        found = dict(example)
    elif isinstance(example, Sequence) and not isinstance(example, str | bytes):
        found = dict(enumerate(example))
    else:
        raise EdgesimError(
            "example_input must be a tensor, a tuple of tensors or a dictionary of tensors; found "
            f"{_article(example)}"
        )
    if not found:
        raise EdgesimError("example_input is empty; give the module's arguments")
    for key, tensor in found.items():
        where = "example_input" if tensor is example else f"example_input[{key!r}]"
        if not isinstance(key, int | str) or (
            isinstance(key, int) and isinstance(example, Mapping)
        ):
            raise EdgesimError(f"example_input: keyword arguments have names; found {key!r}")
        if not isinstance(tensor, torch.Tensor):
            raise EdgesimError(
                f"{where} must be a tensor; found {_article(tensor)}"
                + ("; use torch.from_numpy" if type(tensor).__module__ == "numpy" else "")
            )
        if tensor.layout != torch.strided:
            raise EdgesimError(f"{where} must be a dense tensor; found {tensor.layout}")
        if tensor.numel() == 0:
            raise EdgesimError(f"{where} holds no values; its shape is {tuple(tensor.shape)}")
        if batch_dimension is None or tensor.ndim == 0:
            continue
        if not -tensor.ndim <= batch_dimension < tensor.ndim:
            raise EdgesimError(f"{where} has no dimension {batch_dimension}: {_shape(tensor)}")
        if tensor.shape[batch_dimension] != 1:
            raise EdgesimError(
                f"{where} must be a batch of one, but dimension {batch_dimension} of "
                f"{_shape(tensor)} is {tensor.shape[batch_dimension]}; cut it down to one input, or "
                "say with batch_dimension where the batch is (None: nowhere)"
            )
    return found


def _article(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _shape(tensor: torch.Tensor) -> str:
    return " x ".join(str(size) for size in tensor.shape) or "one value"


def _described(arguments: Mapping[int | str, torch.Tensor], batch_dimension: int | None) -> str:
    parts = []
    for key, tensor in arguments.items():
        one = tensor
        if batch_dimension is not None and tensor.ndim > 1:
            one = tensor.select(batch_dimension, 0)
        text = f"{_shape(one)} {str(tensor.dtype).removeprefix('torch.')}"
        parts.append(f"{key}: {text}" if isinstance(key, str) else text)
    return ", ".join(parts)


def _bytes(tensors: Iterable[torch.Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _listed(operations: Mapping[str, str]) -> str:
    """Operations, each with the first place where it was met."""
    return ", ".join(f"{name} ({place})" for name, place in operations.items())


def _traced(
    module: torch.nn.Module,
    arguments: Mapping[int | str, torch.Tensor],
    count_as: Mapping[str, LayerKind],
) -> _Watch:
    """What a pass does, without values if it can do without."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    try:
        with _quiet("torch._subclasses.fake_tensor"), FakeTensorMode(allow_non_fake_inputs=True):
            return _run(module, arguments, _without_values, count_as)
    except _PassError as error:
        if any(tensor.is_meta for tensor in (*arguments.values(), *module.parameters())):
            raise EdgesimError(error.args[0]) from error.__cause__
    try:
        return _run(module, arguments, _with_values, count_as)
    except _PassError as error:
        raise EdgesimError(error.args[0]) from error.__cause__


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Keep a logger still: torch logs a traceback of what is told to the user in a sentence."""
    logger = logging.getLogger(name)
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


class _PassError(Exception):
    """A pass failed; its message is the user's, its cause what was raised."""


def _without_values(tensor: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype)


def _with_values(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().to("cpu", copy=True)


def _copied(module: torch.nn.Module, convert: Callable[[Any], Any]) -> torch.nn.Module:
    """A copy in evaluation mode, on the CPU, with tied weights still tied."""
    import torch

    memo: dict[int, Any] = {}
    for part in module.modules():
        for tensor in (*part._parameters.values(), *part._buffers.values(), *vars(part).values()):
            if isinstance(tensor, torch.Tensor) and id(tensor) not in memo:
                new = convert(tensor)
                if isinstance(tensor, torch.nn.Parameter):
                    new = torch.nn.Parameter(new, requires_grad=False)
                memo[id(tensor)] = new
    return copy.deepcopy(module, memo).eval()


def _run(
    module: torch.nn.Module,
    arguments: Mapping[int | str, torch.Tensor],
    convert: Callable[[Any], Any],
    count_as: Mapping[str, LayerKind],
) -> _Watch:
    import torch

    class_name = type(module).__name__
    with torch.random.fork_rng(devices=()), torch.inference_mode(False), torch.no_grad():
        try:
            ours = _copied(module, convert)
        except Exception as error:
            raise _PassError(
                f"{class_name} cannot be copied, which is needed to leave it as it is "
                f"({_said(error)}); keep out of it what copy.deepcopy does not take"
            ) from error
        # A tensor that is given twice is one: self-attention looks for that.
        once = {id(tensor): convert(tensor) for tensor in arguments.values()}
        inputs = {key: once[id(tensor)] for key, tensor in arguments.items()}
        watch = _Watch(ours, inputs.values(), count_as)
        positional = [tensor for key, tensor in inputs.items() if isinstance(key, int)]
        keywords = {key: tensor for key, tensor in inputs.items() if isinstance(key, str)}
        try:
            with watch.watching():
                result = ours(*positional, **keywords)
        except Exception as error:
            raise _PassError(
                f"the forward pass of {class_name} fails {watch.place_of(error)}: {_said(error)}; "
                f"example_input is {_described(arguments, None)}"
            ) from error
        watch.outputs = list(_tensors_within(result))
    return watch


def _said(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text if len(text) <= 400 else text[:397] + '...'}"


def _tensors_within(value: Any) -> Iterator[torch.Tensor]:
    """The tensors that a module returned, each once."""
    import torch

    seen: set[int] = set()

    def walk(value: Any) -> Iterator[torch.Tensor]:
        if isinstance(value, torch.Tensor):
            if id(value) not in seen:
                seen.add(id(value))
                yield value
        elif isinstance(value, Mapping):
            for item in value.values():
                yield from walk(item)
        elif isinstance(value, list | tuple):
            for item in value:
                yield from walk(item)
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            for entry in dataclasses.fields(value):
                yield from walk(getattr(value, entry.name))

    return walk(value)


@dataclass(slots=True)
class _Origin:
    """What a piece of memory holds.

    Attributes:
        varies: whether it depends on the input, or on a product, which is never done in advance.
        weights: the parameters that went into it, if it does not vary.
    """

    varies: bool
    weights: tuple[str, ...] = ()


@dataclass(slots=True)
class _Draft:
    """A layer to be."""

    name: str
    kind: LayerKind
    macs: int
    parameters: int
    inputs: int
    outputs: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    groups: int = 1


class _Watch:
    """Notes what a pass does.

    Attributes:
        rows: the layers so far.
        outputs: the tensors that the pass returned.
        unknown: operations that cannot be counted, with the first place of each.
        guessed: operations counted as elementwise only because of their shape, likewise.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        inputs: Iterable[torch.Tensor],
        count_as: Mapping[str, LayerKind],
    ) -> None:
        self.rows: list[_Draft] = []
        self.outputs: list[torch.Tensor] = []
        self.unknown: dict[str, str] = {}
        self.guessed: dict[str, str] = {}
        self._module = module
        self._count_as = count_as
        self._names: set[str] = set()
        self._paths = {id(part): path for path, part in module.named_modules()}
        self._stack: list[torch.nn.Module] = []
        self._hidden = 0
        self._origins: dict[int, _Origin] = {}
        # Memory must not be freed and used again, or its origin would be another's.
        self._alive: list[torch.Tensor] = []
        self._left: dict[str, int] = {}
        self._owner: dict[str, _Draft] = {}
        self._cells: dict[str, _Draft] = {}
        for path, parameter in module.named_parameters():
            self._left[path] = parameter.numel()
            self._origins[_memory(parameter)] = _Origin(False, (path,))
        for tensor in inputs:
            self._alive.append(tensor)
            self._origins[_memory(tensor)] = _Origin(True)

    def layers(self) -> tuple[Layer, ...]:
        """The table; whatever of a weight only its shape or a slice was used is whole here."""
        for path, row in self._owner.items():
            row.parameters += self._left[path]
            self._left[path] = 0
        return tuple(
            Layer(
                row.name,
                row.kind,
                row.macs,
                row.parameters,
                max(row.inputs, 1),
                row.outputs,
                row.kernel,
                row.stride,
                row.groups,
            )
            for row in self.rows
        )

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While this is open, all that torch does is noted."""
        import torch
        from torch.overrides import TorchFunctionMode
        from torch.utils._python_dispatch import TorchDispatchMode

        watch = self

        class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call, unused-ignore]
            def __torch_dispatch__(
                self, func: Any, types: Any, args: Any = (), kwargs: Any = None
            ) -> Any:
                result = func(*args, **(kwargs or {}))
                watch.operation(func, args, kwargs or {}, result)
                return result

        class Functions(TorchFunctionMode):
            def __torch_function__(
                self, func: Any, types: Any, args: Any = (), kwargs: Any = None
            ) -> Any:
                return watch.function(func, args, kwargs or {})

        for part in self._module.modules():
            part.register_forward_pre_hook(self._enter)
            part.register_forward_hook(self._leave, with_kwargs=True, always_call=True)
        with ExitStack() as stack:
            # The fused transformer layer would be one opaque operation.
            fast = torch.backends.mha.get_fastpath_enabled()
            stack.callback(torch.backends.mha.set_fastpath_enabled, fast)
            torch.backends.mha.set_fastpath_enabled(False)
            stack.enter_context(Functions())
            stack.enter_context(Operations())  # type: ignore[no-untyped-call, unused-ignore]
            yield

    def _enter(self, module: torch.nn.Module, args: Any) -> None:
        self._stack.append(module)
        self._hidden += _is_recurrent(module)

    def _leave(self, module: torch.nn.Module, args: Any, kwargs: Any, result: Any) -> None:
        while self._stack:
            left = self._stack.pop()
            self._hidden -= _is_recurrent(left)
            if left is module:
                break
        # After an exception there is no result.
        if _is_recurrent(module) and result is not None and not self._hidden:
            self._recurrent(module, args[0] if args else kwargs["input"])

    def place_of(self, error: Exception) -> str:
        """Where an exception arose: the innermost module and the user's own line."""
        import torch

        ours = (str(Path(torch.__file__).parent / "_")[:-1], __file__)
        module, line = "", ""
        frame: FrameType
        trace = error.__traceback__
        while trace is not None:
            frame, number = trace.tb_frame, trace.tb_lineno
            part = frame.f_locals.get("self")
            if isinstance(part, torch.nn.Module) and id(part) in self._paths:
                path = self._paths[id(part)]
                module = f"in {path!r} ({type(part).__name__})" if path else "in the module itself"
            file = frame.f_code.co_filename
            if not file.startswith(ours):
                line = f", {Path(file).name} line {number}"
            trace = trace.tb_next
        return (module or "before its first layer") + line

    def function(self, func: Any, args: Any, kwargs: Any) -> Any:
        """A function of torch, before it is taken apart into operations."""
        import torch
        from torch.nn import functional

        # Taken apart in different ways on different machines, or into many operations.
        whole: LayerKind | None = None
        if func is functional.scaled_dot_product_attention:
            whole = "matmul"
        elif func in (
            functional.rms_norm,
            torch.rms_norm,
            functional.local_response_norm,
            functional.normalize,
        ):
            whole = "normalisation"
        if whole is None:
            return func(*args, **kwargs)
        self._hidden += 1
        try:
            result = func(*args, **kwargs)
        finally:
            self._hidden -= 1
        given = [value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor)]
        if self._hidden:
            return result
        if whole == "matmul":
            query, key, value = (
                args[index] if index < len(args) else kwargs[word]
                for index, word in enumerate(("query", "key", "value"))
            )
            self._attention(query, key, value, result, given)
        elif any(self._varies(tensor) for tensor in given):
            self._add(whole, func.__name__, given, outputs=result.numel())
        return result

    def operation(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        """One operation of torch, after it ran."""
        given = list(_flat((args, tuple(kwargs.values()))))
        made = list(_flat(result))
        before = {_memory(tensor) for tensor in given}
        full = func._schema.name
        space, _, raw = full.partition("::")
        word = raw.strip("_")
        varying = [tensor for tensor in given if self._varies(tensor)]
        is_product = word in _PRODUCTS or word in _CONVOLUTIONS or word in _LOOKUPS
        is_view = bool(made) and all(_memory(tensor) in before for tensor in made)
        mutates = func._schema.is_mutable
        free = (
            not made
            or space == "prim"
            or word in _FREE
            or _MAKES.fullmatch(word) is not None
            or (is_view and not mutates)
            or _tagged(func, "inplace_view")
            or not any(tensor.numel() for tensor in made)
            or not (varying or is_product)
        )
        if not free and not self._hidden:
            self._count(func, full, word, args, given, varying, made)
        self._pass_on(word, given, varying, made, before, is_product)

    def _pass_on(
        self,
        word: str,
        given: list[torch.Tensor],
        varying: list[torch.Tensor],
        made: list[torch.Tensor],
        before: set[int],
        is_product: bool,
    ) -> None:
        """Note what the results depend on."""
        varies = bool(varying) or is_product
        weights = dict.fromkeys(path for t in given for path in self._origin(t).weights)
        origin = _Origin(varies, () if varies else tuple(weights))
        if _MAKES.fullmatch(word):
            origin = _Origin(False)
        for tensor in made:
            key = _memory(tensor)
            self._alive.append(tensor)
            if key not in before:
                self._origins[key] = origin
            elif varies and not self._origin(tensor).varies:
                # Written into memory that did not vary; a view of what varies stays as it is.
                self._origins[key] = _Origin(True)

    def _origin(self, tensor: torch.Tensor) -> _Origin:
        return self._origins.get(_memory(tensor), _Origin(False))

    def _varies(self, tensor: torch.Tensor) -> bool:
        return self._origin(tensor).varies

    def _count(
        self,
        func: Any,
        full: str,
        word: str,
        args: Any,
        given: list[torch.Tensor],
        varying: list[torch.Tensor],
        made: list[torch.Tensor],
    ) -> None:
        outputs = made[0].numel()
        if full in self._count_as:
            self._add(self._count_as[full], word, given, outputs=outputs)
        elif not full.startswith("aten::"):
            self.unknown.setdefault(full, self._here())
        elif word in _CONVOLUTIONS:
            self._convolution(args, given, made[0])
        elif word in _PRODUCTS or word in _VECTOR_PRODUCTS:
            self._product(word, args, given, made[0])
        elif word.startswith("scaled_dot_product_"):
            self._attention(args[0], args[1], args[2], made[0], given)
        elif word in ("cdist_forward", "euclidean_dist"):
            features = args[0].shape[-1]
            self._add("matmul", "cdist", given, macs=outputs * features, outputs=outputs)
        elif word in _LOOKUPS or (word in _INDEXING and not self._varies(given[0])):
            size = args[1].numel() * given[0].shape[-1] if word in _LOOKUPS else outputs
            self._add("embedding", word, given, inputs=size, outputs=outputs)
        else:
            self._simple(func, full, word, args, given, varying, made)

    def _simple(
        self,
        func: Any,
        full: str,
        word: str,
        args: Any,
        given: list[torch.Tensor],
        varying: list[torch.Tensor],
        made: list[torch.Tensor],
    ) -> None:
        """An operation without multiply-accumulates."""
        outputs = made[0].numel()
        kind = next((kind for kind, names in _KINDS if re.fullmatch(names, word)), None)
        if word in ("clamp", "clamp_min") and len(args) > 1 and args[1] == 0:
            kind = "relu"
        elif "batch_norm" in word and _is_foldable(func, args):
            kind = "batchnorm"
        elif kind is None and _tagged(func, "pointwise"):
            kind = "elementwise"
        elif kind is None and _tagged(func, "reduction"):
            kind = "pool"
        if kind is None:
            widest = max((tuple(tensor.shape) for tensor in varying), key=prod)
            if _HEAVY.fullmatch(word) or tuple(made[0].shape) != widest:
                self.unknown.setdefault(full, self._here())
                return
            self.guessed.setdefault(full, self._here())
            kind = "elementwise"
        if kind == "pool":
            kernel, stride = _window(word, args, made[0])
            self._add(kind, word, given[:1], outputs=outputs, kernel=kernel, stride=stride)
        elif kind == "shuffle":
            written = sum(tensor.numel() for tensor in made)
            # What is read is what is written, except where something is chosen or added.
            read = min(sum(tensor.numel() for tensor in varying), written)
            if word in ("sort", "topk"):
                read = varying[0].numel()
            self._add(kind, word, given, inputs=read, outputs=written)
        else:
            self._add(kind, word, given, outputs=outputs)

    def _convolution(self, args: Any, given: list[torch.Tensor], made: torch.Tensor) -> None:
        signal, weight, steps, transposed, groups = args[0], args[1], args[3], args[6], args[8]
        channels = weight.shape[0] if transposed else weight.shape[1] * groups
        window = [*weight.shape[2:]]
        kind: LayerKind = (
            "depthwise"
            if groups > 1 and groups == channels
            else "grouped"
            if groups > 1
            else "pointwise"
            if prod(window) == 1
            else "conv"
        )
        # Each value of the output (of the input, if transposed) meets one filter.
        meets = (signal if transposed else made).numel()
        self._add(
            kind,
            "conv",
            given,
            macs=meets * prod(weight.shape[1:]),
            outputs=made.numel(),
            kernel=_two(window),
            stride=steps[0],
            groups=groups,
            weight=weight,
        )

    def _product(self, word: str, args: Any, given: list[torch.Tensor], made: torch.Tensor) -> None:
        # Those called add* begin with what is added.
        a, b = args[1:3] if word in ("addmm", "baddbmm", "addbmm", "addmv") else args[:2]
        if word == "addmm_activation":
            a, b = args[1:3]
        if word == "addbmm":
            macs = a.shape[0] * a.shape[1] * b.shape[1] * b.shape[2]
        elif word == "linear":
            macs = a.numel() * b.shape[0]
        else:
            macs = a.numel() * (1 if b.ndim == 1 else b.shape[-1])
        both = self._varies(a) and self._varies(b)
        kind: LayerKind = "matmul" if both else "dense"
        weight = None if both else a if self._varies(b) else b
        read = a.numel() if weight is not None and not self._varies(a) and weight is b else None
        self._add(
            kind,
            "matmul" if both else "linear",
            given,
            macs=macs,
            inputs=read,
            outputs=made.numel(),
            weight=weight,
        )

    def _attention(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        result: torch.Tensor,
        given: list[torch.Tensor],
    ) -> None:
        rows = query.numel() // query.shape[-1]
        scores = rows * key.shape[-2]
        self._add(
            "matmul",
            "attention.scores",
            given,
            macs=scores * query.shape[-1],
            inputs=query.numel() + key.numel(),
            outputs=scores,
        )
        self._add("softmax", "attention.softmax", [], inputs=scores, outputs=scores)
        self._add(
            "matmul",
            "attention.context",
            [],
            macs=scores * value.shape[-1],
            inputs=scores + value.numel(),
            outputs=result.numel(),
        )

    def _recurrent(self, module: Any, signal: Any) -> None:
        """A recurrent module: one layer for each of its levels and directions, or for a cell."""
        import torch

        data = signal.data if isinstance(signal, torch.nn.utils.rnn.PackedSequence) else signal
        path = self._paths[id(module)] or "recurrent"
        if isinstance(module, torch.nn.RNNCellBase):
            row = self._cells.get(path)
            steps = data.numel() // module.input_size
            if row is None:
                weights = _weights(module, "")
                row = self._add("recurrent", "", weights, inputs=0, outputs=0, name=path)
                self._cells[path] = row
            # A cell that is called for every step of a sequence is one layer.
            size = module.weight_ih.numel() + module.weight_hh.numel()
            row.macs += steps * size
            row.inputs += data.numel()
            row.outputs += steps * module.hidden_size
            return
        steps = data.numel() // module.input_size
        directions = ("", "_reverse") if module.bidirectional else ("",)
        for level in range(module.num_layers):
            for direction in directions:
                end = f"_l{level}{direction}"
                weights = _weights(module, end)
                single = module.num_layers == len(directions) == 1
                self._add(
                    "recurrent",
                    "",
                    weights,
                    macs=steps * sum(w.numel() for w in weights if w.ndim > 1),
                    inputs=steps * weights[0].shape[1],
                    outputs=steps * (module.proj_size or module.hidden_size),
                    name=path if single else f"{path}.{end[1:]}",
                )

    def _add(
        self,
        kind: LayerKind,
        word: str,
        given: Sequence[torch.Tensor],
        *,
        macs: int = 0,
        inputs: int | None = None,
        outputs: int,
        kernel: tuple[int, int] = (1, 1),
        stride: int = 1,
        groups: int = 1,
        weight: torch.Tensor | None = None,
        name: str | None = None,
    ) -> _Draft:
        """Note a layer; by default it reads what varies of ``given``, and uses the rest."""
        if inputs is None:
            inputs = sum(tensor.numel() for tensor in given if self._varies(tensor))
        row = _Draft("", kind, macs, 0, inputs, outputs, kernel, stride, groups)
        for tensor in given:
            origin = self._origin(tensor)
            for path in origin.weights:
                size = tensor.numel() if len(origin.weights) == 1 else self._left[path]
                used = min(size, self._left[path])
                row.parameters += used
                self._left[path] -= used
                self._owner.setdefault(path, row)
        row.name = self._unique(name or self._name(word or kind, weight))
        self.rows.append(row)
        return row

    def _name(self, word: str, weight: torch.Tensor | None) -> str:
        """By module; by weight, where a module with others within does the work itself."""
        path = self._paths[id(self._stack[-1])] if self._stack else ""
        is_leaf = bool(self._stack) and not any(self._stack[-1].children())
        if path and is_leaf and path not in self._names:
            return path
        if weight is not None and (weights := self._origin(weight).weights):
            own = weights[0].partition(".parametrizations.")[0].removesuffix("weight").rstrip("._")
            if own and own not in self._names and own.startswith(path):
                return own
        return f"{path}.{word}" if path else word

    def _unique(self, name: str) -> str:
        number, wanted = 1, name
        while name in self._names:
            number += 1
            name = f"{wanted}#{number}"
        self._names.add(name)
        return name

    def _here(self) -> str:
        path = self._paths[id(self._stack[-1])] if self._stack else ""
        return f"in {path!r}" if path else "in the module itself"


def _weights(module: torch.nn.Module, end: str) -> list[torch.Tensor]:
    """The weights of one level and direction of a recurrent module, that of its input first."""
    stems = ("weight_ih", "weight_hh", "weight_hr", "bias_ih", "bias_hh")
    found = (getattr(module, f"{stem}{end}", None) for stem in stems)
    return [weight for weight in found if weight is not None]


def _is_recurrent(module: object) -> bool:
    import torch

    return isinstance(module, torch.nn.RNNBase | torch.nn.RNNCellBase)


def _flat(value: Any) -> Iterator[torch.Tensor]:
    import torch

    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _flat(item)


def _memory(tensor: torch.Tensor) -> int:
    """What tells a tensor's memory from another's; views share it."""
    return int(tensor.untyped_storage()._cdata)


def _tagged(func: Any, tag: str) -> bool:
    import torch

    return getattr(torch.Tag, tag) in func.tags


def _is_foldable(func: Any, args: Any) -> bool:
    """Whether this batch normalisation has fixed statistics, so that it is a scale and a shift."""
    names = [argument.name for argument in func._schema.arguments]
    if "running_mean" not in names or args[names.index("running_mean")] is None:
        return False
    return "training" not in names or not args[names.index("training")]


def _two(sizes: Sequence[int]) -> tuple[int, int]:
    """Height and width of a window of any dimension; a sequence has width 1."""
    if not sizes:
        return (1, 1)
    return (sizes[0], 1) if len(sizes) == 1 else (sizes[-2], sizes[-1])


def _window(word: str, args: Any, made: torch.Tensor) -> tuple[tuple[int, int], int]:
    """Window and step of a pool or of a reduction."""
    signal = args[0]
    if word.startswith("adaptive_"):
        ratios = [
            (-(-before // after), before // after if after > 1 else 1)
            for before, after in zip(signal.shape[2:], made.shape[2:], strict=True)
        ]
        return _two([window for window, _ in ratios]), max(1, ratios[0][1])
    if "_pool" in word:
        kernel = args[1]
        steps = args[2] if len(args) > 2 and args[2] else kernel
        return _two(kernel), steps[0]
    given = args[1] if len(args) > 1 else None
    dims = [given] if isinstance(given, int) and not isinstance(given, bool) else given
    if isinstance(dims, list | tuple) and 1 <= len(dims) <= 2:
        return _two([signal.shape[dim] for dim in sorted(dim % signal.ndim for dim in dims)]), 1
    return (1, 1), 1
