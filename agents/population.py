"""Many small policies of one shape that act together, in batched matrix products."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sb3_contrib.ars.policies import ARSPolicy
from torch import Tensor, nn

Array = npt.NDArray[Any]


class Population:
    """One policy for each row of ``parameters``, all with the layers of ``policy``."""

    def __init__(self, policy: ARSPolicy, parameters: Tensor) -> None:
        """Takes ``(n, d)`` parameters in the order of ``torch.nn.utils.parameters_to_vector(policy.parameters())``.

        Raises:
            ValueError: ``d`` is not how many parameters ``policy`` has.
        """
        sizes = [parameter.numel() for parameter in policy.parameters()]
        if parameters.ndim != 2 or parameters.shape[1] != sum(sizes):
            raise ValueError(f"parameters of shape {tuple(parameters.shape)}; accepted: (individuals, {sum(sizes)})")
        self._policy = policy
        parts = iter(parameters.split(sizes, dim=1))
        self._layers: list[nn.Module | tuple[Tensor, Tensor | None]] = []
        for module in policy.action_net:
            if not isinstance(module, nn.Linear):
                self._layers.append(module)
                continue
            weight = next(parts).reshape(-1, *module.weight.shape).transpose(1, 2)
            self._layers.append((weight, None if module.bias is None else next(parts).unsqueeze(1)))

    def __call__(self, inputs: Tensor) -> Tensor:
        """What the networks say, ``(n, m, actuators)``, of ``m`` observations for each, float32 ``(n, m, entries)``."""
        for layer in self._layers:
            if isinstance(layer, nn.Module):
                inputs = layer(inputs)
            else:
                weight, bias = layer
                inputs = torch.bmm(inputs, weight) if bias is None else torch.baddbmm(bias, inputs, weight)
        return inputs

    def act(self, observations: Array) -> Array:
        """Actions ``(n, m, actuators)``, as SB3's ``predict``, in ``m`` observations each, ``(n, m, entries)``."""
        with torch.no_grad():
            inputs = torch.as_tensor(observations, dtype=torch.float32, device=self._policy.device)
            actions = self(inputs).cpu().numpy()
        if self._policy.squash_output:
            return np.asarray(self._policy.unscale_action(actions))
        space: Any = self._policy.action_space
        return np.clip(actions, space.low, space.high)
