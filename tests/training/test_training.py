from __future__ import annotations

import json
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import torch
from inkling.checkpoints.checkpoint import load_checkpoint
from inkling.data.sources import EncodedClass
from inkling.errors import BadData, BadRecipe
from inkling.meta.inner_loop import Initialization
from inkling.training.datasets import fitted, normalized, preprocess_classes
from inkling.training.recipes import NamedRecipe, load_recipe, shipped_recipes
from inkling.training.run import Progress, TrainingRun
from inkling.training.run_state import digest
from inkling.training.start import recipe_network, recipe_preprocessing
from PIL import Image

SMALL = """
name = "small"
description = "A few drawings."
[data]
format = "folders"
description = "sample drawings"
licence = "MIT"
rotations = true
[preprocessing]
name = "drawing"
[network]
name = "conv4"
channels = 8
norm = "stored"
[inner_loop]
steps = 2
step_size = 0.02
head_step_size = 0.005
head_scale = 10.0
[pretraining]
iterations = 40
batch_size = 32
learning_rate = 5e-3
jitter = { degrees = 10, shift = 0.05 }
[[meta_training]]
learner = "first_order_maml"
iterations = 6
episodes_per_update = 1
n_way = [2, 5]
n_shot = [1, 3]
uneven = true
n_query = 3
learning_rate = 1e-3
step_size_learning_rate = 1e-3
[[meta_training]]
learner = "maml"
iterations = 4
episodes_per_update = 2
n_way = [3, 3]
n_shot = [1, 1]
n_query = 3
learning_rate = 1e-3
step_size_learning_rate = 1e-3
[selection]
every = 5
episodes = 5
settings = [[3, 1]]
n_query = 3
calibration_episodes = 5
"""

MakeRun = Callable[..., TrainingRun]


@pytest.fixture
def recipe(tmp_path: Path) -> NamedRecipe:
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return load_recipe(str(path))


@pytest.fixture
def make_run(recipe: NamedRecipe, encoded: tuple[EncodedClass, ...], tmp_path: Path) -> MakeRun:
    bare = recipe_preprocessing(recipe.recipe)
    training = preprocess_classes(iter(encoded[:15]), bare)
    validation = preprocess_classes(iter(encoded[15:]), bare)
    preprocessing = fitted(bare, training)

    def make(name: str, named: NamedRecipe = recipe, device: str = "cpu") -> TrainingRun:
        return TrainingRun(
            named,
            tmp_path / name,
            normalized(training, preprocessing),
            normalized(validation, preprocessing),
            preprocessing,
            device=torch.device(device),
        )

    return make


def losses(progress: list[Progress]) -> list[tuple[str, int, float, float | None]]:
    return [(p.stage, p.iteration, p.loss, p.validation) for p in progress]


def tensors_of(initialization: Initialization) -> list[torch.Tensor]:
    return [*initialization.params.values(), *initialization.step_sizes.values()]


def test_a_run_goes_through_its_stages_learns_and_publishes(
    make_run: MakeRun, tmp_path: Path
) -> None:
    run = make_run("run")
    progress = list(run.run())
    stages = [(p.stage, p.iterations) for p in progress if p.iteration == 1]
    assert stages == [("pretraining", 40), ("first_order_maml", 6), ("maml", 4)]
    pretraining = [p.loss for p in progress if p.stage == "pretraining"]
    assert sum(pretraining[-5:]) < 0.8 * sum(pretraining[:5])
    made = run.checkpoint()
    assert made.name == "small"
    assert made.config.inner_loop.max_steps >= made.config.inner_loop.steps == 2
    assert made.config.provenance.n_classes == 15
    logged = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert [entry["loss"] for entry in logged] == [p.loss for p in progress]
    for name in ("learning_curve.png", "adaptation_curve.png"):
        with Image.open(tmp_path / "run/checkpoint" / name) as picture:
            assert picture.format == "PNG"
            assert len(picture.convert("RGB").getcolors(maxcolors=1_000_000) or []) > 20
        assert name in (tmp_path / "run/checkpoint/README.md").read_text()


@pytest.mark.parametrize("stop_after", [17, 43, 48])
def test_a_run_that_was_stopped_goes_on_bit_equal(make_run: MakeRun, stop_after: int) -> None:
    whole = make_run("whole")
    expected = losses(list(whole.run()))
    stopped = make_run("stopped")
    updates = cast(Generator[Progress], stopped.run(save_every_seconds=0))
    first = losses([next(updates) for _ in range(stop_after)])
    updates.close()
    resumed = make_run("stopped")
    assert first + losses(list(resumed.run())) == expected
    learned, learned_again = (
        tensors_of(run.checkpoint().initialization) for run in (whole, resumed)
    )
    assert all(map(torch.equal, learned, learned_again))
    assert len(learned) == len(learned_again)


def test_what_tells_runs_apart_stays_so_that_runs_of_older_versions_go_on(
    recipe: NamedRecipe,
) -> None:
    digests = [digest(recipe.recipe, stage)[:16] for stage in range(3)]
    assert digests == ["51edd0e4dfe4e154", "ecbd96b675669786", "6bda31950675ef11"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_run_on_a_gpu_sees_what_one_on_the_cpu_sees_and_goes_on(make_run: MakeRun) -> None:
    first = next(make_run("cpu").run())
    updates = cast(Generator[Progress], make_run("gpu", device="cuda").run(save_every_seconds=0))
    progress = [next(updates) for _ in range(43)]
    updates.close()
    assert progress[0].loss == pytest.approx(first.loss, rel=1e-3)
    resumed = list(make_run("gpu", device="cuda").run())
    assert (resumed[0].stage, resumed[0].iteration) == ("first_order_maml", 4)
    assert resumed[-1].stage == "maml"


def changed(tmp_path: Path, old: str, new: str) -> NamedRecipe:
    path = tmp_path / "changed.toml"
    path.write_text(SMALL.replace(old, new))
    return load_recipe(str(path))


def test_another_recipe_does_not_go_on_with_a_run(make_run: MakeRun, tmp_path: Path) -> None:
    next(make_run("run").run(save_every_seconds=0))
    recipe = changed(tmp_path, "learning_rate = 5e-3", "learning_rate = 4e-3")
    with pytest.raises(BadRecipe, match="another folder"):
        next(make_run("run", recipe).run())


def test_stages_to_come_may_be_changed_while_a_run_is_stopped(
    make_run: MakeRun, tmp_path: Path
) -> None:
    next(make_run("run").run(save_every_seconds=0))
    longer = changed(tmp_path, "iterations = 6", "iterations = 7")
    assert next(make_run("run", longer).run()).iteration == 2


@pytest.mark.parametrize("name", shipped_recipes())
def test_recipes_that_ship_are_whole(name: str) -> None:
    assert load_recipe(name).recipe.meta_training


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("steps = 2", "steps = 0", "inner_loop.steps"),
        ('learner = "maml"', 'learner = "mamba"', "learner"),
        ('name = "conv4"', 'name = "conv5"', "conv4"),
        ("n_way = [2, 5]", "n_way = [5, 2]", "n_way"),
        ("batch_size = 32", "batchsize = 32", "batchsize"),
        ("[selection]", "[selection", "TOML"),
    ],
)
def test_a_recipe_that_cannot_be_done_is_told(
    tmp_path: Path, old: str, new: str, told: str
) -> None:
    path = tmp_path / "broken.toml"
    path.write_text(SMALL.replace(old, new))
    with pytest.raises(BadRecipe, match=told):
        load_recipe(str(path))


def test_stored_statistics_need_pretraining(tmp_path: Path) -> None:
    before, after = SMALL.split("[pretraining]")
    path = tmp_path / "bare.toml"
    path.write_text(before + "[[meta_training]]" + after.split("[[meta_training]]", 1)[1])
    with pytest.raises(BadRecipe, match="pre-training"):
        recipe_network(load_recipe(str(path)).recipe)


def test_a_network_without_statistics_needs_no_pretraining(tmp_path: Path) -> None:
    before, after = SMALL.split("[pretraining]")
    path = tmp_path / "bare.toml"
    text = before + "[[meta_training]]" + after.split("[[meta_training]]", 1)[1]
    path.write_text(text.replace('name = "conv4"\nchannels = 8\nnorm = "stored"', 'name = "lstm"'))
    assert recipe_network(load_recipe(str(path)).recipe).fixed() == frozenset()


def test_anil_needs_a_recipe_that_adapts_the_head_alone(tmp_path: Path) -> None:
    path = tmp_path / "anil.toml"
    text = SMALL.replace('learner = "maml"', 'learner = "anil"')
    path.write_text(text)
    with pytest.raises(BadRecipe, match='adapt = "head"'):
        load_recipe(str(path))
    path.write_text(text.replace("steps = 2", 'steps = 2\nadapt = "head"'))
    assert load_recipe(str(path)).recipe.meta_training[1].learner == "anil"


def test_step_sizes_can_be_learned_for_every_number(make_run: MakeRun, tmp_path: Path) -> None:
    path = tmp_path / "meta_sgd.toml"
    path.write_text(SMALL.replace("steps = 2", 'steps = 2\nstep_sizes_per = "number"'))
    run = make_run("meta_sgd", load_recipe(str(path)))
    assert [step.stage for step in run.run()][-1] == "maml"
    made = run.checkpoint().initialization
    weight = made.params["block1.weight"]
    sizes = made.step_sizes["block1.weight"]
    assert sizes.shape == (2, *weight.shape)
    assert made.step_sizes["head.weight"].shape == (2,)
    assert made.step_sizes.keys() == {*made.params, "head.weight", "head.bias"} - {
        "head.scale",
        *(f"block{block}.{kind}" for block in range(1, 5) for kind in ("mean", "variance")),
    }


def test_annealing_is_first_order_until_its_iteration(
    make_run: MakeRun, recipe: NamedRecipe
) -> None:
    """The first update is first order's, the second is not."""
    without = recipe.recipe.model_copy(update={"pretraining": None})
    network = without.network.model_copy(update={"norm": "group"})
    table = without.meta_training[1].model_copy(update={"iterations": 2})
    made = {}
    for name, changed in {
        "first_order": table.model_copy(update={"learner": "first_order_maml"}),
        "annealed": table.model_copy(update={"first_order_iterations": 1}),
        "second_order": table,
    }.items():
        chosen = without.model_copy(update={"network": network, "meta_training": [changed]})
        made[name] = list(make_run(name, replace(recipe, recipe=chosen)).run())
        assert [step.iteration for step in made[name]] == [1, 2]
    after_one = {name: steps[1].loss for name, steps in made.items()}
    assert after_one["annealed"] == after_one["first_order"] != after_one["second_order"]


@pytest.mark.parametrize("learner", ["first_order_maml", "reptile"])
def test_annealing_belongs_to_maml(tmp_path: Path, learner: str) -> None:
    path = tmp_path / "annealed.toml"
    line = f'learner = "{learner}"\nfirst_order_iterations = 2'
    path.write_text(SMALL.replace('learner = "first_order_maml"', line))
    with pytest.raises(BadRecipe, match="first_order_iterations"):
        load_recipe(str(path))


def test_a_run_with_the_multi_step_loss_learns_and_reptile_has_none(
    make_run: MakeRun, tmp_path: Path
) -> None:
    path = tmp_path / "multi_step.toml"
    maml, reptile = (f'learner = "{name}"' for name in ("maml", "reptile"))
    path.write_text(SMALL.replace(maml, f"{maml}\nmulti_step_iterations = 2"))
    with_share = list(make_run("multi_step", load_recipe(str(path))).run())
    without = list(make_run("plain").run())
    assert with_share[-4].loss == without[-4].loss
    assert with_share[-1].loss != without[-1].loss
    path.write_text(SMALL.replace(maml, f"{reptile}\nmulti_step_iterations = 2"))
    with pytest.raises(BadRecipe, match="multi_step_iterations"):
        load_recipe(str(path))


def test_an_unknown_recipe_is_told_what_there_is() -> None:
    with pytest.raises(BadRecipe, match="omniglot"):
        load_recipe("nothing")


def test_classes_with_a_bad_image_are_refused_by_its_name(
    recipe: NamedRecipe,
) -> None:
    bad = EncodedClass("cat", "", (("broken.png", b"x"),))
    with pytest.raises(BadData, match=r"cat/broken\.png"):
        preprocess_classes(iter([bad]), recipe_preprocessing(recipe.recipe))


def test_a_run_takes_over_the_pretraining_of_another(
    make_run: MakeRun, recipe: NamedRecipe, tmp_path: Path
) -> None:
    whole = make_run("whole")
    expected = [step for step in losses(list(whole.run())) if step[0] != "pretraining"]
    taking = make_run("taking")
    taking.begin_from_pretraining_of(tmp_path / "whole")
    assert losses(list(taking.run())) == expected
    pretrained = load_checkpoint(tmp_path / "taking/pretrained")
    assert pretrained.identity == load_checkpoint(tmp_path / "whole/pretrained").identity
    assert pretrained.identity != taking.checkpoint().identity

    with pytest.raises(BadRecipe, match="finished its pre-training"):
        make_run("third").begin_from_pretraining_of(tmp_path / "nowhere")
    other = replace(recipe, recipe=recipe.recipe.model_copy(update={"seed": 1}))
    with pytest.raises(BadRecipe, match="not this recipe's"):
        make_run("third", other).begin_from_pretraining_of(tmp_path / "whole")


def test_the_untrained_checkpoint_is_what_a_run_starts_from(make_run: MakeRun) -> None:
    run = make_run("run")
    untrained = load_checkpoint(run.publish_untrained())
    network = untrained.network
    drawn = network.initialize(torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        dict(untrained.initialization.params), {**drawn, "head.scale": torch.tensor(10.0)}
    )


def test_a_recipe_can_state_what_differs_from_its_base(recipe: NamedRecipe, tmp_path: Path) -> None:
    path = tmp_path / "changed.toml"
    path.write_text(
        'base = "small.toml"\nname = "changed"\n[inner_loop]\nadapt = "last"\nview_pairs = 1\n'
        '[network]\nname = "lstm"\nlayers = 1\n'
    )
    changed = load_recipe(str(path))
    assert changed.recipe.inner_loop == recipe.recipe.inner_loop.model_copy(
        update={"adapt": "last", "view_pairs": 1}
    )
    assert changed.recipe.network.options() == {"layers": 1}
    assert changed.recipe.meta_training == recipe.recipe.meta_training
    assert changed.sha256 != recipe.sha256
    path.write_text('base = "changed.toml"')
    with pytest.raises(BadRecipe, match="its own base"):
        load_recipe(str(path))
    path.write_text('base = "nothing"')
    with pytest.raises(BadRecipe, match="got 'nothing'"):
        load_recipe(str(path))


def test_the_last_part_alone_adapts_on_request(make_run: MakeRun, tmp_path: Path) -> None:
    path = tmp_path / "last.toml"
    path.write_text(SMALL.replace("steps = 2", 'steps = 2\nadapt = "last"\nview_pairs = 1'))
    run = make_run("last", load_recipe(str(path)))
    list(run.run())
    made = run.checkpoint().initialization
    block = {f"block4.{kind}" for kind in ("weight", "gain", "bias")}
    assert made.step_sizes.keys() == block | {"head.weight", "head.bias"}
    assert made.views.shape == (2, 2, 3)


def test_too_few_held_out_images_leave_the_calibration_out(
    recipe: NamedRecipe, encoded: tuple[EncodedClass, ...], tmp_path: Path
) -> None:
    selection = recipe.recipe.selection.model_copy(update={"settings": [(2, 1)], "n_query": 1})
    small = replace(recipe, recipe=recipe.recipe.model_copy(update={"selection": selection}))
    bare = recipe_preprocessing(small.recipe)
    training = preprocess_classes(iter(encoded[:15]), bare)
    few = [replace(entry, files=entry.files[:3]) for entry in encoded[15:]]
    run = TrainingRun(small, tmp_path / "few", training, preprocess_classes(iter(few), bare), bare)
    list(run.run())
    assert run.checkpoint().config.calibration is None
