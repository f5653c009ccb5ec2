"""The opponent's adaptation: the inner loop of `inkling.meta` as one writes it in plain PyTorch.

Modules, autograd and `torch.optim.SGD`, with a deep copy of the adapting module for each session.
It computes what the shipped initialization computes (`agreement` proves it), and spares itself
all that can be spared: the frozen blocks are shared, run once for an adaptation, and have their
normalisation folded into their convolutions. ``channels_last`` is the memory format that CPUs
convolve faster in.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from inkling.checkpoints.checkpoint import Checkpoint
from inkling.meta import head, inner_loop
from inkling.meta.episode import Support
from inkling.meta.params import Params
from torch import nn
from torch.nn import functional
from torch.nn.utils import fuse_conv_bn_eval

FROZEN_BLOCKS = 3
ADAPTED = f"block{FROZEN_BLOCKS + 1}"


class Block(nn.Module):
    """A 3x3 convolution, batch normalisation, 2x2 max-pooling and a ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outputs)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        # Pooling first gives the same numbers, and the ReLU a quarter of the work.
        pooled = functional.max_pool2d(self.norm(self.convolution(hidden)), 2)
        return functional.relu(pooled)

    def fold(self) -> None:
        """Fold the normalisation, by its stored statistics, into the convolution."""
        assert isinstance(self.norm, nn.BatchNorm2d)
        self.convolution = fuse_conv_bn_eval(self.convolution, self.norm)
        self.norm = nn.Identity()


class Classifier(nn.Module):
    """What adapts: the last block, and a linear head that is the class means plus an offset."""

    means: torch.Tensor
    """`(n_way, channels)` unit-length features of the support set, averaged over each class."""

    def __init__(self, channels: int, scale: float) -> None:
        super().__init__()
        self.block = Block(channels, channels)
        self.channels = channels
        self.scale = scale
        self.start(n_way=1)
        self.register_buffer("means", torch.empty(0, channels))

    def start(self, n_way: int) -> None:
        """Take a head without offset for a number of classes."""
        self.offset = nn.Linear(self.channels, n_way)
        nn.init.zeros_(self.offset.weight)
        nn.init.zeros_(self.offset.bias)

    def features(self, hidden: torch.Tensor) -> torch.Tensor:
        """`(image, channels, 3, 3)` of the frozen blocks to `(image, channels)` of length 1."""
        return functional.normalize(self.block(hidden).flatten(1))

    def learn_means(self, features: torch.Tensor, membership: torch.Tensor) -> torch.Tensor:
        """Class means of `(image, channels)` features, by the `(n_way, image)` shares of each."""
        self.means = membership @ features
        return self.means

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """`(image, channels)` features of length 1 to `(image, n_way)` logits."""
        means = self.means
        start = functional.linear(features, means, -means.square().sum(1) / 2)
        moved = functional.linear(features, self.offset.weight, self.offset.bias)
        return self.scale * (start + moved)


class PlainLearner:
    """Adapts classifiers from a checkpoint of Conv4, and predicts with them."""

    def __init__(self, checkpoint: Checkpoint, *, channels_last: bool = True) -> None:
        """Raises ValueError for a checkpoint that adapts in another way than the shipped one."""
        initialization = checkpoint.initialization
        adapts = {f"{ADAPTED}.{kind}" for kind in ("weight", "gain", "bias")} | inner_loop.HEAD
        loop = initialization.inner_loop
        if initialization.step_sizes.keys() != adapts or loop.head_start != "class_means":
            raise ValueError(f"expected a checkpoint in which {sorted(adapts)} adapt")
        params = initialization.params
        outputs, inputs = params["block1.weight"].shape[:2]
        shapes = [(inputs, outputs), *(FROZEN_BLOCKS - 1) * [(outputs, outputs)]]
        blocks = [Block(*shape) for shape in shapes]
        for number, block in enumerate(blocks, start=1):
            _load(block, params, f"block{number}")
            block.fold()
        self._trunk = nn.Sequential(*blocks).requires_grad_(False)
        self._classifier = Classifier(outputs, float(params[head.SCALE])).eval()
        _load(self._classifier.block, params, ADAPTED)
        if channels_last:
            for module in (self._trunk, self._classifier):
                module.to(memory_format=torch.channels_last)
        self._learning_rates = {
            name: rates.tolist() for name, rates in initialization.step_sizes.items()
        }
        views, self._seen_by_queries = initialization.views, loop.query_views
        shape = [len(views), *checkpoint.network.input_shape]
        self._grid = functional.affine_grid(views, shape, align_corners=False)
        calibration = checkpoint.config.calibration
        self._temperature = calibration.temperature if calibration else 1.0

    def adapt(self, images: torch.Tensor, labels: torch.Tensor, n_way: int) -> Classifier:
        """Learn `(image, channel, height, width)` images of `(image,)` labels in 0..n_way-1."""
        with torch.no_grad():
            hidden = self._trunk(self._with_views(images).flatten(0, 1))
        labels = labels.repeat_interleave(1 + len(self._grid))
        membership = functional.one_hot(labels, n_way).T.to(hidden.dtype)
        membership = membership / membership.sum(1, keepdim=True)
        # Classes weigh alike, however many images each has.
        class_weights = membership.amax(1)
        classifier = copy.deepcopy(self._classifier)
        classifier.start(n_way)
        rates = self._rates(classifier, n_way)
        optimizer = torch.optim.SGD([{"params": [tensor], "lr": 0.0} for tensor, _ in rates])
        for step in range(len(rates[0][1])):
            for group, (_, by_step) in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = by_step[step]
            features = classifier.features(hidden)
            classifier.learn_means(features, membership)
            loss = functional.cross_entropy(classifier(features), labels, class_weights)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        with torch.no_grad():
            classifier.learn_means(classifier.features(hidden), membership)
        return classifier

    @torch.no_grad()
    def predict(self, classifier: Classifier, images: torch.Tensor) -> torch.Tensor:
        """`(image, channel, height, width)` images to `(image, n_way)` probabilities."""
        seen = self._with_views(images) if self._seen_by_queries else images.unsqueeze(1)
        features = classifier.features(self._trunk(seen.flatten(0, 1)))
        features = functional.normalize(features.reshape(*seen.shape[:2], -1).mean(1))
        return functional.softmax(classifier(features) / self._temperature, 1)

    def _with_views(self, images: torch.Tensor) -> torch.Tensor:
        """`(image, 1 + view, channel, height, width)`: each image, its views behind it."""
        n_images, n_views = len(images), len(self._grid)
        moved = functional.grid_sample(
            images.repeat_interleave(n_views, 0),
            self._grid.repeat(n_images, 1, 1, 1),
            padding_mode="border",
            align_corners=False,
        )
        moved = moved.reshape(n_images, n_views, *images.shape[1:])
        return torch.cat([images.unsqueeze(1), moved], 1)

    def _rates(
        self, classifier: Classifier, n_way: int
    ) -> Sequence[tuple[torch.Tensor, list[float]]]:
        """Every parameter with its learning rate in each step; the head's grow with the classes."""
        block, offset = classifier.block, classifier.offset
        rates = self._learning_rates
        assert isinstance(block.norm, nn.BatchNorm2d)
        return [
            (block.convolution.weight, rates[f"{ADAPTED}.weight"]),
            (block.norm.weight, rates[f"{ADAPTED}.gain"]),
            (block.norm.bias, rates[f"{ADAPTED}.bias"]),
            (offset.weight, [n_way * rate for rate in rates[head.WEIGHT]]),
            (offset.bias, [n_way * rate for rate in rates[head.BIAS]]),
        ]


def reference(checkpoint: Checkpoint, support: Support, queries: torch.Tensor) -> torch.Tensor:
    """`(query, n_way)` probabilities of preprocessed images by `inkling.meta` itself."""
    network, initialization = checkpoint.network, checkpoint.initialization
    with torch.no_grad():
        adapted = inner_loop.adapt(network, initialization, support)
        scores = inner_loop.logits(network, initialization, adapted.fast_weights, queries)
    return checkpoint.scoring.probabilities(scores)


def agreement(checkpoint: Checkpoint, support: Support, queries: torch.Tensor) -> float:
    """The largest difference between probabilities of `PlainLearner` and `reference`, in 0..1."""
    learner = PlainLearner(checkpoint)
    classifier = learner.adapt(support.images, support.labels, support.n_way)
    found = learner.predict(classifier, queries)
    return float((found - reference(checkpoint, support, queries)).abs().max())


def _load(block: Block, params: Params, name: str) -> None:
    """Fill a block with the tensors of a checkpoint's block, and set it to evaluation."""
    kinds = {
        "convolution.weight": "weight",
        "norm.weight": "gain",
        "norm.bias": "bias",
        "norm.running_mean": "mean",
        "norm.running_var": "variance",
    }
    tensors = {own: params[f"{name}.{kind}"] for own, kind in kinds.items()}
    block.load_state_dict({**tensors, "norm.num_batches_tracked": torch.tensor(0)})
    block.eval()
