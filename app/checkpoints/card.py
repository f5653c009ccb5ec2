"""The card of a checkpoint: its `README.md`, written from its config."""

from __future__ import annotations

from .config import Config, Result


def card(config: Config, identity: str) -> str:
    """The Markdown text of a card."""
    origin = config.provenance
    lines = [
        f"# {config.name}",
        "",
        config.description,
        "",
        "| | |",
        "| --- | --- |",
        f"| network | {config.network.name} ({_options(config.network.options())}) |",
        f"| preprocessing | {config.preprocessing.name} "
        f"({_options(config.preprocessing.options())}) |",
        f"| inner loop | {config.inner_loop.steps} steps (at most "
        f"{config.inner_loop.max_steps}), head starts from {config.inner_loop.head_start} |",
        f"| learned from | {origin.data}, {origin.n_classes} classes |",
        f"| selected on | {', '.join(origin.validation_groups) or 'held-out classes'} |",
        f"| licence of the data | {origin.licence} |",
        f"| recipe | {origin.recipe} (sha256 `{origin.recipe_sha256[:16]}`), seed {origin.seed} |",
        f"| command | `{origin.command}` |",
        f"| made with | {_options(origin.versions)} |",
        f"| identity | `{identity}` |",
        "",
    ]
    if config.results:
        lines += [
            "## Accuracy",
            "",
            "Inductive: every query is classified by itself. Means over episodes with 95 % "
            "intervals, beside a nearest-centroid classifier in this file's own features on the "
            "same episodes.",
            "",
            "| split | way | shot | queries a class | episodes | seed | accuracy | "
            "nearest centroid |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
            *[_row(result) for result in config.results],
            "",
        ]
    return "\n".join(lines)


def _row(result: Result) -> str:
    return (
        f"| {result.split} | {result.n_way} | {result.n_shot} | {result.n_query} | "
        f"{result.episodes:,} | {result.seed} | "
        f"{100 * result.accuracy:.2f} ± {100 * result.interval:.2f} % | "
        f"{100 * result.nearest_centroid:.2f} ± "
        f"{100 * result.nearest_centroid_interval:.2f} % |"
    )


def _options(options: dict[str, object] | dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in options.items())
