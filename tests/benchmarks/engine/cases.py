"""What is measured: initializations, real images, and how much arithmetic they take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from inkling.checkpoints.catalogue import find_checkpoint
from inkling.checkpoints.checkpoint import load_checkpoint
from inkling.cli.demo import SAMPLES
from inkling.engine.work import SupportSet
from inkling.images.decode import decode
from inkling.images.drawing import Drawing
from inkling.images.prepared import Prepared
from inkling.meta.episode import Support
from inkling.meta.inner_loop import HEAD, Initialization, InnerLoop
from inkling.meta.network import Network
from inkling.meta.params import copied_channels_last
from inkling.networks.conv4 import Conv4
from inkling.networks.resnet12 import ResNet12
from torch.nn import functional

PHOTOGRAPHS = Path(__file__).parents[2] / "photographs"
DEFAULT = "default"
"""The model that ships."""
N_WAY, STEPS, RATE, SCALE = 5, 5, 0.02, 8.0


@dataclass(frozen=True)
class Model:
    """An initialization under a name. ``everything`` adapts, by one rate, from a zero head."""

    name: str
    network: Network
    initialization: Initialization
    everything: bool


@dataclass(frozen=True)
class Case:
    """A model with a support set and queries, all of them preprocessed."""

    model: Model
    shot: int

    @property
    def name(self) -> str:
        """As it is reported."""
        return f"{self.model.name}, {N_WAY}-way {self.shot}-shot"

    def support(self) -> Support:
        """`(n_way * shot, channel, height, width)` images, class by class."""
        shape = self.model.network.input_shape
        labels = torch.arange(N_WAY).repeat_interleave(self.shot)
        return Support(images(shape, N_WAY, self.shot), labels, N_WAY)

    def queries(self, number: int) -> torch.Tensor:
        """`(number, channel, height, width)`."""
        shape = self.model.network.input_shape
        return images(shape, N_WAY, -(-number // N_WAY), first=10)[:number]


def shipped() -> Model:
    """The initialization that a server loads when it is told nothing."""
    checkpoint = load_checkpoint(find_checkpoint("omniglot"))
    return Model(DEFAULT, checkpoint.network, checkpoint.initialization, everything=False)


def drawn(name: str, network: Network, adapting: frozenset[str] | None = None) -> Model:
    """Drawn parameters; all that may adapt does unless ``adapting`` says what."""
    generator = torch.Generator().manual_seed(0)
    params = dict(network.initialize(generator))
    for key, tensor in params.items():
        if not key.endswith("weight"):
            params[key] = tensor + 0.3 * torch.rand(tensor.shape, generator=generator)
    every = frozenset().union(*network.parts) - network.fixed()
    names = every if adapting is None else adapting
    # The head's steps are n_way times as long as their rate.
    rates = dict.fromkeys(names, RATE) | dict.fromkeys(HEAD, RATE / N_WAY)
    initialization = Initialization(
        params=copied_channels_last({**params, "head.scale": torch.tensor(SCALE)}),
        step_sizes={key: torch.full((STEPS,), rate) for key, rate in rates.items()},
        inner_loop=InnerLoop(STEPS, "zero"),
    )
    return Model(name, network, initialization, everything=adapting is None)


MODELS: Mapping[str, Callable[[], Model]] = {
    DEFAULT: shipped,
    "conv4-64-28": lambda: drawn("conv4-64-28", Conv4()),
    "conv4-32-84": lambda: drawn("conv4-32-84", Conv4(32, 3, 84)),
    "anil-64-28": lambda: drawn("anil-64-28", Conv4(), frozenset()),
    "resnet12-28": lambda: drawn("resnet12-28", ResNet12(1, 28)),
}


@lru_cache
def case_of(model: str, shot: int) -> Case:
    """The case of a model's name."""
    return Case(MODELS[model](), shot)


def convolution_shapes(network: Network) -> list[tuple[int, int, int]]:
    """Inputs, outputs and side of every 3x3 convolution of Conv4."""
    assert isinstance(network, Conv4)
    return [
        (convolution.inputs, convolution.outputs, network.image_size >> number)
        for number, convolution in enumerate(network.convolutions())
    ]


def adapting_flops(case: Case) -> float | None:
    """Operations of the convolutions of one adaptation in which all of Conv4 adapts.

    Multiplications and additions each count one. None for other models.
    """
    if not (case.model.everything and isinstance(case.model.network, Conv4)):
        return None
    shapes = convolution_shapes(case.model.network)
    forward = [2.0 * 9 * inputs * outputs * side**2 for inputs, outputs, side in shapes]
    # Forward, by weight, and by input except for the images.
    per_step = 3 * sum(forward) - forward[0]
    return N_WAY * case.shot * (STEPS * per_step + sum(forward))


def prepared(images: torch.Tensor) -> Prepared:
    """Images as preprocessing hands them to the engine; what kind they are is not measured."""
    statistics = torch.zeros(len(images), len(Drawing().statistic_names))
    return Prepared(images, (False,) * len(images), statistics)


def support_set(support: Support) -> SupportSet:
    """A support set as the engine takes it."""
    return SupportSet(prepared(support.images), support.labels, support.n_way)


def images(shape: tuple[int, int, int], n_way: int, number: int, first: int = 0) -> torch.Tensor:
    """`(n_way * number, *shape)` real images, class by class.

    Grey ones are drawings of sample characters, colour ones photographs of groceries; where
    there are too few of a class, they are seen again turned by quarters.
    """
    if shape[0] == 1:
        folders = [folder for folder in sorted(SAMPLES["drawings"].iterdir()) if folder.is_dir()]
        classes = [sorted(folders[i % len(folders)].glob("*.png")) for i in range(n_way)]
        prepare: Callable[[torch.Tensor], torch.Tensor] = Drawing(shape[1])
    else:
        classes = [[path] for path in sorted(PHOTOGRAPHS.glob("*.jpg"))[:n_way]]

        def prepare(rgba: torch.Tensor) -> torch.Tensor:
            colour = rgba[..., :3].permute(2, 0, 1).unsqueeze(0) / 255.0
            return functional.interpolate(colour, shape[1:], mode="bilinear")[0]

    found = []
    for place, paths in enumerate(classes):
        for index in range(first, first + number):
            turns = index // len(paths) + place // 20
            image = prepare(decode(paths[index % len(paths)].read_bytes()))
            found.append(torch.rot90(image, turns, (1, 2)))
    return torch.stack(found)
