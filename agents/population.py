"""Many small networks of one shape, evaluated together in batched matrix products."""

import torch
from torch import Tensor, nn


class Population:
    """One network for each row of ``parameters``, all of the layers of ``network``."""

    def __init__(self, network: nn.Sequential, parameters: Tensor) -> None:
        """Takes ``(n, d)`` parameters in the order of ``torch.nn.utils.parameters_to_vector(network.parameters())``.

        Raises:
            ValueError: ``d`` is not how many parameters ``network`` has.
        """
        sizes = [parameter.numel() for parameter in network.parameters()]
        if parameters.ndim != 2 or parameters.shape[1] != sum(sizes):
            raise ValueError(f"parameters of shape {tuple(parameters.shape)}; accepted: (individuals, {sum(sizes)})")
        parts = iter(parameters.split(sizes, dim=1))
        self._layers: list[nn.Module | tuple[Tensor, Tensor | None]] = []
        for module in network:
            if not isinstance(module, nn.Linear):
                self._layers.append(module)
                continue
            weight = next(parts).reshape(-1, *module.weight.shape).transpose(1, 2)
            self._layers.append((weight, None if module.bias is None else next(parts).unsqueeze(1)))

    def __call__(self, inputs: Tensor) -> Tensor:
        """Outputs ``(n, m, out)`` of ``m`` inputs for each network, ``(n, m, in)``."""
        for layer in self._layers:
            if isinstance(layer, nn.Module):
                inputs = layer(inputs)
            else:
                weight, bias = layer
                inputs = torch.bmm(inputs, weight) if bias is None else torch.baddbmm(bias, inputs, weight)
        return inputs
