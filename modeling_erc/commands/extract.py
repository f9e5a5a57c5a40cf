"""`extract CONFIG [--field value ...]`: fills the feature cache of a recipe's frozen backbones."""

import time

from transformers import set_seed

from datasets_scripts import label_names

from ..training import ErcArgumentParser, build, cache_frozen_features, load_corpus

DEFAULT_CONFIG = "meld_text"


def main(argv: list[str]) -> None:
    """Computes what the cache lacks; takes what `train_hf.py` takes, and leaves no run folder.

    Under `accelerate launch -m modeling_erc extract CONFIG` the processes share the work, also on several machines
    whose `--feature_cache` is one folder.

    Raises:
        ValueError: the recipe freezes no backbone.
    """
    model_args, data_args, args, config = ErcArgumentParser().parse(argv, default_config=DEFAULT_CONFIG)
    set_seed(args.seed)
    with args.main_process_first(desc="preparing the corpus"):
        splits = load_corpus(data_args, args.seed)
    model, processor = build(model_args, data_args, splits, label_names(splits))
    if not set(model.config.frozen_modalities or []) & set(model.erc_model.encoders):
        raise ValueError(f"{config}: no frozen backbone, so there is nothing to store: name one in --frozen_modalities")
    started = time.perf_counter()
    cached, problems = cache_frozen_features(
        splits, model.to(args.device), processor, data_args.feature_folder, args.dataloader_num_workers
    )
    if args.process_index == 0:
        for transform in cached:
            size = sum(shard.stat().st_size for shard in transform.store.folder.glob("*.safetensors"))
            print(
                f"{transform.modality}: {len(transform.store)} utterances, {size / 2**20:.0f} MB "
                f"in {transform.store.folder}"
            )
        print(f"{time.perf_counter() - started:.1f} s; {len(problems)} clip(s) could not be used")
        for line in problems[:20]:
            print(f"  {line}")
