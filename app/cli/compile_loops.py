"""`inkling compile`: machine code before the first start instead of during it."""

from __future__ import annotations

from typing import Annotated

import typer


def compile_loops(
    initializations: Annotated[
        str | None,
        typer.Option(
            help="Names or folders, comma-separated "
            "[INKLING_INITIALIZATIONS, else photos,omniglot]."
        ),
    ] = None,
) -> None:
    """Compile what serving initializations takes, for this processor.

    The first start would do it too. What was compiled before is not compiled again.
    """
    from ..main import warm_up
    from ..settings import read_settings

    typer.echo(f"compiled, in {warm_up(read_settings(initializations=initializations))}")
