import json
import os
import pickle  # noqa: TID251  # to make the files that must be refused
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor

from context_networks import random_arrays
from hyperpriors import random_hyperprior
from slimcae.coding.activity import TablesModel
from slimcae.coding.context import ContextModel
from slimcae.coding.entropy import EntropyModel
from slimcae.coding.entropy_models import by_kind
from slimcae.coding.factorized import FactorizedModel
from slimcae.coding.hyperprior import HyperpriorModel
from slimcae.coding.tables import SymbolTables, from_counts, from_probabilities
from slimcae.errors import ConfigError, ModelError
from slimcae.model.config import GDN_VARIANTS, GDNVariant, ModelInfo, SlimCAEConfig
from slimcae.model.file import halved, read_model, write_model
from slimcae.model.header import read_model_header
from slimcae.model.model import Model
from slimcae.networks.conversion import to_model
from slimcae.networks.slimcae import SlimCAE

INFO = ModelInfo("tiny", "7", (10.5, 0.1, 3e-5), {"step": 7, "cache_gb": None})


@pytest.fixture(scope="module")
def saved_once(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("saved") / "model"
    torch.manual_seed(0)
    write_model(path, to_model(SlimCAE(SlimCAEConfig((12, 8, 4))), INFO))
    return path.read_bytes()


@pytest.fixture
def saved(tmp_path: Path, saved_once: bytes) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(saved_once)
    return path


def contents(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read metadata and tensors without the code under test."""
    with safetensors.safe_open(path, framework="pt") as file:
        metadata = json.loads(file.metadata()["slimcae"])
        return metadata, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def rewrite(path: Path, metadata: Any, tensors: dict[str, Tensor]) -> None:
    text = metadata if isinstance(metadata, str) else json.dumps(metadata)
    safetensors.torch.save_file(tensors, path, metadata={"slimcae": text})


def assert_refused(path: Path, *words: str) -> None:
    with pytest.raises(ModelError) as caught:
        read_model(path)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    for word in (path.name, *words):
        assert word in message, message


@pytest.mark.parametrize("variant", GDN_VARIANTS)
def test_a_round_trip_is_exact(tmp_path: Path, variant: GDNVariant) -> None:
    torch.manual_seed(5)
    model = to_model(SlimCAE(SlimCAEConfig((6, 3, 2), variant)), INFO)
    write_model(tmp_path / "m", model)
    loaded = read_model(tmp_path / "m")
    assert loaded.config == model.config
    assert loaded.info == INFO
    assert loaded.steps == model.steps
    assert loaded.tensors.keys() == model.tensors.keys()
    for name, tensor in model.tensors.items():
        assert loaded.tensors[name].dtype == np.float32
        assert np.array_equal(loaded.tensors[name], tensor), name
    for width in (6, 3, 2):
        ours, theirs = (m.entropy_model(width).to_arrays() for m in (loaded, model))
        assert all(np.array_equal(ours[key], theirs[key]) for key in theirs)
        assert loaded.fingerprint(width) == model.fingerprint(width)


def test_half_files_hold_the_rounded_model(tmp_path: Path, tiny_model: Model) -> None:
    full, half, again = (tmp_path / name for name in ("full", "half", "again"))
    write_model(full, tiny_model)
    write_model(half, halved(tiny_model), half=True)
    assert half.stat().st_size < full.stat().st_size
    tensors = contents(half)[1]
    kernels = {name for name, tensor in tensors.items() if tensor.dtype == torch.float16}
    assert "g_a.conv1.weight" in kernels
    assert "g_s.igdn1.norms.12.gamma" in kernels
    assert not any("bias" in name or "entropy" in name for name in kernels)
    loaded = read_model(half)
    for name, array in loaded.tensors.items():
        expected = torch.from_numpy(tiny_model.tensors[name])
        if name in kernels:
            expected = expected.half()
        assert array.dtype == (np.float16 if name in kernels else np.float32)
        assert torch.equal(torch.from_numpy(array), expected), name
    assert {part.dtype for part in loaded.weights(8).values()} == {np.dtype(np.float32)}
    write_model(again, loaded, half=True)
    assert again.read_bytes() == half.read_bytes()
    write_model(again, loaded)  # the same numbers, stored differently
    assert contents(again)[0]["fingerprints"] == contents(half)[0]["fingerprints"]


def test_a_model_that_float16_lacks_is_not_written_as_half(saved: Path) -> None:
    """Otherwise the file would contain another model than its fingerprints say."""
    before = saved.read_bytes()
    with pytest.raises(ModelError, match=r"g_a\.conv1\.weight .*float16"):
        write_model(saved, read_model(saved), half=True)
    assert saved.read_bytes() == before


def test_saving_what_was_loaded_gives_the_same_file(saved: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "again", read_model(saved))
    assert (tmp_path / "again").read_bytes() == saved.read_bytes()


def test_metadata_is_the_documented_json(tmp_path: Path, tiny_model: Model) -> None:
    write_model(tmp_path / "model", replace(tiny_model, info=INFO))
    metadata, tensors = contents(tmp_path / "model")
    assert metadata == {
        "format": 4,
        "name": "tiny",
        "version": "7",
        "config": {"widths": [12, 8, 4], "gdn": "switchable"},
        "steps": list(tiny_model.steps),
        "quality": None,
        "entropy_models": {str(w): ["factorized"] for w in (12, 8, 4)},
        "lmbda": [10.5, 0.1, 3e-5],
        "fingerprints": {str(w): tiny_model.fingerprint(w).hex() for w in (12, 8, 4)},
        "training": {"step": 7, "cache_gb": None},
    }
    assert all(len(print_) == 16 for print_ in metadata["fingerprints"].values())
    assert tensors["factorized.8.counts"].dtype == torch.int32
    assert tensors["factorized.8.length"].shape == (len(tiny_model.steps), 8)


def test_measured_quality_comes_back(tmp_path: Path, tiny_network: SlimCAE) -> None:
    quality: dict[int, tuple[tuple[float, float], ...]] = {
        12: ((1.0, 30.0), (0.7, 29.0)),
        8: ((0.5, 28.0), (0.4, 27.0)),
        4: ((0.2, 25.5),) * 2,
    }
    info = replace(INFO, quality=quality)
    write_model(tmp_path / "model", to_model(tiny_network, info, steps=(1.0, 1.5)))
    assert contents(tmp_path / "model")[0]["quality"] == {
        "bpp": {"12": [1.0, 0.7], "8": [0.5, 0.4], "4": [0.2, 0.2]},
        "psnr": {"12": [30.0, 29.0], "8": [28.0, 27.0], "4": [25.5, 25.5]},
    }
    loaded = read_model(tmp_path / "model")
    assert loaded.info.quality == quality
    assert loaded.steps == (1.0, 1.5)


def with_entropy_models(model: Model, width: int, *found: EntropyModel) -> Model:
    return replace(model, entropy_models={**model.entropy_models, width: by_kind(*found)})


def all_kinds(channels: int) -> tuple[EntropyModel, ...]:
    """Return entropy models of three steps."""
    masses = [np.array([0.5, 0.3])] * (3 * channels)

    def tables() -> SymbolTables:
        return from_probabilities(np.zeros(3 * channels, np.int32), masses)

    choice = np.arange(3 * channels, dtype=np.int32).reshape(3, channels, 1)
    return (
        ContextModel.from_arrays(random_arrays(0, (1, channels - 1))),
        TablesModel(tables(), (channels,), np.empty((3, 1, 0), np.int32), choice),
        FactorizedModel(tables(), channels),
        HyperpriorModel.from_arrays(random_hyperprior(0, channels)),
    )


KINDS_OF_8 = ("context", "tables", "factorized", "hyperprior")


@pytest.fixture
def mixed(tiny_network: SlimCAE) -> Model:
    """Return a model of three steps with all kinds at width 8, one at each other width."""
    return with_entropy_models(
        to_model(tiny_network, INFO, steps=(1.0, 0.5, 2.0)), 8, *all_kinds(8)
    )


def test_kinds_and_their_order_are_kept(mixed: Model, tmp_path: Path) -> None:
    write_model(tmp_path / "m", mixed)
    metadata, tensors = contents(tmp_path / "m")
    kinds = {"12": ["factorized"], "8": list(KINDS_OF_8), "4": ["factorized"]}
    assert metadata["entropy_models"] == kinds
    assert tensors["context.8.mix"].dtype == torch.int8
    loaded = read_model(tmp_path / "m")
    assert [list(loaded.entropy_models[w]) for w in (12, 8, 4)] == list(kinds.values())
    assert loaded.entropy_model(8).kind == "context"
    for width in loaded.widths:
        assert loaded.fingerprint(width) == mixed.fingerprint(width)
        for kind, model in mixed.entropy_models[width].items():
            found = loaded.entropy_model(width, kind).to_arrays()
            for name, array in model.to_arrays().items():
                assert found[name].dtype == array.dtype
                assert np.array_equal(found[name], array)
    turned = with_entropy_models(mixed, 8, *all_kinds(8)[::-1])
    assert turned.entropy_model(8).kind == "hyperprior"
    assert turned.fingerprint(8) == mixed.fingerprint(8)


def test_training_tensors_are_kept_and_mean_nothing_else(mixed: Model, tmp_path: Path) -> None:
    tensors: dict[str, NDArray[np.float32]] = {
        "context.8.mix.weight": np.linspace(0, 1, 24, dtype=np.float32).reshape(2, 3, 4),
        "x": np.array(3, np.float32),
    }
    write_model(tmp_path / "m", replace(mixed, training_tensors=tensors))
    loaded = read_model(tmp_path / "m")
    assert loaded.training_tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert np.array_equal(loaded.training_tensors[name], tensor)
    assert loaded.tensors.keys() == mixed.tensors.keys()
    assert all(loaded.fingerprint(w) == mixed.fingerprint(w) for w in mixed.widths)
    assert read_model_header(tmp_path / "m").parameters == sum(
        tensor.size for name, tensor in mixed.tensors.items() if not name.endswith(".medians")
    )
    metadata, stored = contents(tmp_path / "m")
    half = stored["training.context.8.mix.weight"].half()
    rewrite(tmp_path / "m", metadata, stored | {"training.context.8.mix.weight": half})
    assert read_model(tmp_path / "m").training_tensors["context.8.mix.weight"].dtype == np.float32
    for wrong in (torch.zeros(3, dtype=torch.int32), torch.full((2,), float("nan"))):
        rewrite(tmp_path / "m", metadata, stored | {"training.x": wrong})
        assert_refused(tmp_path / "m", "damaged", "training.x")
    broken = replace(mixed, training_tensors={"x": np.full(2, np.inf, np.float32)})
    with pytest.raises(ModelError, match="x has values that are not finite"):
        write_model(tmp_path / "m", broken)


@pytest.mark.parametrize(
    "kinds",
    [
        {},
        {"12": ["factorized"], "8": ["factorized"]},
        {"12": ["factorized"], "8": [], "4": ["factorized"]},
        {"12": ["factorized"], "8": ["factorized", "factorized"], "4": ["factorized"]},
        {"12": ["factorized"], "8": "factorized", "4": ["factorized"]},
        {"12": ["factorized"], "8": [3], "4": ["factorized"]},
        {"12": ["factorized"], "8": ["tables"], "4": ["factorized"]},
        {"12": ["factorized"], "8": ["factorized", "tables"], "4": ["factorized"]},
        {"12": ["factorized"], "8": ["factorized", "hyperprior"], "4": ["factorized"]},
        {"12": ["factorized"], "8": ["g_a"], "4": ["factorized"]},
        ["factorized"],
        None,
    ],
)
def test_kinds_that_cannot_be_are_refused(saved: Path, kinds: object) -> None:
    metadata, tensors = contents(saved)
    rewrite(saved, metadata | {"entropy_models": kinds}, tensors)
    assert_refused(saved, "damaged")


def test_arrays_of_a_kind_that_is_not_named_are_refused(mixed: Model, tmp_path: Path) -> None:
    path = tmp_path / "m"
    write_model(path, mixed)
    metadata, tensors = contents(path)
    kinds = {**metadata["entropy_models"], "8": ["context", "factorized", "hyperprior"]}
    rewrite(path, metadata | {"entropy_models": kinds}, tensors)
    assert_refused(path, "damaged", "tables.8.", "unknown")


def test_models_need_entropy_models_under_their_kinds(mixed: Model) -> None:
    context, tables, *_ = all_kinds(8)
    for wrong in ({}, {"tables": context}, {"context": context, "factorized": tables}):
        with pytest.raises(ValueError, match="width 8 needs"):
            replace(mixed, entropy_models={**mixed.entropy_models, 8: wrong})
    with pytest.raises(ConfigError, match="no entropy model of kind tables at width 4, only fact"):
        mixed.entropy_model(4, "tables")


def test_effort_chooses_the_kind(mixed: Model) -> None:
    assert [mixed.kind(width) for width in (12, 8, 4)] == ["factorized", "context", "factorized"]
    assert [mixed.kind(w, 1) for w in (12, 8, 4)] == ["factorized", "tables", "factorized"]
    assert [mixed.efforts(w) for w in (12, 8)] == [(2,), (2, 1)]
    context, _, factorized, _ = all_kinds(8)
    assert with_entropy_models(mixed, 8, context, factorized).kind(8, 1) == "factorized"
    assert with_entropy_models(mixed, 8, context).kind(8, 1) == "context"


def test_fitted_tables_are_kept(tmp_path: Path, tiny_network: SlimCAE) -> None:
    model = to_model(tiny_network, steps=(1.0,))
    tables = from_counts(np.zeros(4, np.int32), [np.full(2, 2**23, np.int32)] * 4)
    fitted = with_entropy_models(model, 4, FactorizedModel(tables, 4))
    for name, each in (("fitted", fitted), ("built", model)):
        write_model(tmp_path / name, each)
        found = read_model(tmp_path / name).entropy_model(4).to_arrays()
        assert (found["counts"].tolist() == [2**23] * 8) == (name == "fitted")


@pytest.mark.parametrize("name", ["model.pth", "weights", "photo.png", "a b.SafeTensors"])
def test_names_do_not_matter(saved: Path, name: str) -> None:
    assert read_model(saved.rename(saved.with_name(name))).info == INFO


def test_a_path_may_be_text(saved: Path) -> None:
    """People may pass paths as text."""
    assert read_model(str(saved)).info == INFO


class Evil:
    def __reduce__(self) -> tuple[Callable[[str], Any], tuple[str]]:
        return Path.touch, (Path("pickle-was-loaded"),)  # type: ignore[return-value]


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps({"state_dict": Evil()}))


def torch_zip(path: Path) -> None:
    torch.save({"state_dict": Evil()}, path)


def torch_legacy(path: Path) -> None:
    torch.save({"state_dict": Evil()}, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("write", [pickled, torch_zip, torch_legacy])
def test_pickles_are_named_and_never_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "model.pth")
    assert_refused(tmp_path / "model.pth", "pickle")
    assert not (tmp_path / "pickle-was-loaded").exists()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "Git LFS pointer"),
        (np.random.default_rng(0).bytes(5000), "not a slimcae model file"),
        (b"\x00" * 64, "not a slimcae model file"),
        (b"\xff" * 64, "not a slimcae model file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "not a slimcae model file"),
    ],
)
def test_foreign_files_are_named(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "model").write_bytes(data)
    assert_refused(tmp_path / "model", words)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    assert_refused(tmp_path / "absent.safetensors", "no model file")
    (tmp_path / "folder").mkdir()
    assert_refused(tmp_path / "folder", "no model file")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all files")
def test_an_unreadable_file_is_named(saved: Path) -> None:
    saved.chmod(0)
    assert_refused(saved, "cannot be read")


def test_other_safetensors_are_foreign(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"weight": torch.zeros(3)}, path)
    assert_refused(path, "not a slimcae model file")


@pytest.mark.parametrize("kept", [3, 8, 100, 3000, -1])
def test_truncated_files_are_refused(saved: Path, kept: int) -> None:
    saved.write_bytes(saved.read_bytes()[:kept])
    assert_refused(saved, "not a slimcae model file")


def test_another_format_number_is_named(saved: Path) -> None:
    metadata, tensors = contents(saved)
    rewrite(saved, metadata | {"format": 3}, tensors)
    assert_refused(saved, "format 3", "formats 4 to 6", "this slimcae")


@pytest.mark.parametrize(
    "name", ["g_a.conv2.weight", "entropy_bottlenecks.8.medians", "g_s.igdn2.norms.4.beta"]
)
def test_a_missing_tensor_is_named(saved: Path, name: str) -> None:
    metadata, tensors = contents(saved)
    del tensors[name]
    rewrite(saved, metadata, tensors)
    assert_refused(saved, "damaged", name)


def test_a_superfluous_tensor_is_named(saved: Path) -> None:
    metadata, tensors = contents(saved)
    rewrite(saved, metadata, tensors | {"g_a.conv9.weight": torch.zeros(2)})
    assert_refused(saved, "damaged", "g_a.conv9.weight")


def test_a_tensor_of_another_shape_is_named(saved: Path) -> None:
    metadata, tensors = contents(saved)
    tensors["g_a.conv2.weight"] = tensors["g_a.conv2.weight"][:, :5].contiguous()
    rewrite(saved, metadata, tensors)
    assert_refused(saved, "damaged", "g_a.conv2.weight")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(saved: Path, value: float) -> None:
    metadata, tensors = contents(saved)
    tensors["g_s.deconv1.weight"][0, 0, 0, 0] = value
    rewrite(saved, metadata, tensors)
    assert_refused(saved, "g_s.deconv1.weight")


def test_weights_that_do_not_match_their_fingerprints_are_refused(saved: Path) -> None:
    """One flipped bit would silently decode every picture wrongly."""
    metadata, tensors = contents(saved)
    tensors["g_s.deconv1.weight"][0, 0, 0, 0] += 1
    rewrite(saved, metadata, tensors)
    assert_refused(saved, "damaged")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("factorized.8.minimum", "beyond ±32767"),
        ("factorized.8.length", "do not add up"),
        ("factorized.8.counts", "sum to"),
        ("tables.8.groups", "in total"),
        ("tables.8.choice", "index of a table"),
        ("context.8.choice", "index of a table"),
        ("context.8.start", "sums reach 2**24"),
        ("context.8.bias", "sums reach 2**24"),
        ("context.8.reciprocal", "from 1 to 4092"),
        ("hyperprior.8.z_choice", "index of a table"),
        ("hyperprior.8.choice", "index of a table"),
        ("hyperprior.8.h_s.2.bias", "sums reach 2**24"),
    ],
)
def test_damaged_entropy_models_are_refused(
    mixed: Model, tmp_path: Path, name: str, reason: str
) -> None:
    path = tmp_path / "m"
    write_model(path, mixed)
    metadata, tensors = contents(path)
    more = 2**24 - 2**15 if "2**24" in reason else 40000
    rewrite(path, metadata, tensors | {name: tensors[name] + more})
    assert_refused(path, "damaged", name.partition(".")[0] + " of width 8", reason)
    rewrite(path, metadata, tensors | {name: tensors[name].long()})
    assert_refused(path, "damaged")
    rewrite(path, metadata, tensors | {name + "s": tensors[name].clone()})
    assert_refused(path, "damaged", "unknown")
    del tensors[name]
    rewrite(path, metadata, tensors)
    assert_refused(path, "damaged", "missing")


def test_entropy_models_of_other_channels_are_refused(saved: Path) -> None:
    metadata, tensors = contents(saved)
    for key in ("minimum", "length", "counts"):
        tensors[f"factorized.8.{key}"] = tensors[f"factorized.4.{key}"].clone()
    rewrite(saved, metadata, tensors)
    assert_refused(saved, "damaged", "4 channels", "8 channels")
    steps = metadata["steps"][:-1]
    rewrite(saved, metadata | {"steps": steps}, contents(saved)[1])
    assert_refused(saved, "damaged")


@pytest.mark.parametrize(
    "change",
    [
        {"config": {"widths": [4, 8, 12], "gdn": "switchable"}},
        {"config": {"widths": [12, 8], "gdn": "switchable"}},
        {"config": {"widths": [24, 8, 4], "gdn": "switchable"}},
        {"config": {"widths": "12 8 4", "gdn": "switchable"}},
        {"config": {"widths": 12, "gdn": "switchable"}},
        {"config": {"widths": [12, 8, 4], "gdn": "slim"}},
        {"config": {"widths": [12, 8, 4], "gdn": ["slim"]}},
        {"config": None},
        {"lmbda": ["a"]},
        {"lmbda": 5},
        {"lmbda": [1.0, 2.0]},
        {"training": 3},
        {"steps": None},
        {"steps": []},
        {"steps": [0.5]},
        {"steps": [1.0, 1.0]},
        {"steps": [1.0, -2.0]},
        {"steps": [1.0, float("nan")]},
        {"quality": 3},
        {"quality": {"bpp": {"12": [1.0]}, "psnr": {"12": [30.0]}}},
        {"quality": {"bpp": {key: [1.0] for key in ("12", "8", "4")}, "psnr": {}}},
    ],
)
def test_metadata_that_cannot_be_are_refused(saved: Path, change: dict[str, Any]) -> None:
    metadata, tensors = contents(saved)
    rewrite(saved, metadata | change, tensors)
    assert_refused(saved, "damaged")


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", "{}", "[" * 100_000])
def test_metadata_that_are_no_object_are_foreign(saved: Path, text: str) -> None:
    rewrite(saved, text, contents(saved)[1])
    assert_refused(saved, "not a slimcae model file")


def changed(model: Model, name: str, place: int, value: float) -> Model:
    """Return a model with one different number."""
    tensor = model.tensors[name].copy()
    tensor.reshape(-1)[place] = value
    return replace(model, tensors={**model.tensors, name: tensor})


def test_a_model_with_broken_weights_is_not_written(saved: Path, tiny_model: Model) -> None:
    before = saved.read_bytes()
    broken = changed(tiny_model, "g_a.conv2.weight", 0, float("nan"))
    with pytest.raises(ModelError, match=r"g_a\.conv2\.weight has values that are not finite"):
        write_model(saved, broken)
    assert saved.read_bytes() == before


def test_kernels_too_large_for_half_are_refused(saved: Path, tiny_model: Model) -> None:
    before = saved.read_bytes()
    large = changed(tiny_model, "g_a.conv2.weight", 0, 1e6)
    with pytest.raises(ModelError, match=r"g_a\.conv2\.weight has values that are not finite"):
        write_model(saved, halved(large), half=True)
    assert saved.read_bytes() == before


def test_a_failing_write_leaves_the_old_file(
    saved: Path, tiny_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = saved.read_bytes()

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_model(saved, tiny_model)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


@pytest.mark.parametrize("variant", GDN_VARIANTS)
def test_fingerprints_follow_what_their_width_uses(variant: GDNVariant) -> None:
    torch.manual_seed(6)
    model = to_model(SlimCAE(SlimCAEConfig((5, 3, 2), variant)))
    prints = {w: model.fingerprint(w) for w in model.widths}
    assert len(set(prints.values())) == 3
    assert all(len(value) == 8 for value in prints.values())
    for name, tensor in model.tensors.items():
        own = [w for w in model.widths if f"norms.{w}." in name or f"necks.{w}." in name]
        for place in (0, -1):  # the first entry belongs to all widths, the last to the widest
            other = changed(model, name, place, float(tensor.flat[place]) + 0.5)
            moved = {w for w in model.widths if other.fingerprint(w) != prints[w]}
            if own and (variant == "switchable" or "necks" in name):
                expected = set(own)
            elif name.endswith(("_scale", "_bias")) and "gdn" in name:  # one number per width
                expected = {model.widths[place]}
            elif name == "g_s.deconv3.bias":  # three colours, whatever the width
                expected = set(model.widths)
            else:
                expected = set(model.widths) if place == 0 else {5}
            assert moved == expected, (name, place)


def test_fingerprints_follow_every_array_of_every_kind(mixed: Model) -> None:
    before = {w: mixed.fingerprint(w) for w in mixed.widths}
    found = {before[8]}
    changes = 0
    for model in mixed.entropy_models[8].values():
        for name, array in model.to_arrays().items():
            last = array.size - 1
            if not array.size or name == "groups":
                continue
            array = model.to_arrays()[name].reshape(-1)  # a view: the check cannot be undone
            array[last] += 1
            other = replace(mixed)  # without known fingerprints
            assert {w for w in other.widths if other.fingerprint(w) != before[w]} == {8}, name
            found.add(other.fingerprint(8))
            array[last] -= 1
            changes += 1
    assert mixed.fingerprint(8) == replace(mixed).fingerprint(8)
    assert len(found) == 1 + changes > 20
    for kinds in (all_kinds(8)[:2], all_kinds(8)[1:], all_kinds(8)[:1]):
        found.add(with_entropy_models(mixed, 8, *kinds).fingerprint(8))
    assert len(found) == 4 + changes
    coarser = replace(mixed, steps=(*mixed.steps[:-1], 99.0))
    assert all(coarser.fingerprint(w) != before[w] for w in coarser.widths)


def test_fingerprints_are_the_same_on_every_machine() -> None:
    """Pinned, for weights and tables that no machine can round differently."""
    names = to_model(SlimCAE(SlimCAEConfig((2, 1)))).tensors
    entropy_models = {}
    for width in (2, 1):  # table counts depend on exp and tanh, so they are not pinned
        counts = [np.full(2, 2**23, np.int32)] * (2 * width)
        tables = from_counts(np.zeros(2 * width, np.int32), counts)
        entropy_models[width] = by_kind(FactorizedModel(tables, width))
    tensors = {
        name: np.full_like(tensor, 0.5 if name.endswith("medians") else 0.25 + len(name) / 64)
        for name, tensor in names.items()
    }
    model = Model(SlimCAEConfig((2, 1)), tensors, entropy_models, (1.0, 0.5))
    assert [model.fingerprint(w).hex() for w in (2, 1)] == ["1fbb46bd55283398", "afc8ff668d84aaf6"]
