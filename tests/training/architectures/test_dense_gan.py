# SPDX-License-Identifier: BSD-3-Clause
"""The dense GAN: its frame and symmetry, its losses, its export."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import fastcalo
from fastcalo.detector.description import load_detector
from fastcalo.errors import ConfigError, ExportError
from fastcalo.export import exporter, parity
from fastcalo.export.dense_gan import ExportableDenseGan
from fastcalo.export.exporter import export
from fastcalo.export.parity import check_parity
from fastcalo.model.onnx_session import open_session
from fastcalo.training import trainer as loop
from fastcalo.training.architectures.dense_gan.config import DenseNetworkConfig, DenseStageConfig, DenseTrainConfig
from fastcalo.training.architectures.dense_gan.frame import compress, expand, fold, fold_cells, unfold
from fastcalo.training.architectures.dense_gan.gan import DenseGan
from fastcalo.training.architectures.dense_gan.networks import DenseCritic, DenseGenerator, grids
from fastcalo.training.config import DataConfig, load_config
from fastcalo.training.data.batch import Batch
from fastcalo.training.data.showers import ShowerData
from fastcalo.training.random_numbers import ShowerRandom
from fastcalo.training.stages import stage as stage_module

SHOWERS = Path(__file__).parents[3] / "examples" / "data" / "em_geant4.h5"
SPECIES = (11, -11, 22)
STAGE = DenseStageConfig(
    name="adversarial", steps=2, batch=8, learning_rate=2e-3, warmup=1, critic_only=0, penalty_every=2
)
SYMMETRIES = list(product((1, -1), (1, -1), (False, True)))


def make_config(stage: DenseStageConfig = STAGE, **changes: object) -> DenseTrainConfig:
    config = DenseTrainConfig(
        name="tiny",
        arch="3dgan",
        species=SPECIES,
        data=DataConfig(train=(str(SHOWERS),)),
        stage=(stage,),
        network=DenseNetworkConfig(dense_channels=4, dense_latent=6),
        threads=1,
    )
    return config.updated(**changes)


@pytest.fixture(scope="module")
def batch() -> Batch:
    data = ShowerData([SHOWERS], load_detector(), ("ECAL",), SPECIES, seed=3)
    return next(data.batches(8))


@pytest.fixture(scope="module")
def model() -> DenseGan:
    built = loop.build_architecture(make_config())
    assert isinstance(built, DenseGan)
    return built


def turned(pairs: Tensor, sign_x: int, sign_y: int, swap: bool) -> Tensor:
    pairs = pairs * torch.tensor([sign_x, sign_y])
    return pairs.flip(1) if swap else pairs


def turned_window(window: Tensor, sign_x: int, sign_y: int, swap: bool) -> Tensor:
    out = window.flip([axis for axis, sign in ((1, sign_x), (2, sign_y)) if sign < 0])
    return out.transpose(1, 2) if swap else out


def turned_batch(batch: Batch, symmetry: tuple[int, int, bool]) -> Batch:
    x, y = turned(torch.stack([batch.x, batch.y], 1), *symmetry).T
    direction = torch.cat([turned(batch.direction[:, :2], *symmetry), batch.direction[:, 2:]], 1)
    return replace(batch, x=x, y=y, direction=direction, entry=turned(batch.entry, *symmetry))


def sample(model: DenseGan, batch: Batch, latent: Tensor) -> Tensor:
    return model.sample(batch.kinetic_energy, batch.direction, batch.entry, batch.pdg, latent)


def dense(batch: Batch) -> Tensor:
    out = torch.zeros(len(batch), 25, 25, 25)
    out[batch.row, batch.x.long() + 12, batch.y.long() + 12, batch.layer] = batch.deposit
    return out


@given(st.floats(-1, 1, width=32), st.floats(-1, 1, width=32), st.floats(-12, 12), st.floats(-12, 12))
def test_folded_directions_lie_in_one_octant_and_turn_back(dx: float, dy: float, x: float, y: float) -> None:
    cell = torch.tensor([[round(x), round(y)]], dtype=torch.float32)
    folded = fold(torch.tensor([[dx, dy, 1.0]]), torch.zeros(1, 2))
    assert folded.direction_B3[0, 1] >= folded.direction_B3[0, 0] >= 0
    fx, fy = fold_cells(folded, torch.tensor([0]), cell[:, 0], cell[:, 1])
    window = torch.zeros(1, 25, 25, 1)
    window[0, int(fx) + 12, int(fy) + 12] = 1.0
    assert unfold(window, folded)[0, int(cell[0, 0]) + 12, int(cell[0, 1]) + 12] == 1.0


@given(st.floats(2.01e-5, 10.0))
def test_compressed_deposits_expand_to_what_they_were(deposit: float) -> None:
    value = compress(torch.tensor([deposit]), 2e-5)
    assert expand(value, 2e-5).item() == pytest.approx(deposit, rel=1e-4)


def test_no_deposit_below_the_threshold_comes_out() -> None:
    assert not expand(torch.tensor([-1.0, 0.0]), 2e-5).any()
    assert not compress(torch.tensor([0.0, 1e-5]), 2e-5).any()
    assert expand(torch.tensor([0.0]), 0.0) == 0


def test_true_showers_go_through_the_frame_unchanged(model: DenseGan, batch: Batch) -> None:
    folded, _ = model.conditions(batch)
    out = unfold(expand(model.images(batch, folded), model.section.threshold), folded)
    torch.testing.assert_close(out, dense(batch), rtol=1e-4, atol=0)


@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_a_mirrored_shower_is_the_same_to_the_networks(
    model: DenseGan, batch: Batch, symmetry: tuple[int, int, bool]
) -> None:
    mirrored = turned_batch(batch, symmetry)
    torch.testing.assert_close(turned_window(dense(batch), *symmetry), dense(mirrored), rtol=0, atol=0)
    (folded, c), (folded_mirrored, c_mirrored) = model.conditions(batch), model.conditions(mirrored)
    assert torch.equal(model.images(batch, folded), model.images(mirrored, folded_mirrored))
    assert torch.equal(c.vector_BC, c_mirrored.vector_BC)


@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_drawn_showers_mirror_with_the_particle(model: DenseGan, batch: Batch, symmetry: tuple[int, int, bool]) -> None:
    latent = torch.randn(len(batch), 6, generator=torch.Generator().manual_seed(1))
    wanted = turned_window(sample(model, batch, latent), *symmetry)
    assert wanted.any()
    assert torch.equal(sample(model, turned_batch(batch, symmetry), latent), wanted)


def test_deposits_are_nothing_or_above_the_threshold(model: DenseGan, batch: Batch) -> None:
    deposit = sample(model, batch, torch.randn(len(batch), 6))
    assert deposit.isfinite().all()
    assert ((deposit == 0) | (deposit > model.section.threshold)).all()
    assert 0 < (deposit > 0).float().mean() < 1


def test_a_shower_does_not_depend_on_those_beside_it(model: DenseGan, batch: Batch) -> None:
    latent = torch.randn(len(batch), 6)
    _, c = model.conditions(batch)
    together = model.generator(c, latent)
    parts = [slice(0, 3), slice(3, None)]
    apart = [model.generator(type(c)(*(getattr(c, f)[p] for f in c.__dataclass_fields__)), latent[p]) for p in parts]
    torch.testing.assert_close(torch.cat(apart), together, rtol=1e-4, atol=1e-5)


def test_the_latent_vector_makes_showers_of_one_particle_differ(model: DenseGan, batch: Batch) -> None:
    one = replace(
        batch, **{f: getattr(batch, f)[:1].expand(2, *getattr(batch, f).shape[1:]) for f in ("kinetic_energy", "pdg")}
    )
    one = replace(one, direction=batch.direction[:1].expand(2, 3), entry=batch.entry[:1].expand(2, 2))
    first, second = sample(model, one, torch.randn(2, 6))
    assert not torch.equal(first, second)


def test_grids_of_any_window_come_back_to_its_size() -> None:
    section = replace(load_detector().section("ECAL"), window=(9, 9), absorber_mm=(2.4,) * 10)
    _, c = DenseGan(make_config()).conditions(_empty_batch(section.layers))
    c = replace(c, offset_BL2=torch.zeros(3, section.layers, 2))
    width = c.vector_BC.shape[1]
    image = DenseGenerator(section, width, 6, 4)(c, torch.randn(3, 6))
    assert image.shape == (3, 9, 9, 10)
    assert DenseCritic(section, width, 4).features(image).shape[0] == 3
    assert grids((25, 25, 60)) == [(25, 25, 60), (13, 13, 30), (7, 7, 15), (4, 4, 8)]


def _empty_batch(layers: int) -> Batch:
    none = torch.zeros(0, dtype=torch.int64)
    return Batch(
        *(torch.ones(3), torch.tensor([[0.0, 0.0, 1.0]] * 3), torch.zeros(3, 2), torch.tensor([11, -11, 22])),
        *(none, none, torch.zeros(0), torch.zeros(0), torch.zeros(0)),
        *(torch.zeros(3, layers), torch.zeros(3, layers), torch.arange(3), 3),
    )


def fit(model: DenseGan, batch: Batch, stage: DenseStageConfig, steps: int) -> tuple[list[dict[str, float]], list[str]]:
    parameters = model.trained_by(stage.name)
    optimisers = {
        name: torch.optim.AdamW(p, lr=1e-3, betas=(0.0, 0.99), weight_decay=0) for name, p in parameters.items()
    }
    history, order = [], []
    for step in range(steps):
        metrics: dict[str, float] = {}
        for name, loss in model.losses(stage, batch, step, metrics, ShowerRandom(step, batch.slot)):
            optimisers[name].zero_grad()
            loss.backward(inputs=parameters[name])
            optimisers[name].step()
            order.append(name)
        history.append(metrics)
    return history, order


def test_losses_fall_on_one_batch(batch: Batch) -> None:
    history, order = fit(DenseGan(make_config()), batch, STAGE.updated(angle_weight=5.0, sum_weight=3.0), 40)
    assert order[:3] == ["critic", "critic", "generator"]
    assert all(np.isfinite(list(m.values())).all() for m in history)
    for key in ("energy_true", "cosine_true", "sum"):
        values = [m[key] for m in history]
        assert np.mean(values[-10:]) < 0.8 * np.mean(values[:5]), key


def test_the_critic_may_begin_alone(batch: Batch) -> None:
    model = DenseGan(make_config())
    before = {k: v.clone() for k, v in model.generator.state_dict().items()}
    history, order = fit(model, batch, STAGE.updated(critic_only=10), 2)
    assert set(order) == {"critic"}
    assert "generator" not in history[0]
    assert all(torch.equal(v, before[k]) for k, v in model.generator.state_dict().items())


@pytest.mark.parametrize(("key", "least"), [("dense_channels", 2), ("dense_latent", 1)])
def test_sizes_that_make_no_network_are_refused(key: str, least: int) -> None:
    with pytest.raises(ConfigError, match=f"{key}: must be at least {least}, but is {least - 1}"):
        DenseNetworkConfig(**{key: least - 1})


def test_a_window_that_is_not_square_is_refused(tmp_path: Path) -> None:
    text = (Path(fastcalo.__file__).parent / "detector" / "clic-like.toml").read_text()
    (tmp_path / "oblong.toml").write_text(text.replace("window = [25, 25]", "window = [25, 23]"))
    with pytest.raises(ConfigError, match="25 by 23 cells"):
        DenseGan(make_config(detector=str(tmp_path / "oblong.toml")))


def test_the_configuration_that_comes_along_builds() -> None:
    config = load_config(SHOWERS.parents[2] / "configs" / "3dgan.toml")
    assert config.arch == "3dgan"
    assert isinstance(loop.build_architecture(config), DenseGan)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage_module, "EVALUATION_SHOWERS", 40)
        loop.run_stages(make_config(), folder)
    return folder


@pytest.fixture(scope="module")
def exported(run: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ExportableDenseGan, "parity_showers", 60)
        # a network of a few steps has cells everywhere at the threshold, where rounding decides
        patch.setattr(parity, "MIN_IDENTICAL", 0.98)
        contract = export(run, run / "tiny.onnx").contract
    assert contract.scores["parity_showers"] == 60
    assert contract.scores["parity_identical_showers"] >= 0.98
    assert 0 < contract.scores["parity_cell_max"] <= ExportableDenseGan.tolerance
    return run / "tiny.onnx"


def test_training_leaves_physics_and_curves(run: Path) -> None:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    assert [("radius" in line) for line in lines] == [False, True]
    assert (run / "curves.png").stat().st_size > 0


def test_the_exported_model_generates(exported: Path) -> None:
    model = fastcalo.load_model(exported, threads=1)
    assert model.contract.arch == "3dgan"
    kinematics = {
        "pdg": [11, 22, -11],
        "kinetic_energy": [0.1, 5.0, 100.0],
        "direction": [0.6, 0, 0.8],
        "entry": [1, 2],
    }
    showers = model.generate(**kinematics, seed=4)["ECAL"]
    assert showers.shape == (3, 25, 25, 25)
    assert ((showers == 0) | (showers > model.contract.thresholds["ECAL"])).all()
    assert showers.any(axis=(1, 2, 3)).all()
    np.testing.assert_array_equal(model.generate(**kinematics, seed=4)["ECAL"], showers)
    assert (model.generate(**kinematics, seed=5)["ECAL"] != showers).any()


def test_the_exported_model_mirrors_showers(exported: Path) -> None:
    model = fastcalo.load_model(exported, threads=1)
    particle = {"pdg": 11, "kinetic_energy": 20.0, "seed": 1}
    shower = model.generate(**particle, direction=[0.48, -0.36, 0.8], entry=[1.0, 2.0])["ECAL"]
    mirrored = model.generate(**particle, direction=[0.36, 0.48, 0.8], entry=[-2.0, 1.0])["ECAL"]
    np.testing.assert_array_equal(mirrored, shower[:, :, ::-1].transpose(0, 2, 1, 3))


def test_the_exported_graph_takes_no_showers_at_all(exported: Path) -> None:
    feed = {
        "kinetic_energy": np.zeros(0, np.float32),
        "direction": np.zeros((0, 3), np.float32),
        "entry": np.zeros((0, 2), np.float32),
        "species": np.zeros(0, np.int64),
        "latent": np.zeros((0, 6), np.float32),
    }
    assert open_session(exported, 1).run(["ECAL"], feed)[0].shape == (0, 25, 25, 25)


def test_a_graph_of_other_weights_is_refused(run: Path, exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ExportableDenseGan, "parity_showers", 20)
    _, networks, _ = loop.load_run(run)
    with torch.no_grad():
        networks.networks["generator"].last.weight.mul_(1.01)
    with pytest.raises(ExportError, match="does not draw the showers of the torch model"):
        check_parity(exported, ExportableDenseGan(networks))


def test_a_model_that_draws_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = loop.build_architecture(make_config())
    torch.nn.init.constant_(silent.networks["generator"].last.bias, -1e3)
    monkeypatch.setattr(ExportableDenseGan, "parity_showers", 20)
    monkeypatch.setattr(exporter, "load_run", lambda _: (make_config(), silent, {"data_hash": ""}))
    with pytest.raises(ExportError, match="draws no hit in 20 showers"):
        export(tmp_path / "run", tmp_path / "silent.onnx")
    assert not list(tmp_path.iterdir())
