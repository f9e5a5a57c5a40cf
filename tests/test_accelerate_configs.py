from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser

CONFIGS = Path(__file__).parents[1] / "modeling_erc" / "configs" / "accelerate"


@pytest.mark.parametrize(
    ("name", "kind", "processes"),
    [("cpu_1", "NO", 1), ("cpu_2", "MULTI_GPU", 2), ("gpu_ddp", "MULTI_GPU", 4), ("gpu_fsdp", "FSDP", 4)],
)
def test_each_config_starts_its_number_of_processes(name: str, kind: str, processes: int) -> None:
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == {"cpu_1", "cpu_2", "gpu_ddp", "gpu_fsdp"}
    path = CONFIGS / f"{name}.yaml"
    assert str(load_config_from_file(str(path)).distributed_type) == f"DistributedType.{kind}"
    several = ["--num_processes", "4"] if name.startswith("gpu") else []
    args, _, _ = _validate_launch_command(
        launch_command_parser().parse_args(["--config_file", str(path), *several, "train_hf.py"])
    )
    assert args.num_processes == processes
    assert (args.multi_gpu, args.use_fsdp) == (kind == "MULTI_GPU", kind == "FSDP")
    assert args.use_cpu == name.startswith("cpu")
