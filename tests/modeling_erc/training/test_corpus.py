from pathlib import Path

import pytest

from modeling_erc.training import DataArguments, load_corpus

CORPUS = Path(__file__).parents[3].parent / "shared" / "data" / "cmu_mosi"


@pytest.mark.skipif(not CORPUS.is_dir(), reason="CMU-MOSI's features are not at hand")
def test_a_drawn_dev_split_follows_the_seed_unless_it_is_fixed() -> None:
    def dev(seed: int, **options: int) -> set[str]:
        args = DataArguments(dataset="mosi_features", data_dir=str(CORPUS), dataset_options=options)
        return {row["dialogue_id"] for row in load_corpus(args, seed)["dev"]}

    assert dev(0) == dev(0)
    assert dev(0) != dev(1)
    assert dev(0, dev_seed=4) == dev(1, dev_seed=4) == dev(4)
