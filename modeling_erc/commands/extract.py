"""`extract CONFIG [--option value ...]`: fills the feature cache of a recipe's frozen backbones."""

import time

from transformers import set_seed

from datasets_scripts import label_names

from ..features.feature_cache import cache_frozen_features
from ..training import ErcArgumentParser, build
from ..training.data import load_corpus
from ..training.transcripts import transcribe_missing

DEFAULT_CONFIG = "meld_text"


def main(argv: list[str]) -> None:
    """Extracts the features that the cache lacks; takes the arguments of `train` and leaves no run folder.

    Under `accelerate launch -m modeling_erc extract CONFIG` the processes share the work, also on several machines
    whose `--feature_cache` is one shared folder.
    """
    summary = f"Extracts and stores the features of a recipe's frozen backbones (default: {DEFAULT_CONFIG})."
    parser = ErcArgumentParser("extract", description=summary)
    model_args, data_args, args, config = parser.parse(argv, default_config=DEFAULT_CONFIG)
    with args.main_process_first(desc="preparing the corpus"):
        splits = load_corpus(data_args, args.seed)
    _, without_words = transcribe_missing(splits, model_args.modalities, data_args, str(args.device))
    set_seed(args.seed)  # after the recogniser, which runs once
    model, processor = build(model_args, data_args, splits, label_names(splits))
    if not set(model.config.frozen_modalities or []) & set(model.erc_model.encoders):
        raise ValueError(f"{config}: no frozen backbone, so there is nothing to store: name one in --frozen_modalities")
    started = time.perf_counter()
    cached, problems = cache_frozen_features(
        splits, model.to(args.device), processor, data_args.feature_folder, args.dataloader_num_workers
    )
    problems = list(dict.fromkeys([*without_words, *problems]))
    if args.process_index == 0:
        for transform in cached:
            store = transform.store
            size = sum(shard.stat().st_size for shard in store.folder.glob("*.safetensors"))
            print(f"{transform.modality}: {len(store)} utterances, {size / 2**20:.0f} MB in {store.folder}")
        print(f"{time.perf_counter() - started:.1f} s; {len(problems)} clip(s) could not be used")
        for line in problems[:20]:
            print(f"  {line}")
