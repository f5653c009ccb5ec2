"""The card of a checkpoint: its `README.md`, written from its config."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from .calibration import Calibration
from .config import Config, Result

LEARNING_CURVE, ADAPTATION_CURVE = "learning_curve.png", "adaptation_curve.png"
CAPTIONS = {
    LEARNING_CURVE: "Loss, and accuracy on training and validation classes, by update",
    ADAPTATION_CURVE: "Accuracy on validation classes by inner step",
}
"""The pictures that may lie beside a card, in the order that it shows them."""
FILES = "| files of both | by digest in `learned_from.safetensors`; no test is on these |"
HEAD_ALONE = (
    "Beside the head alone is the difference, in points and paired by episode, to steps of the "
    "head that leave the network as it is.",
    "",
)
TRANSDUCTIVE = (
    "Rows marked transductive are for comparison with papers alone: there, all queries of an "
    "episode were normalised together. No call is answered so.",
    "",
)


def card(config: Config, identity: str, pictures: Collection[str] = ()) -> str:
    """The Markdown text of a card; ``pictures`` names those of `CAPTIONS` that lie beside it."""
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
        *([FILES] if origin.learned_from_sha256 is not None else []),
        f"| licence of the data | {origin.licence} |",
        f"| recipe | {origin.recipe} (sha256 `{origin.recipe_sha256[:16]}`), seed {origin.seed} |",
        f"| command | `{origin.command}` |",
        f"| made with | {_options(origin.versions)} |",
        f"| identity | `{identity}` |",
        "",
    ]
    if config.calibration is not None:
        lines += _calibration(config.calibration)
    if config.results:
        lines += [
            "## Accuracy",
            "",
            "Inductive: every query is classified by itself. Means over episodes with 95 % "
            "intervals, beside a nearest-centroid classifier in this file's own features on the "
            "same episodes.",
            "",
            "Calibration error is the expected one (15 bins), none-of-these AUROC that between "
            "queries of the episode's classes and of others, flagged the share of the former that "
            "count as none of these, and warned about that of support sets, of these and of other "
            "data, that are told to be unlike the training data.",
            "",
            *(
                HEAD_ALONE
                if any(r.difference_to_head_alone is not None for r in config.results)
                else ()
            ),
            *(TRANSDUCTIVE if any(result.transductive for result in config.results) else ()),
            "| split | way | shot | queries a class | episodes | seed | accuracy | "
            "nearest centroid | beside the head alone | calibration error | none-of-these AUROC | "
            "flagged | warned about |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
            *[_row(result) for result in config.results],
            "",
            *_by_group(config.results),
        ]
    shown = [f"![{caption}]({name})" for name, caption in CAPTIONS.items() if name in pictures]
    if shown:
        lines += ["## Training", "", *[line for link in shown for line in (link, "")]]
    return "\n".join(lines)


def _calibration(fitted: Calibration) -> list[str]:
    settings = ", ".join(f"{way}-way {shot}-shot" for way, shot in fitted.settings)
    apart = (
        "no none-of-these score (its head does not start at class means)."
        if fitted.none_of_these is None
        else f"none of these above a distance of {fitted.none_of_these:.3f}, which keeps "
        f"{100 * fitted.kept:.0f} % of the images of a session's classes."
    )
    return [
        "## Calibration",
        "",
        f"Fitted on the held-out classes ({settings}): temperature {fitted.temperature:.3f}; "
        f"{apart} Support sets {fitted.likeness.threshold:.2f} times as far from the training "
        "images as these are from each other are warned about.",
        "",
    ]


def _by_group(results: Sequence[Result]) -> list[str]:
    told = [
        f"| {name} | {result.told_split()} | {result.n_way} | {result.n_shot} | "
        f"{100 * accuracy:.2f} % |"
        for result in results
        for name, accuracy in (result.by_group or {}).items()
    ]
    if not told:
        return []
    return [
        "Episodes draw their classes from one domain, as many as it has. By domain:",
        "",
        "| domain | split | way | shot | accuracy |",
        "| --- | --- | --- | --- | --- |",
        *told,
        "",
    ]


def _row(result: Result) -> str:
    return (
        f"| {result.told_split()} | {result.n_way} | {result.n_shot} | {result.n_query} | "
        f"{result.episodes:,} | {result.seed} | "
        f"{100 * result.accuracy:.2f} ± {100 * result.interval:.2f} % | "
        f"{100 * result.nearest_centroid:.2f} ± "
        f"{100 * result.nearest_centroid_interval:.2f} % | "
        f"{_beside_head_alone(result)} | "
        f"{_maybe(result.calibration_error)} | {_maybe(result.none_of_these_auroc)} | "
        f"{_maybe(result.known_flagged)} | {_shares(result.warned)} |"
    )


def _beside_head_alone(result: Result) -> str:
    mean, half = result.difference_to_head_alone, result.difference_to_head_alone_interval
    if mean is None or half is None:
        return "-"
    shown = "" if mean > half else " (not shown to be better)"
    return f"{100 * mean:+.2f} ± {100 * half:.2f}{shown}"


def _maybe(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _shares(warned: dict[str, float] | None) -> str:
    return ", ".join(f"{data} {100 * share:.2f} %" for data, share in (warned or {}).items()) or "-"


def _options(options: dict[str, object] | dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in options.items())
