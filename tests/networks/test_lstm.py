from __future__ import annotations

import torch
from inkling.meta.episode import Support
from inkling.meta.head import BIAS, SCALE, WEIGHT
from inkling.meta.inner_loop import Initialization, InnerLoop, adapt
from inkling.networks.lstm import Lstm
from torch import nn

NETWORK = Lstm(hidden_size=8, layers=2, image_channels=1, image_size=6)


def initialization(dtype: torch.dtype = torch.float32) -> Initialization:
    params = NETWORK.initialize(torch.Generator().manual_seed(0))
    typed = {name: tensor.to(dtype) for name, tensor in params.items()}
    names = [*typed, WEIGHT, BIAS]
    return Initialization(
        {**typed, SCALE: torch.tensor(2.0, dtype=dtype)},
        {name: torch.full((2,), 0.1, dtype=dtype) for name in names},
        InnerLoop(2),
    )


def images(count: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn((count, *NETWORK.input_shape), generator=generator, dtype=dtype)


def test_features_are_the_mean_output_of_torchs_own_lstm() -> None:
    params = NETWORK.initialize(torch.Generator().manual_seed(0))
    reference = nn.LSTM(6, 8, num_layers=2, batch_first=True)
    with torch.no_grad():
        for number in range(2):
            layer = f"layer{number + 1}"
            getattr(reference, f"weight_ih_l{number}").copy_(params[f"{layer}.input"])
            getattr(reference, f"weight_hh_l{number}").copy_(params[f"{layer}.recurrent"])
            getattr(reference, f"bias_ih_l{number}").copy_(params[f"{layer}.bias"])
            getattr(reference, f"bias_hh_l{number}").zero_()
        rows = images(3).squeeze(1)
        expected = reference(rows)[0].mean(1)
        found = NETWORK.features(params, images(3))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_gradients_of_gradients_flow_through_the_adaptation() -> None:
    start = initialization(torch.float64)
    name = "layer1.recurrent"
    support = Support(images(4, torch.float64), torch.tensor([0, 0, 1, 1]), 2)

    def adapted_norm(tensor: torch.Tensor) -> torch.Tensor:
        moved = Initialization({**start.params, name: tensor}, start.step_sizes, start.inner_loop)
        fast = adapt(NETWORK, moved, support, second_order=True).fast_weights
        return torch.stack([fast[key].square().sum() for key in (name, WEIGHT)])

    checked = start.params[name].clone().requires_grad_()
    assert torch.autograd.gradcheck(adapted_norm, (checked,))


def test_adapting_stacked_support_sets_equals_one_by_one() -> None:
    start = initialization()
    stacked = images(12).reshape(3, 4, *NETWORK.input_shape)
    labels = torch.tensor([0, 0, 1, 1])

    def recurrent(support_images: torch.Tensor) -> torch.Tensor:
        support = Support(support_images, labels, 2)
        return adapt(NETWORK, start, support).fast_weights["layer2.recurrent"]

    together = torch.func.vmap(recurrent)(stacked)
    for row, alone in zip(together, stacked, strict=True):
        torch.testing.assert_close(row, recurrent(alone), rtol=1e-5, atol=1e-6)
