import re
import sys
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from modeling_erc import ErcConfig
from modeling_erc.configs import RECIPES, ready_names
from modeling_erc.training import ErcArgumentParser, ErcTrainingArguments
from modeling_erc.training.arguments import GROUPS, DataArguments, changed_settings, shown_command
from modeling_erc.training.model_arguments import ModelArguments

NOT_PLAIN = {"text_config", "audio_config", "vision_config", "feature_sizes"}
NOT_PLAIN |= {"target_names", "target_mean", "target_scale", "target_ranges", "label_thresholds"}
NOT_PLAIN |= {"class_weights", "class_priors", "calibration_temperature", "training_corpus"}
Parse = Callable[..., tuple[Any, ...]]


@pytest.fixture
def parse(tmp_path: Path) -> Parse:
    """Parses a YAML file with this text and the words of a command line."""

    def parse(text: str, *words: str) -> tuple[Any, ...]:
        (tmp_path / "run.yaml").write_text(text, encoding="utf-8")
        return ErcArgumentParser().parse([str(tmp_path / "run.yaml"), *words], default_config=tmp_path / "none.yaml")

    return parse


def message_of(call: Callable[[], Any]) -> str:
    with pytest.raises(SystemExit) as stopped:
        call()
    assert stopped.value.code not in (0, None)
    return str(stopped.value.code)


def plain_config_fields() -> list[str]:
    inherited = {field.name for field in fields(ErcConfig.__mro__[1])}
    return [field.name for field in fields(ErcConfig) if field.name not in inherited | NOT_PLAIN]


def test_command_line_overrides_yaml_and_yaml_overrides_defaults(parse: Parse) -> None:
    text = "dataset: meld\nhidden_size: 64\nmodalities: [text, audio]\nseed: 3\n"
    model, data, training, path = parse(text, "--hidden_size", "32", "--modalities", "vision", "--num-frames", "7")
    assert (model.hidden_size, model.modalities, data.dataset, training.seed) == (32, ["vision"], "meld", 3)
    assert data.num_frames == 7
    assert model.num_joint_vectors == ErcConfig(feature_sizes={"text": 4}).num_joint_vectors
    assert path.name == "run.yaml"


def test_an_empty_list_switches_off_what_a_recipe_has(parse: Parse) -> None:
    model, *_ = parse("frozen_modalities: [audio]\ncentered_modalities: [audio]\n", "--centered_modalities=")
    assert (model.frozen_modalities, model.centered_modalities) == (["audio"], None)


def test_without_a_file_the_default_config_is_read(tmp_path: Path) -> None:
    (tmp_path / "default.yaml").write_text("seed: 11\n")
    *_, training, path = ErcArgumentParser().parse(["--num_frames", "3"], default_config=tmp_path / "default.yaml")
    assert training.seed == 11
    assert path == tmp_path / "default.yaml"


def test_an_empty_file_changes_nothing(parse: Parse) -> None:
    assert changed_settings(*parse("# nothing\n")[:3]) == {}


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("learning_rate: 1e-3", 0.001),
        ("learning_rate: 1", 1.0),
        ("audio_layer: 7", "7"),
        ("modalities: text", ["text"]),
        ("frozen_modalities: [text]", ["text"]),
        ("dataloader_drop_last: yes", True),
        ("load_best_model_at_end: 'false'", False),
        ("early_stopping_patience: null", None),
        ("context_window: '4'", 4),
    ],
)
def test_values_of_the_file_get_the_type_of_their_field(parse: Parse, line: str, value: Any) -> None:
    name = line.partition(":")[0]
    groups = parse(line)[:3]
    found = next(getattr(group, name) for group in groups if hasattr(group, name))
    assert found == value
    assert type(found) is type(value)


def test_unknown_key_names_file_key_and_nearest_field(parse: Parse) -> None:
    message = message_of(lambda: parse("lerning_rate: 1.0e-3\n"))
    assert "run.yaml" in message
    assert "'lerning_rate'" in message
    assert "'learning_rate'" in message
    # The message has one line, without the usage text.
    assert "\n" not in message


def test_missing_file_is_named(tmp_path: Path) -> None:
    words = [str(tmp_path / "gone.yaml")]
    message = message_of(lambda: ErcArgumentParser().parse(words, default_config=tmp_path / "none.yaml"))
    assert "gone.yaml" in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- hidden_size\n- 64\n", "list"),
        ("just words", "str"),
        ("a: [1, 2", "not YAML"),
        ("a: " + "[" * 5000, "nested too deeply or contains itself"),
        ("dataset_options: &all {again: *all}", "nested too deeply or contains itself"),
        ("modalities: &all [text, *all]", "nested too deeply or contains itself"),
        ("dataset: {name: meld}", "it takes no mapping"),
        ("hidden_size: wide\n", "hidden_size: 'wide'"),
        ("hidden_size: [1, 2]\n", "hidden_size"),
        ("dataloader_drop_last: perhaps\n", "dataloader_drop_last: 'perhaps'"),
    ],
)
def test_a_wrong_file_stops_with_its_name_and_the_reason(parse: Parse, text: str, expected: str) -> None:
    message = message_of(lambda: parse(text))
    assert "run.yaml" in message
    assert expected in message


def test_a_wrong_value_on_the_command_line_stops_with_one_line(parse: Parse) -> None:
    message = message_of(lambda: parse("", "--hidden_size", "wide"))
    assert "hidden_size" in message
    assert "\n" not in message


def test_an_unknown_option_is_named(parse: Parse) -> None:
    with pytest.raises(ValueError, match="--hiden_size"):
        parse("", "--hiden_size", "3")


def test_model_arguments_are_the_plain_config_fields_with_their_defaults() -> None:
    config, arguments = ErcConfig(feature_sizes={"text": 4}), ModelArguments()
    names = plain_config_fields()
    sources = {"modalities", "text_encoder", "audio_encoder", "vision_encoder", "start_from"}
    sources |= {"problem_type"}  # transformers has this one
    assert len(names) > 20
    assert {field.name for field in fields(ModelArguments)} == {*names, *sources}
    for name in names:
        # The config turns a missing list into an empty one.
        assert (getattr(arguments, name) or []) == (getattr(config, name) or []), name


@pytest.fixture(params=["train", "extract"])
def help_text(request: Any) -> str:
    return ErcArgumentParser(request.param).format_help()


def test_the_help_is_short(help_text: str) -> None:
    lines = help_text.splitlines()
    assert len(lines) < 260
    assert max(map(len, lines)) <= 100


def test_the_help_shows_every_option_once_in_its_group(help_text: str) -> None:
    head, *groups, tail = help_text.split("\n\n")
    options = {action.dest for action in ErcArgumentParser()._actions} - {"help"}
    shown = [name for group in groups for name in re.findall(r"--(\w[\w-]*)", group.replace("-h, --help", ""))]
    assert sorted(shown) == sorted(options)
    titles = [group.partition(":")[0] for group in groups]
    for title in ("corpus", "backbones", "fusion and context", "losses", "optimisation", "evaluation", "Hub"):
        assert title in titles
    assert titles[-1].startswith("other options of transformers.TrainingArguments")
    assert "--" not in head.replace("[--option value ...]", "")
    assert tail.startswith("example:")


def test_the_help_names_the_ready_recipes_and_explains_each_grouped_option(help_text: str) -> None:
    words = help_text.replace(",", " ").split()
    assert {"CONFIG", *ready_names()} <= set(words)
    options = ErcArgumentParser().options
    assert all(len(options[name].help or "") > 10 for group in GROUPS.values() for name in group.split())


@pytest.mark.parametrize(
    ("script", "prog"),
    [
        ("/home/ann/erc/train_hf.py", "train_hf.py"),
        ("/opt/venv/bin/modeling-erc", "modeling-erc train"),
        ("/opt/venv/lib/modeling_erc/__main__.py", "python -m modeling_erc train"),
    ],
)
def test_the_help_names_the_program_as_typed(script: str, prog: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [script, "train", "--help"])
    text = ErcArgumentParser().format_help()
    assert text.startswith(f"usage: {prog} [CONFIG]")
    assert f"example: {prog} meld_text" in text


@pytest.mark.parametrize("config", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_configs_of_the_project_are_read_in_full(config: Path) -> None:
    groups = ErcArgumentParser().parse([str(config)], default_config=config)[:3]
    settings = yaml.safe_load(config.read_text())
    assert settings
    for name, value in settings.items():
        assert next(getattr(group, name) for group in groups if hasattr(group, name)) == value


def test_the_saved_settings_repeat_the_run(parse: Parse, tmp_path: Path) -> None:
    text = """
        dataset: meld
        modalities: [text, audio]
        text_layer: 2
        frozen_modalities: [audio]
        contrastive: none
        learning_rate: 3e-4
        save_total_limit: null
        eval_strategy: steps
        eval_steps: 5
        save_strategy: steps
        save_steps: 5
        lr_scheduler_type: cosine_with_restarts
        lr_scheduler_kwargs: {num_cycles: 2}
        report_to: [tensorboard]
        metric_for_best_model: eval_loss
    """
    first = parse(
        text, "--no_load_best_model_at_end", "--output_dir", str(tmp_path / "a"), "--seed", "5", "--use_cpu", "--bf16"
    )
    settings = changed_settings(*first[:3])
    second = parse(yaml.safe_dump(settings), "--output_dir", str(tmp_path / "a"))
    assert asdict(second[0]) == asdict(first[0])
    assert asdict(second[1]) == asdict(first[1])
    assert second[2].to_dict() == first[2].to_dict()
    # Only settings that were given, so that a change of the file has the expected effect.
    asked = {*yaml.safe_load(text), "seed", "bf16", "use_cpu", "load_best_model_at_end"}
    assert set(settings) <= asked
    assert asked - set(settings) <= {"report_to"}


def test_folders_and_secrets_are_not_saved(parse: Parse, tmp_path: Path) -> None:
    words = ["--output_dir", str(tmp_path), "--overwrite", "--resume", "--hub_token", "secret", "--seed", "9"]
    assert changed_settings(*parse("", *words)[:3]) == {"seed": 9}


def test_memory_is_pinned_only_for_an_accelerator(parse: Parse) -> None:
    assert parse("")[2].dataloader_pin_memory == torch.accelerator.is_available()


@pytest.mark.parametrize("given", ['{"setting": "4way", "dev_seed": 1}', {"setting": "4way", "dev_seed": 1}])
def test_options_of_the_corpus_come_as_json_or_mapping(given: Any) -> None:
    assert DataArguments(dataset_options=given).corpus_options == {"setting": "4way", "dev_seed": 1}
    assert DataArguments().corpus_options == {}
    assert DataArguments(dataset_options=given, split_by="speaker").corpus_options["split_by"] == "speaker"


@pytest.mark.parametrize("given", ["setting=4way", "[1]"])
def test_options_that_are_no_mapping_are_refused(given: str) -> None:
    with pytest.raises(ValueError, match="dataset_options"):
        _ = DataArguments(dataset_options=given).corpus_options


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--seed", "1"], "--seed 1"),
        (["meld_text", "--data_dir", "/home/ann/my corpus"], "meld_text --data_dir DIR"),
        (["/home/ann/mine.yaml", "--data-dir=/home/ann/corpus"], "mine.yaml --data-dir=DIR"),
        (["/home/ann/erc/configs/mosi.yaml"], "mosi.yaml"),
        (["--feature_cache=/tmp/x", "--output_dir", "runs/a"], "--feature_cache=DIR --output_dir DIR"),
        (["--hub_token", "hf_secret"], "--hub_token TOKEN"),
        (["--hub-token", "hf_secret"], "--hub-token TOKEN"),
        (["--hub_token=hf_secret", "--seed=2"], "--hub_token=TOKEN --seed=2"),
        (["--hub-token=hf_secret"], "--hub-token=TOKEN"),
        (["--start_from", "/home/ann/runs/a", "--text-encoder=~/bert"], "--start_from a --text-encoder=bert"),
        (["--text_encoder", "user/bert", "--audio_encoder", "tiny"], "--text_encoder user/bert --audio_encoder tiny"),
        (["--dataset_options", '{"media_dir": "/home/ann/clips"}'], """--dataset_options '{"media_dir": "clips"}'"""),
        (["--dataset_options", '{"seed":1}'], """--dataset_options '{"seed":1}'"""),
        ([], ""),
    ],
    ids=" ".join,
)
def test_a_card_shows_the_command_without_folders_and_tokens(words: list[str], shown: str) -> None:
    assert shown_command(words) == f"accelerate launch train_hf.py {shown}".strip()


@pytest.mark.parametrize("words", [["--run_name", "hf_secret"], ["--hub_token=hf_secret"], ["--run_name=of hf_secret"]])
def test_the_token_of_a_run_is_removed_everywhere(words: list[str]) -> None:
    assert "secret" not in shown_command(words, token="hf_secret")


@pytest.mark.parametrize("words", [["--hub_tok", "hf_secret"], ["--hub-tok=hf_secret"]])
def test_a_shortened_option_is_refused_without_its_value(parse: Parse, words: list[str]) -> None:
    with pytest.raises(ValueError, match=f"unknown: {words[0].partition('=')[0]};") as refused:
        parse("", *words)
    assert "secret" not in str(refused.value)


def test_several_loggers_are_named_in_one_option() -> None:
    *_, args = ErcArgumentParser().parse_args_into_dataclasses(["--report_to", "tensorboard", "trackio"])
    assert args.report_to == ["tensorboard", "trackio"]
    *_, args = ErcArgumentParser().parse_args_into_dataclasses([])
    assert args.report_to == []


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (["--label_smoothing_factor", "0.1"], "--label_smoothing$"),
        (["--neftune_noise_alpha", "5"], "--hidden_dropout_prob"),
        (["--batch_eval_metrics", "true"], "whole splits"),
        (["--prediction_loss_only", "true"], "needs the predictions"),
        (["--train_sampling_strategy", "group_by_length"], "a row is a dialogue"),
        (["--frozen_modalities", "audio", "--speed_perturbation", "0.1"], "unfreeze audio"),
        (["--frozen_modalities", "audio", "--audio_masking", "0.1"], "unfreeze audio"),
        (["--frozen_modalities", "vision", "--frame_shift", "0.1"], "unfreeze vision"),
    ],
    ids=lambda value: value[-2] if isinstance(value, list) else "",
)
def test_an_option_without_effect_is_refused_with_a_remedy(words: list[str], remedy: str) -> None:
    with pytest.raises(ValueError, match=f"has no effect.*{remedy}"):
        ErcArgumentParser().parse(words, default_config="demo")


def test_a_loss_that_is_no_number_is_logged_as_such() -> None:
    assert ErcTrainingArguments(output_dir="x").logging_nan_inf_filter is False


@pytest.mark.parametrize("recipe", ready_names())
def test_no_ready_recipe_chooses_by_the_loss(recipe: str) -> None:
    """The loss has a contrastive term in some cells of a grid only."""
    _, _, training, _ = ErcArgumentParser().parse([recipe], default_config="demo")
    assert not training.load_best_model_at_end or "loss" not in str(training.metric_for_best_model)


def test_a_small_corpus_is_trained_for_more_steps(parse: Parse, caplog: pytest.LogCaptureFixture) -> None:
    text = "num_train_epochs: 8\nper_device_train_batch_size: 16\nmin_steps: 300\nlogging_strategy: 'no'\n"
    args = parse(text)[2]
    args.fit_to(1038)
    assert (args.max_steps, args.eval_strategy, args.save_strategy) == (-1, "epoch", "epoch")
    assert not caplog.text
    args.fit_to(104)
    # As many evaluations as epochs, the last one after the last step.
    assert (args.max_steps, args.eval_steps, args.save_steps) == (304, 38, 38)
    assert (args.eval_strategy, args.save_strategy, args.logging_strategy) == ("steps", "steps", "no")
    assert "304 steps in place of 8 epochs: the 104 training dialogues make 7 step(s) an epoch" in caplog.text


@pytest.mark.parametrize(("words", "steps"), [(("--max_steps", "5"), 5), (("--min_steps", "0"), -1)])
def test_given_steps_are_kept(words: tuple[str, ...], steps: int, parse: Parse) -> None:
    args = parse("num_train_epochs: 8\nmin_steps: 300\n", *words)[2]
    args.fit_to(3)
    assert (args.max_steps, args.eval_strategy) == (steps, "epoch")


def test_accumulated_batches_count_as_one_step(parse: Parse) -> None:
    text = "num_train_epochs: 1\nper_device_train_batch_size: 2\ngradient_accumulation_steps: 4\n"
    # Nine batches are three steps, the last one of a single batch.
    for min_steps, steps in ((3, -1), (4, 4)):
        args = parse(text, "--min_steps", str(min_steps))[2]
        args.fit_to(18)
        assert args.max_steps == steps
