# SPDX-License-Identifier: BSD-3-Clause
"""``fastcalo schema``."""

from __future__ import annotations

from typing import Annotated

from typer import Argument


def command(
    kind: Annotated[
        str,
        Argument(metavar="KIND", help="train, tune, detector, particles-schema, limits or compare-limits."),
    ],
) -> None:
    """Print the JSON schema of a configuration file, for editors.

    With it, editors of TOML complete keys, show what they mean and mark what is wrong.
    docs/training/configuration.md has the same as a page.

    \b
    Examples:
      fastcalo schema train > train.schema.json
      fastcalo schema detector > detector.schema.json
    """  # noqa: D301
    import json

    from ..config.kinds import json_schema
    from .output import console

    console().file.write(json.dumps(json_schema(kind), indent=1, ensure_ascii=False) + "\n")
