"""Shared by all tests: tiny models and data sets made on the spot, and where real assets lie."""

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
WORDS = """
the a film movie is was good bad great dull plot cast sentiment of statement this and
not negative positive politics sports business technology . , ! never very"""


@pytest.fixture(scope="session")
def real_assets() -> Path:
    """Real public data sets in the folder source's layout; not everywhere there."""
    folder = REPOSITORY.parent / "shared" / "assets"
    if not folder.is_dir():
        pytest.skip("needs real data sets in ../shared/assets, which this machine does not have")
    return folder


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of 2 layers with random weights and a vocabulary of some 80 pieces."""
    import torch
    from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-bert")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    pieces = special + letters + [f"##{letter}" for letter in letters] + WORDS.split()
    (folder / "vocab.txt").write_text("\n".join(dict.fromkeys(pieces)) + "\n")
    tokenizer = BertTokenizerFast(vocab_file=str(folder / "vocab.txt"), model_max_length=64)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.3,
    )
    BertForMaskedLM(config).save_pretrained(folder)
    return folder
