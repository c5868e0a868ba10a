"""Training configuration (TOML), validated on load."""

from __future__ import annotations

import difflib
import os
import tempfile
import tomllib
from collections.abc import Iterable
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from glob import glob
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from fastcalo.errors import ConfigError

from . import registry


@dataclass(frozen=True)
class DataConfig:
    """``[data]``: where showers come from.

    In a path, ``$NAME`` stands for the environment variable, and ``*`` for anything in the name of a file.
    `cache` is a folder for prepared showers, best on a disk of each machine; none where it is empty.
    """

    train: tuple[str, ...]
    test: tuple[str, ...] = ()
    pool: int = 60_000
    cache: str = ""


@dataclass(frozen=True)
class NetworkConfig:
    """``[network]``: sizes of the networks."""

    layer_width: int = 128
    hit_width: int = 192
    share_width: int = 48
    critic_width: int = 256
    dense_channels: int = 32
    dense_latent: int = 64


@dataclass(frozen=True)
class ParallelConfig:
    """``[parallel]``: how the processes that ``mpiexec`` starts train together.

    All but the first and `patience_s` is for some strategies only: `bucket_kib`, `compression` and `transport` for
    ``allreduce``; `push_every` (a worker's own steps between messages), `masters` (below the first rank, if more than
    1) and `sync_every` (workers' messages between two of such a master) for the others; `elasticity` for ``easgd``;
    `momentum` and `amplification` for ``gem``.
    """

    strategy: str = "allreduce"
    bucket_kib: int = 256
    compression: str = "none"
    transport: str = "auto"
    patience_s: float = 600.0
    masters: int = 1
    sync_every: int = 4
    push_every: int = 1
    elasticity: float = 0.9
    momentum: float = 0.9
    amplification: float = 1.0


@dataclass(frozen=True)
class ValidityConfig:
    """``[validity]``: kinetic energy range in GeV and largest angle to the normal in degrees."""

    kinetic_energy: tuple[float, float] = (0.1, 100.0)
    angle_degrees: float = 56.0


@dataclass(frozen=True)
class StageConfig:
    """``[[stage]]``: one leg of the training; stages run in the order of the file.

    A rank computes its part of a batch in `accumulate` parts, one after the other.
    """

    name: str
    steps: int
    batch: int = 64
    accumulate: int = 1
    learning_rate: float = 2e-3
    final_rate: float = 1e-5
    warmup: int = 100
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    clip: float = 1.0
    ema: float = 0.0
    anneal: bool = True
    critic_rate: float = 4e-4
    critic_betas: tuple[float, float] = (0.0, 0.99)
    critic_only: int = 250
    adversarial_weight: float = 0.3
    gradient_penalty: float = 0.5
    penalty_every: int = 8
    latent_start: int = 700
    latent_ramp: int = 1_200
    energy_weight: float = 1.0
    angle_weight: float = 1.0
    sum_weight: float = 0.1
    evaluate_every: int = 1_000
    checkpoint_every: int = 500


@dataclass(frozen=True)
class TrainConfig:
    """The whole file."""

    name: str
    arch: str
    species: tuple[int, ...]
    data: DataConfig
    stage: tuple[StageConfig, ...]
    detector: str = "clic-like"
    sections: tuple[str, ...] = ("ECAL",)
    seed: int = 1
    threads: int = 0
    device: str = "auto"
    network: NetworkConfig = field(default_factory=NetworkConfig)
    validity: ValidityConfig = field(default_factory=ValidityConfig)
    parallel: ParallelConfig = field(default_factory=ParallelConfig)

    def as_dict(self) -> dict[str, Any]:
        """Plain, JSON-able form."""
        return asdict(self)


ARCHITECTURES = {name: entry.stages for name, entry in registry.ARCHITECTURES.items()}
"""Architectures and the stages that each knows."""


DEVICES = ("auto", "cpu", "cuda")
"""Where networks are trained; ``auto`` is a GPU where torch sees one, else the CPU."""


STRATEGIES = ("allreduce", "downpour", "easgd", "gem")
"""How ranks may train together: the first in step, the others with a master, each at its own pace."""


COMPRESSIONS = ("none", "fp16", "bf16")
"""What ``allreduce`` sends gradients as: as they are, or rounded to 16 bits."""

TRANSPORTS = ("auto", "mpi", "nccl")
"""What carries the gradients of GPUs; those of CPUs always go by MPI."""


def load_config(path: str | Path) -> TrainConfig:
    """Read a training's TOML.

    Raises
    ------
    ConfigError
        Unreadable file, unknown or missing key, value of the wrong type; the message names file and key.
    """
    config: TrainConfig = from_dict(TrainConfig, read_toml(path), str(path))
    check(config, str(path))
    return config


def read_toml(path: str | Path) -> dict[str, Any]:
    """What stands in a TOML file; `ConfigError` if it cannot be read."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as e:
        raise ConfigError(f"cannot read the configuration {path}: {e.strerror or e}") from e
    except ValueError as e:  # of the text or of its bytes
        raise ConfigError(f"{path} is not valid TOML: {e}") from e


def check(config: TrainConfig, where: str) -> None:
    """Refuse values that are of the right type and still make no sense."""
    stages = ARCHITECTURES.get(config.arch)
    if stages is None:
        raise ConfigError(f"{where}: arch = {config.arch!r} is unknown; choose one of {', '.join(ARCHITECTURES)}")
    names = [s.name for s in config.stage]
    for name in names:
        if name not in stages:
            raise ConfigError(f"{where}: stage {name!r} is unknown to arch {config.arch!r}; it has {', '.join(stages)}")
    if len(set(names)) != len(names):
        raise ConfigError(f"{where}: a stage stands there twice ({', '.join(names)})")
    if not names:
        raise ConfigError(f"{where}: no [[stage]]")
    for s in config.stage:
        _check_stage(s, where)
    if not config.data.train:
        raise ConfigError(f"{where}: data.train must not be empty")
    _check_sections(config, where)
    if not config.species or len(set(config.species)) != len(config.species):
        raise ConfigError(f"{where}: species must hold PDG numbers, each once, not {list(config.species)}")
    _at_least(1, config.network, where, "network.", *(f.name for f in fields(NetworkConfig)))
    _at_least(1, config.data, where, "data.", "pool")
    _at_least(0, config, where, "", "threads", "seed")
    if config.device not in DEVICES:
        raise ConfigError(f"{where}: device = {config.device!r} is unknown; choose {', '.join(DEVICES)}")
    _check_parallel(config.parallel, where)
    low, high = config.validity.kinetic_energy
    if not 0 < low < high:
        raise ConfigError(f"{where}: validity.kinetic_energy must be [low, high] with 0 < low < high")
    if not 0 < config.validity.angle_degrees < 90:
        raise ConfigError(f"{where}: validity.angle_degrees must be between 0 and 90")


def _check_sections(config: TrainConfig, where: str) -> None:
    if not config.sections or len(set(config.sections)) != len(config.sections):
        raise ConfigError(f"{where}: sections must hold names of sections, each once, not {list(config.sections)}")
    if config.arch == "3dgan" and len(config.sections) > 1:
        raise ConfigError(f"{where}: arch = '3dgan' draws one section only, not {list(config.sections)}")


def _check_parallel(p: ParallelConfig, where: str) -> None:
    if p.strategy not in STRATEGIES:
        raise ConfigError(f"{where}: parallel.strategy = {p.strategy!r} is unknown; choose {', '.join(STRATEGIES)}")
    for key, known in (("compression", COMPRESSIONS), ("transport", TRANSPORTS)):
        if getattr(p, key) not in known:
            raise ConfigError(
                f"{where}: parallel.{key} = {getattr(p, key)!r} is unknown; choose one of {', '.join(known)}"
            )
        if getattr(p, key) != known[0] and p.strategy != "allreduce":
            raise ConfigError(f"{where}: parallel.{key} is for strategy = 'allreduce' only, not {p.strategy!r}")
    _at_least(1, p, where, "parallel.", "bucket_kib", "patience_s", "masters", "sync_every", "push_every")
    if not 0 < p.elasticity <= 1:
        raise ConfigError(f"{where}: parallel.elasticity must be more than 0 and at most 1, not {p.elasticity}")
    if not 0 <= p.momentum < 1:
        raise ConfigError(f"{where}: parallel.momentum must be at least 0 and less than 1, not {p.momentum}")
    if not p.amplification > 0:
        raise ConfigError(f"{where}: parallel.amplification must be positive, not {p.amplification}")


_COUNTS = ("steps", "batch", "accumulate", "evaluate_every", "checkpoint_every", "penalty_every", "latent_ramp")


def _check_stage(s: StageConfig, where: str) -> None:
    prefix = f"stage {s.name!r}: "
    _at_least(1, s, where, prefix, *_COUNTS)
    _at_least(0, s, where, prefix, "warmup", "weight_decay", "final_rate", "latent_start", "critic_only")
    if s.accumulate > s.batch:
        raise ConfigError(f"{where}: {prefix}accumulate = {s.accumulate} is more than batch = {s.batch}")
    for key in ("learning_rate", "critic_rate", "clip"):
        if not getattr(s, key) > 0:
            raise ConfigError(f"{where}: {prefix}{key} must be positive, not {getattr(s, key)}")
    for key, values in (("ema", (s.ema,)), ("betas", s.betas), ("critic_betas", s.critic_betas)):
        if not all(0 <= v < 1 for v in values):
            raise ConfigError(f"{where}: {prefix}{key} must be at least 0 and less than 1, not {getattr(s, key)}")


def _at_least(least: int, table: Any, where: str, prefix: str, *keys: str) -> None:
    for key in keys:
        if getattr(table, key) < least:
            raise ConfigError(f"{where}: {prefix}{key} must be at least {least}, not {getattr(table, key)}")


def cache_folder(text: str, where: str) -> Path | None:
    """The folder of ``data.cache``, made if missing; None if there is to be none.

    Raises
    ------
    ConfigError
        A variable that is not set, or a folder that cannot be made or written to.
    """
    if not text:
        return None
    folder = Path(_filled_in(text, where))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # asking for the right would say yes to root where nobody can write
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as e:
        raise ConfigError(
            f"{where}: data.cache = {text!r}: cannot write to {folder}: {e.strerror or e}; name a folder on a disk of "
            "the machine itself, or leave the key out"
        ) from e


def data_paths(paths: tuple[str, ...], where: str) -> list[Path]:
    """Files that paths stand for: environment variables and ~ are filled in, patterns in a file's name are matched.

    Those of a pattern come in the order of their names. No file comes twice.

    Raises
    ------
    ConfigError
        A variable that is not set, or a file that is not there.
    """
    out: list[Path] = []
    for text in paths:
        path = Path(_filled_in(text, where))
        # brackets may be part of a name
        names = [path.name] if path.is_file() else sorted(glob(path.name, root_dir=path.parent))  # noqa: PTH207
        found = [path.parent / name for name in names if (path.parent / name).is_file()]
        if not found:
            raise ConfigError(f"{where}: there is no file {path}")
        out += found
    return list(dict.fromkeys(out))


def _filled_in(text: str, where: str) -> str:
    # Path.expanduser would raise where a user is not known
    full = os.path.expanduser(os.path.expandvars(text))  # noqa: PTH111
    if "$" in full:
        raise ConfigError(f"{where}: {text!r} names an environment variable that is not set")
    return full


def unknown_key(key: str, part: str, known: Iterable[str], where: str) -> ConfigError:
    """What to say of a key whose `part` is none of the known names."""
    near = difflib.get_close_matches(part, known := list(known), 1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known)}"
    return ConfigError(f"{where}: unknown key {key!r}{hint}")


def from_dict(cls: type[Any], table: Any, where: str, prefix: str = "") -> Any:
    """Build a dataclass from a TOML table, strictly."""
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: {prefix.rstrip('.')} must be a table")
    hints = get_type_hints(cls)
    known = {f.name: f for f in fields(cls)}
    for key in table:
        if key not in known:
            raise unknown_key(prefix + key, key, known, where)
    for name, f in known.items():
        if name not in table and f.default is MISSING and f.default_factory is MISSING:
            raise ConfigError(f"{where}: key {prefix + name!r} is missing")
    return cls(**{k: _value(hints[k], v, where, prefix + k) for k, v in table.items()})


def _value(hint: Any, value: Any, where: str, key: str) -> Any:
    if get_origin(hint) is tuple:
        args = get_args(hint)
        if not isinstance(value, list):
            raise ConfigError(f"{where}: {key!r} must be a list, not {value!r}")
        if args[-1] is Ellipsis:
            return tuple(_value(args[0], v, where, f"{key}[{i}]") for i, v in enumerate(value))
        if len(value) != len(args):
            raise ConfigError(f"{where}: {key!r} must hold {len(args)} values, not {len(value)}")
        return tuple(_value(a, v, where, f"{key}[{i}]") for i, (a, v) in enumerate(zip(args, value, strict=True)))
    if is_dataclass(hint):
        return from_dict(hint, value, where, f"{key}.")  # type: ignore[arg-type]
    if hint is float and type(value) in (int, float):
        if not abs(value) < 1e300:  # nor is NaN
            raise ConfigError(f"{where}: {key!r} must be a finite number, not {value!r}")
        return float(value)
    if type(value) is not hint:
        raise ConfigError(f"{where}: {key!r} must be of type {hint.__name__}, not {value!r}")
    return value
