"""A trained network as a function of windows, with the same bits for a row in whatever company it comes."""

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.models.bundle import Bundle
from components.models.networks.network import Network, torch_here
from components.models.serving import Answer
from engine.errors import StateError
from engine.events import Vector

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = "weights.safetensors"
_BLOCK = 256  # rows answered at once, zeros behind the last: products of one shape treat each row alike


class Net(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """A network with its weights, and how its windows are made."""

    network: Network
    width: int
    steps: int
    flat: bool
    fill: bool
    weights: "dict[str, Any]" = {}


def answering(net: Net, *, narrow: bool) -> Answer:
    """Rows (R, steps, F), or (R, F) of one slice, to answers (R,) float64; in bfloat16 if `narrow`."""
    from components.training.windows import cleaned, shaped

    torch = torch_here("a network")
    with torch.random.fork_rng(devices=[]):  # what draws its first weights must not touch a training nearby
        parts = net.network.parts(net.width, net.steps)
    parts.load_state_dict(net.weights)
    parts.train(False)

    def answer(rows: NDArray[Any]) -> Vector:
        torch_here("a network")
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=narrow):
            given = torch.from_numpy(np.ascontiguousarray(rows, np.float32).reshape(len(rows), -1, rows.shape[-1]))
            windows = shaped(cleaned(given, fill=net.fill), net.steps, net.flat)
            padded = windows.new_zeros((-(-len(rows) // _BLOCK) * _BLOCK, *windows.shape[1:]))
            padded[: len(rows)] = windows
            blocks = (padded[k : k + _BLOCK] for k in range(0, len(padded), _BLOCK))
            found = [net.network.forward(parts, block).float() for block in blocks]
            value: Vector = torch.cat(found)[: len(rows)].double().numpy()
        return value

    return answer


def weights_of(weights: "dict[str, Tensor]") -> bytes:
    from safetensors.torch import save

    content: bytes = save({name: each.contiguous() for name, each in weights.items()})
    return content


def tensors_of_weights(bundle: Bundle) -> "dict[str, Tensor]":
    """The weights of an artefact that was seen to be right."""
    torch_here("a network")
    from safetensors.torch import load

    found: dict[str, Tensor] = load(bundle.weights[WEIGHTS])
    return found


def opened(net: Net, bundle: Bundle, *, narrow: bool) -> Answer:
    """The function of a network with the weights of an artefact. StateError where they do not fit it."""
    if set(bundle.weights) != {WEIGHTS}:
        raise StateError(f"an artefact of {sorted(bundle.weights)} is no network; name another one")
    torch_here("a network")
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        weights = load(bundle.weights[WEIGHTS])
        if not all(each.isfinite().all() for each in weights.values()):
            raise ValueError("some are no finite numbers")
        return answering(msgspec.structs.replace(net, weights=weights), narrow=narrow)
    except (SafetensorError, RuntimeError, KeyError, ValueError) as error:
        said = str(error).splitlines()[0]
        raise StateError(f"{net.network.kind}: its weights do not fit ({said}); train it again") from error


def narrow_here(device: str) -> bool:
    """Whether products in bfloat16 are faster than in float32: the machine has instructions for them."""
    torch = torch_here("a network")
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
