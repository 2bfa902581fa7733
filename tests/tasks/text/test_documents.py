"""Documents as arrays: prompts that are given, ids of any size, and what fills rows."""

import hashlib

import numpy as np
import pytest

from tasks.errors import AuditError
from tasks.text.documents import NARROW_WORDS, check_documents, content_hash, documents, hash_documents
from tasks.training.documents import ResidentDocuments

WIDE = NARROW_WORDS + 5


def test_a_prompt_is_given_and_the_first_token_always_is():
    found = documents([[5, 6, 7], [8, 9]], prompts=[2, 0])
    assert found.asked.tolist() == [[False, False, True], [False, True, False]]
    assert documents([[5, 6, 7], [8, 9]]).asked.tolist() == [[False, True, True], [False, True, False]]


def test_ids_beyond_two_bytes_keep_their_value_in_hashes_and_on_the_device():
    import torch

    narrow, wide = documents([[5, 6], [7, 8]]), documents([[5, 6], [7, WIDE]])
    assert (narrow.tokens.dtype, wide.tokens.dtype) == (np.uint16, np.int32)
    assert check_documents(wide, vocabulary=WIDE + 1, where="w") is wide
    assert np.array_equal(hash_documents(narrow)[0], hash_documents(wide)[0])
    expected = hashlib.sha256(b"wide tokens 2\n" + np.array([7, WIDE], dtype="<i4").tobytes()).digest()
    assert content_hash([7, WIDE]) == expected
    batch = (
        ResidentDocuments.put(wide, WIDE + 1, torch.device("cpu")).subset(np.arange(2)).batch(torch.arange(2))
    )
    assert batch.targets.tolist() == [[6], [WIDE]]
    with pytest.raises(AuditError, match=f"document 1: expected tokens from 1 to {WIDE - 1}"):
        check_documents(wide, vocabulary=WIDE, where="w")


def test_what_fills_rows_is_a_word_only_where_the_vocabulary_says_so():
    found = documents([[5, 0], [7, 8]])
    assert check_documents(found, vocabulary=9, where="w", fills=False) is found
    with pytest.raises(AuditError, match="document 0: expected tokens from 1 to 8"):
        check_documents(found, vocabulary=9, where="w")
    with pytest.raises(AuditError, match="document 1: expected tokens from 0 to 7"):
        check_documents(found, vocabulary=8, where="w", fills=False)
