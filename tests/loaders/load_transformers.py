"""transformers loads a sharded model and its tokenizer by name."""

import torch
from answers import main, told
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    pipeline,
)

LETTERS = "abcdefghijklmnopqrstuvwxyz "


def make(folder: str) -> None:
    """A Llama of random weights in three shards, and a tokenizer of letters."""
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
    )
    LlamaForCausalLM(config).save_pretrained(folder, max_shard_size="200KB")
    words = ["<unk>", "<s>", "</s>", *LETTERS]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    ).save_pretrained(folder)


def check(folder: str, name: str) -> None:
    """The same weights, tokens and text as from the folder."""
    plain = AutoModelForCausalLM.from_pretrained(folder)
    wanted = plain.state_dict()
    tokens = AutoTokenizer.from_pretrained(name)("model float", return_tensors="pt")
    expected = AutoTokenizer.from_pretrained(folder)("model float", return_tensors="pt")
    assert torch.equal(tokens["input_ids"], expected["input_ids"])
    for options in ({}, {"revision": "v1"}, {"low_cpu_mem_usage": True}):
        model = AutoModelForCausalLM.from_pretrained(name, **options)
        loaded = model.state_dict()
        assert loaded.keys() == wanted.keys()
        assert all(torch.equal(loaded[key], wanted[key]) for key in wanted), options
    with torch.no_grad():
        assert torch.equal(model(**tokens).logits, plain(**tokens).logits)
    assert pipeline("text-generation", model=name, max_new_tokens=3)("model float")
    told("transformers", "huggingface_hub", ways=["from_pretrained", "revision", "pipeline"])


if __name__ == "__main__":
    main(make, check)
