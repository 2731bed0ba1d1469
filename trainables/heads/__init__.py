"""Heads: how class scores are read off a language model, one file per kind.

base.py         what every head is              mlp_ft.py       a classification head
project_cls.py  a linear layer on CLS           cls_prompt.py   label words at CLS, no template
mvp.py          label words at a prompt's mask  label_words.py  scores of label words
inputs.py       texts to token ids              shared_text.py  several prompts after one text
buckets.py      which texts share a batch       masks.py        attention masks
hidden.py       hidden states, seen or changed

A catalog file names a kind of this table, or a class of the user's own as `package.module:Class`.
How to add one: docs/architecture.md, "Where to add something".
"""

from typing import TYPE_CHECKING, Any

from trainables.kinds import load_kind

if TYPE_CHECKING:
    from trainables.heads.base import Head, HeadSpec

KINDS = {
    "mlp_ft": "trainables.heads.mlp_ft:MlpFt",
    "project_cls": "trainables.heads.project_cls:ProjectCls",
    "cls_prompt": "trainables.heads.cls_prompt:ClsPrompt",
    "mvp": "trainables.heads.mvp:Mvp",
}


def build_head(kind: str, spec: "HeadSpec") -> "Head":
    """A head of this kind, not yet fine-tuned.

    Random initialisation draws from torch's global generator: seed it first. Raises BadInput for
    an unknown kind.
    """
    from trainables.dtype import in_float32
    from trainables.speed.gelu import fuse_gelu
    from trainables.speed.linear import use_onednn

    head_class: Any = load_kind("head", kind, KINDS)
    head: Head = head_class(spec)
    use_onednn(head)
    fuse_gelu(head)
    if (last := head.last_linear()) is not None:
        in_float32(last)
    return head
