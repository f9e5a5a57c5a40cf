import os
from pathlib import Path

import pytest

from modeling_erc.configs import GRIDS
from modeling_erc.grids import spec
from modeling_erc.grids.spec import plan

pytestmark = pytest.mark.usefixtures("home")


def test_ready_grids_name_known_fields(config: Path) -> None:
    sizes = {}
    for path in sorted(GRIDS.glob("*.yaml")):
        varied, seeds = spec.grid_of(path.stem, [], None)
        assert seeds == [0, 1, 2, 3, 4]
        runs = plan(config, varied, seeds, [])
        sizes[path.stem] = len(runs)
        assert len({run.key for run in runs}) == len(runs)
    published = {"contrastive": 15, "fusion": 25, "iemocap": 225, "modality": 35, "mosi": 75, "paper": 20}
    assert sizes == {**published, "few_labels": 30, "missing": 20, "vectors": 45}


def test_a_ready_grid_joins_with_fields_of_the_command_line() -> None:
    varied, seeds = spec.grid_of("paper", ["contrastive=supcon", "modalities=text,text+audio"], "3,7")
    assert varied == {
        "fusion": ["joint_vector", "concat"],
        "contrastive": ["supcon"],
        "modalities": ["text", "text+audio"],
    }
    assert seeds == [3, 7]
    options = 'dataset_options={"setting": "4way", "dev_seed": 1},{"setting": "6way"}'
    varied, _ = spec.grid_of(None, [options], None)
    assert varied["dataset_options"] == ['{"setting": "4way", "dev_seed": 1}', '{"setting": "6way"}']


def test_an_empty_value_empties_a_list_that_the_recipe_has(config: Path) -> None:
    varied, _ = spec.grid_of(None, ["frozen_modalities=,text"], "1")
    assert varied == {"frozen_modalities": ["", "text"]}
    plain, empty, text = [
        *plan(config, {}, [0], []),
        *plan(config, varied, [0], ["--frozen_modalities", "text"]),
    ]
    assert empty.key == plain.key != text.key
    assert not empty.caches and text.caches


def test_a_plan_is_every_combination_with_every_seed(config: Path) -> None:
    runs = plan(
        config,
        {"fusion": ["joint_vector", "concat"], "modalities": ["text", "text+audio"]},
        [0, 7],
        ["--lora_rank", "4"],
    )
    assert [(dict(run.cell), run.seed) for run in runs] == [
        ({"fusion": fusion, "modalities": modalities}, seed)
        for fusion in ("joint_vector", "concat")
        for modalities in ("text", "text+audio")
        for seed in (0, 7)
    ]
    assert len({run.key for run in runs}) == len({run.name for run in runs}) == 8
    last = ["--lora_rank", "4", "--fusion=concat", "--modalities", "text", "audio", "--seed", "7"]
    assert list(runs[-1].words) == last
    assert runs[-1].name.startswith("fusion=concat_modalities=text+audio_seed=7-")


def test_runs_that_keep_their_last_epoch_neither_evaluate_nor_save_the_others(config: Path) -> None:
    unread = ["--eval_strategy=no", "--save_strategy=no"]
    last = ["--load_best_model_at_end", "false"]
    for extra, starts in ((last, unread), ([], []), ([*last, "--early_stopping_patience", "2"], [])):
        (run,) = plan(config, {}, [0], extra)
        assert list(run.words) == [*starts, *extra, "--seed", "0"]


def keys(config: Path, *extra: str) -> list[str]:
    return [run.key for run in plan(config, {"fusion": ["joint_vector", "concat"]}, [0], extra)]


def test_a_key_depends_on_the_settings_and_not_on_their_spelling(config: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("# The same.\n" + config.read_text() + "fusion: concat\n")
    assert keys(other) == keys(config)
    assert keys(config, "--learning_rate", "0.003") == keys(config)
    assert keys(config, "--data_dir", os.path.relpath(config.parent)) == keys(config)


def test_a_changed_setting_gives_new_keys(config: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(config.read_text().replace("hidden_size: 32", "hidden_size: 16"))
    assert not set(keys(other)) & set(keys(config))
    assert not set(keys(config, "--dataset_options", '{"normalize_text": false}')) & set(keys(config))


def test_a_changed_corpus_gives_new_keys(config: Path, tmp_path: Path) -> None:
    before = keys(config)
    for table in config.parent.glob("*.csv"):
        (tmp_path / table.name).write_bytes(table.read_bytes())
    with (tmp_path / "test_sent_emo.csv").open("a") as file:
        file.write("More.,A,joy,9,0\n")
    assert not set(keys(config, "--data_dir", str(tmp_path))) & set(before)


def test_an_unknown_field_and_one_that_the_grid_sets_are_refused(config: Path) -> None:
    with pytest.raises(ValueError, match=r"fusoin: unknown field .did you mean 'fusion'"):
        plan(config, {"fusoin": ["concat"]}, [0], [])
    with pytest.raises(ValueError, match=r"seed .*--seeds"):
        plan(config, {"seed": ["1"]}, [0], [])
    with pytest.raises(ValueError, match=r"output_dir .*--out"):
        plan(config, {"fusion": ["concat"]}, [0], ["--output_dir=here"])
    with pytest.raises(SystemExit, match=r"learning_rate.*'high'"):
        plan(config, {"learning_rate": ["high"]}, [0], [])


@pytest.mark.parametrize("option", ["start_from", "text_encoder", "transcribe"])
def test_another_content_of_a_local_checkpoint_gives_new_keys(config: Path, tmp_path: Path, option: str) -> None:
    source = tmp_path / "run"
    source.mkdir()
    (source / "model.safetensors").write_bytes(b"weights")
    before = keys(config, f"--{option}", str(source))
    assert keys(config, f"--{option}", str(source)) == before
    (source / "model.safetensors").write_bytes(b"other weights")
    assert not set(keys(config, f"--{option}", str(source))) & set(before)


def test_another_version_of_the_package_gives_new_keys(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys(config)
    monkeypatch.setattr(spec, "__version__", "9.9")
    assert not set(keys(config)) & set(before)


def test_the_cells_of_a_grid_that_read_no_words_recognise_none(config: Path) -> None:
    varied = {"modalities": ["text", "audio"]}
    text, audio = plan(config, varied, [0], ["--transcribe", "user/whisper"])
    assert "--transcribe=" not in text.words and text.caches
    assert "--transcribe=" in audio.words and not audio.caches
    plain_text, plain_audio = plan(config, varied, [0], [])
    assert text.key != plain_text.key and audio.key == plain_audio.key
