"""What a training achieved, in words."""

import json

import pytest

from finetune.training.outcome import outcome


def write(path, *ap50):
    lines = [{"step": 0, "class": 1.0}]
    lines += [
        {"step": 10 * i, "ap": None if v is None else v / 2, "ap50": v, "classes": {"car": v}}
        for i, v in enumerate(ap50)
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def test_the_best_step_is_named(tmp_path):
    lines = outcome(write(tmp_path / "log.jsonl", 0.1, 0.6, 0.4), "mine", 5e-4)
    assert lines == [
        "mine on the validation images: AP 0.300, AP50 0.600 (step 10)",
        "AP50 by class: car 0.600",
    ]


def test_of_equal_steps_the_last_one_was_kept(tmp_path):
    assert "(step 20)" in outcome(write(tmp_path / "log.jsonl", 0.6, 0.6, 0.6), "mine", 5e-4)[0]


def test_a_training_that_did_not_help_says_so_and_what_to_try(tmp_path):
    advice = outcome(write(tmp_path / "log.jsonl", 0.6, 0.5, 0.4), "mine", 5e-4)[2]
    assert advice.startswith("Step 0 is the best: the training did not improve on the weights")
    for remedy in ("labels.jpg", "a smaller RATE (it was 0.0005)", "more EPOCHS", "more images"):
        assert remedy in advice


def test_a_training_that_found_nothing_says_so(tmp_path):
    assert "found no labelled object" in outcome(write(tmp_path / "log.jsonl", 0.0, 0.0), "mine", 5e-4)[2]


@pytest.mark.parametrize("values", [(None,), (None, 0.3)])
def test_an_unknown_accuracy_is_no_number(tmp_path, values):
    text = "\n".join(outcome(write(tmp_path / "log.jsonl", *values), "mine", 5e-4))
    assert ("n/a" in text) == (values == (None,))
