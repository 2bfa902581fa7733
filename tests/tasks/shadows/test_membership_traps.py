"""Protocols that flatter or mislead (guide/games.md): which test guards each, and the tests with no other home."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tasks.attacks.lira import ULiRA
from tasks.attacks.population import Population
from tasks.attacks.rmia import RMIA
from tasks.errors import AuditError
from tasks.metrics.membership import auc
from tasks.metrics.per_example import auc_by_example
from tasks.runtime.devices import Engine
from tasks.shadows.games import compare
from tasks.shadows.observations import State
from tasks.training.recipe import Recipe
from tasks.training.resident import ResidentData
from tasks.training.scoring import Outputs
from tasks.training.train import train
from tests.support.shadow_simulation import make_layout, observe

GUARDS = {
    1: ("scored on the shadows that were fitted", "test_attacks_lira::test_swapped_labels_give_one_half"),
    2: (
        "draws of a shadow as independent",
        "test_attacks_lira::test_draws_of_a_shadow_are_left_out_together",
        "test_rank_test::test_draws_of_a_shadow_do_not_count_as_shadows",
    ),
    3: ("best threshold in sample", "test_per_example_tables::test_the_best_threshold_in_sample_is_not_used"),
    4: (
        "largest epsilon over rules, unbounded",
        "test_attacks_audit::test_identical_models_fool_the_estimator_and_not_the_bound",
    ),
    5: (
        "many examples tested, many found; half of the retained got worse",
        "test_rank_test::test_false_discoveries_stay_below_the_rate",
        "test_rank_test::test_rows_name_every_target_and_count_what_is_below_the_rate",
        "test_harm::test_retain_harm_is_nil_where_nothing_happened_and_found_where_it_did",
        "test_before_after::test_few_false_ones_are_found_and_most_true_ones",
    ),
    6: (
        "selected and reported on the same shadows",
        "test_per_example_tables::test_selected_examples_are_reported_by_other_shadows",
        "test_attacks_audit::test_the_reported_example_was_chosen_on_the_other_half",
    ),
    7: (
        "two grains of AUC under one name",
        "test_two_way::test_both_grains_are_reported_and_differ",
    ),
    8: (
        "variance of few, nearly constant values",
        "test_attacks_lira::test_saturated_examples_keep_bounded_scores",
    ),
    9: (
        "rates below one in the number of negatives",
        "test_shadow_layout::test_what_cannot_be_shown_is_refused",
        "test_two_way::test_a_rate_below_the_resolution_is_refused",
        "test_metrics_membership::test_realised_fpr_never_exceeds_what_was_asked_under_ties",
    ),
    10: (
        "H0 of another model",
        "test_membership_traps::test_h0_of_an_unlearned_model_is_never_taken_from_another_model_unasked",
    ),
    11: (
        "augmentation or training mode while scoring",
        "test_scoring::test_scoring_runs_in_eval_mode_and_twice_gives_equal_bits",
        "test_shadow_runs::test_a_shadow_is_trained_on_its_members_with_its_own_seeds",
    ),
    12: (
        "population attack fitted before unlearning",
        "test_membership_traps::test_population_attacks_are_fitted_on_the_model_that_they_attack",
    ),
    13: (
        "forgotten examples among the retained",
        "test_shadow_layout::test_forget_sets_are_members_targets_and_disjoint_within_a_partition",
    ),
    14: ("one kernel width for all", "test_attacks_lira::test_a_wide_kernel_loses_where_the_spread_differs"),
    15: (
        "modified entropy inverted",
        "test_attacks_population::test_modified_entropy_is_its_formula",
        "test_attacks_population::test_modified_entropy_orders_right_below_unsure_below_wrong_even_when_saturated",
    ),
    16: (
        "sign, and references kept by rank",
        "test_membership_traps::test_a_lower_loss_scores_as_a_member",
        "test_membership_traps::test_the_reference_of_a_population_point_takes_every_model",
        "test_attacks_rmia::test_scores_agree_with_the_full_matrix",
    ),
    17: ("shadows that share a split or a seed", "test_shadow_layout::test_masks_and_seeds_are_distinct"),
    18: (
        "epoch chosen on non-members",
        "test_membership_traps::test_training_keeps_its_last_epoch_and_looks_at_no_other_data",
    ),
    19: (
        "membership leaks into its own audit",
        "test_attacks_lira::test_the_size_of_a_fit_does_not_tell_the_label",
        "test_attacks_population::test_fit_is_balanced_class_by_class_and_not_the_first_examples",
        "test_attacks_population::test_scores_betray_nothing_by_the_number_of_fits_behind_them",
        "test_membership_traps::test_training_keeps_its_last_epoch_and_looks_at_no_other_data",
    ),
    20: (
        "copies that stay",
        "test_retained_copies::test_planted_copies_are_found_and_nothing_else",
        "test_retained_copies_recorded::test_rows_name_each_copy_and_a_query_counts_them",
    ),
    21: (
        "a deterministic unlearner",
        "test_attacks_audit::test_a_deterministic_unlearner_gets_no_infinite_claim",
        "test_attacks_lira::test_saturated_examples_keep_bounded_scores",
    ),
    22: (
        "overflow and clipping",
        "test_scoring::test_extreme_logits_stay_finite",
        "test_membership_traps::test_scores_beyond_a_clip_keep_their_order",
        "test_training::test_precision_holds_in_the_body_and_not_in_the_loss",
    ),
    23: ("a shift of every output", "test_observations::test_a_global_shift_is_seen_by_g1_and_not_by_g2"),
}
"""Trap of guide/games.md -> what goes wrong, and the tests that fail where it does: module::name."""


def test_every_trap_has_a_test() -> None:
    page = (Path(__file__).parents[3] / "orchestrator" / "guide" / "games.md").read_text()
    told = page.partition("## What flatters or misleads")[2]
    assert list(GUARDS) == [int(number) for number in re.findall(r"^(\d+)\. ", told, flags=re.MULTILINE)]
    modules = {path.stem: path for path in Path(__file__).parents[2].rglob("test_*.py")}
    for trap, (_, *guards) in GUARDS.items():
        assert guards, trap
        for guard in guards:
            module, name = guard.split("::")
            defined = {
                node.name
                for node in ast.parse(modules[module].read_text()).body
                if isinstance(node, ast.FunctionDef)
            }
            assert name in defined, f"trap {trap}: {guard}"


def test_h0_of_an_unlearned_model_is_never_taken_from_another_model_unasked() -> None:
    """Trap 10: a global shift makes base models' NEVER values a different hypothesis.

    G2 refuses runs of other models; G1 must be given them and names its game.
    """
    layout, generator = make_layout(32, 80, 40), np.random.default_rng(40)
    unlearned = observe(layout, generator, offset=-3.0)
    base = observe(layout, generator, base=True, method="none")
    with pytest.raises(AuditError, match="G2 takes no reference runs"):
        compare(unlearned, "G2", reference=base)
    with pytest.raises(AuditError, match="G1 needs reference runs"):
        compare(unlearned, "G1")
    scores = ULiRA(game="G1").score(compare(unlearned, "G1", reference=base, reference_state=State.NEVER))
    assert scores.game == "G1"
    assert auc_by_example(scores).mean() > 0.9


def outputs(confidence: float, ids: range, seed: int) -> Outputs:
    generator = np.random.default_rng(seed)
    labels = np.arange(len(ids)) % 4
    logits = generator.normal(size=(len(ids), 4)).astype(np.float32)
    logits[np.arange(len(ids)), labels] += confidence
    return Outputs.of_logits(ids=np.array(ids), labels=labels, logits=logits)


def test_population_attacks_are_fitted_on_the_model_that_they_attack() -> None:
    """Trap 12: a rule learnt before unlearning (members confident) fails after ascent (members wrong).

    Fitted on the unlearned outputs themselves, the attack finds the over-forgotten examples.
    """
    forget, retain, test = (
        outputs(c, ids, seed)
        for seed, (c, ids) in enumerate(((-3.0, range(200)), (4.0, range(200, 400)), (1.0, range(400, 600))))
    )
    attack = Population(statistics=("loss_threshold", "logistic_loss"))
    found = {
        s.statistic: auc(s).value
        for s in attack.score(forget, retain, test, generator=np.random.default_rng(0))
    }
    assert found["loss_threshold"] < 0.1  # the fixed direction: low loss means member
    assert found["logistic_loss"] > 0.9  # the learnt one


def test_a_lower_loss_scores_as_a_member() -> None:
    """Trap 16: a sign turned around gives an AUC below one half on the easiest case."""
    forget, retain, test = (
        outputs(c, ids, seed)
        for seed, (c, ids) in enumerate(((6.0, range(200)), (6.0, range(200, 400)), (0.0, range(400, 600))))
    )
    (scores,) = Population(statistics=("loss_threshold",)).score(
        forget, retain, test, generator=np.random.default_rng(0)
    )
    assert auc(scores).value > 0.9


def test_the_reference_of_a_population_point_takes_every_model() -> None:
    """Trap 16: keeping the larger half of a point's reference values lifts E[p_z] and biases every ratio."""
    layout, generator = make_layout(16, 40, 20), np.random.default_rng(41)
    comparison = compare(observe(layout, generator, base=True, tests=30), "G0").cross_fitted(4)
    phi, _ = comparison.population()
    confidence = 1 / (1 + np.exp(-phi))
    ratios = RMIA()._population_ratios(comparison)
    for fold in range(4):
        others = confidence[comparison.fold != fold].mean(0)
        np.testing.assert_allclose(
            confidence[comparison.fold == fold] / ratios[comparison.fold == fold][:, :],
            [others] * (comparison.fold == fold).sum(),
        )


def test_training_keeps_its_last_epoch_and_looks_at_no_other_data() -> None:
    """Trap 18: the best epoch on held-out data is a stopping rule that unlearned models do not share.

    With a learning rate that falls to 0 the last two epochs differ; the weights are those of the last, and
    images outside the subset may be anything.
    """
    generator = np.random.default_rng(42)
    images = generator.integers(0, 256, (60, 1, 4, 4)).astype(np.uint8)
    labels = generator.integers(0, 3, 60)
    engine, states = Engine(device="cpu"), []
    for other in (0, 255):
        changed = images.copy()
        changed[40:] = other
        data = ResidentData.put(changed, labels, 3, torch.device("cpu"))
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        after: list[torch.Tensor] = []
        recipe = Recipe(epochs=4, batch_size=20, lr=0.5, augmentation="none", schedule="constant")
        train(
            model,
            data.subset(np.arange(40)),
            recipe,
            seed_path=("trap", 18),
            engine=engine,
            on_epoch=lambda _, m, seen=after: seen.append(m[1].weight.detach().clone()),
        )
        assert not torch.equal(after[-1], after[-2])
        assert torch.equal(model[1].weight, after[-1])
        states.append(model[1].weight.detach())
    assert torch.equal(states[0], states[1])


def test_scores_beyond_a_clip_keep_their_order() -> None:
    """Trap 22: p clipped to [1e-6, 1 - 1e-6] caps phi at 13.8, and softmax in float32 at about 17."""
    logits = np.zeros((4, 3), dtype=np.float32)
    logits[:, 0] = [10, 20, 40, 80]
    labels = np.zeros(4, dtype=np.int64)
    phi = Outputs.of_logits(ids=np.arange(4), labels=labels, logits=logits).phi
    np.testing.assert_allclose(phi, np.array([10, 20, 40, 80]) - np.log(2), rtol=1e-6)
    low = Outputs.of_logits(ids=np.arange(4), labels=labels, logits=-logits).phi
    np.testing.assert_allclose(low, -np.array([10, 20, 40, 80]) - np.log(2), rtol=1e-6)
