"""The runner of page examples notices what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from sybil.example import SybilFailure

from tests.docs.page import parse

DIFF = """\
<!-- file: x.txt -->
```text
a
old
```

```diff
--- a/x.txt
+++ b/x.txt
@@
 a
-old
+new
```

```console
$ cat x.txt
a
new
```
"""


def evaluate(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    document = parse(page)
    document.namespace["folder"] = tmp_path
    for example in document.examples():
        example.evaluate()


@pytest.mark.parametrize(
    "text",
    [
        "```console\n$ echo one\none\n\n$ printf 'a\\nb\\nc\\n'\na\n...\nc\n```\n",
        "<!-- file: x.txt -->\n```text\nold\n```\n\n```console\n$ cat x.txt\nold\n```\n",
        DIFF,
        "```python\nassert 1 + 1 == 2\n```\n",
    ],
)
def test_true_pages_pass(tmp_path: Path, text: str) -> None:
    evaluate(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```console\n$ echo one\ntwo\n```\n", "prints\none\nthe page shows\ntwo"),
        ("```console\n$ echo one; echo two\none\n```\n", "prints\none\ntwo"),
        ("```python\nassert 1 + 1 == 3\n```\n", "AssertionError"),
        ("```cobol\n```\n", "block of language 'cobol'"),
        (
            "<!-- file: x.txt -->\n```text\nb\n```\n```diff\n--- a/x.txt\n+++ b/x.txt\n@@\n-a\n+c\n```\n",
            r"x\.txt: found 0 times; expected once",
        ),
    ],
)
def test_false_pages_fail(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SybilFailure, match=message):
        evaluate(tmp_path, text)
