# SPDX-License-Identifier: BSD-3-Clause
"""How to install what is missing: the line that works for how fastcalo itself was installed."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit


def install_line(*extras: str) -> str:
    """A command that installs extras of fastcalo.

    Parameters
    ----------
    *extras : str

    Returns
    -------
    str
        From the clone or the wheel that fastcalo was installed from, if it is still there; else from an index.
    """
    names = ",".join(extras)
    source = _source()
    if source is None:
        return f"pip install 'fastcalo[{names}]'"
    where, editable = source
    return f"pip install {'-e ' if editable else ''}'{where}[{names}]'"


def _source() -> tuple[Path, bool] | None:
    """Folder or file that pip has installed from, and whether that is in use as it stands (PEP 610)."""
    try:
        text = distribution("fastcalo").read_text("direct_url.json")
        record = json.loads(text or "{}")
        url = urlsplit(str(record.get("url", "")))
    except (PackageNotFoundError, OSError, ValueError, AttributeError):
        return None
    path = Path(unquote(url.path))
    if url.scheme != "file" or not path.exists():
        return None
    return path, bool(record.get("dir_info", {}).get("editable"))
