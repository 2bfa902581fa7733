-- How many unlearned models are told apart from retraining, are shown to equal it, and are undecided?
-- shown: forget_set!, architecture, models, told_apart!, shown_equivalent!, undecided!, blind, places, visible
-- shown: declared_after, measures, forgetting, seeing
-- grain: dataset, architecture and forget set; the row without these is all places together
-- Of `model_verdicts`. visible: shown equivalent although a difference within a margin is visible.
-- declared_after: models of which a primary measure or its margin was declared after rows were there.
-- measures: comparisons of primary measures behind the verdicts; what was not measured is none. forgetting,
-- seeing: primary measures of forgetting on which the model to which nothing was done was tested, and those
-- that tell it apart by more than their margin, which alone can show equivalence; seeing is null where none was
-- tested. blind: places without one.
with controls as (
    select
        dataset,
        architecture,
        forget_set,
        count(sees) as forgetting,
        if(count(sees) > 0, count(*) filter (sees), null) as seeing
    from verdicts
    where role = 'ceiling'
        and family = 'primary'
        and kind = 'forgetting'
    group by all
),
compared as (
    select dataset, architecture, forget_set, count(*) as measures
    from verdicts
    where role = 'audited'
        and family = 'primary'
    group by all
),
by_place as (
    select
        models.dataset,
        models.architecture,
        models.forget_set,
        count(*) as models,
        count(*) filter (models.verdict = 'told apart') as told_apart,
        count(*) filter (models.verdict = 'shown equivalent') as shown_equivalent,
        count(*) filter (models.verdict = 'shown equivalent' and models.visible > 0) as visible,
        count(*) filter (models.verdict = 'undecided') as undecided,
        count(*) filter (models.declared_after) as declared_after,
        coalesce(any_value(compared.measures), 0) as measures,
        min(models.seeds) as fewest_seeds,
        max(models.seeds) as most_seeds,
        coalesce(any_value(controls.forgetting), 0) as forgetting,
        any_value(controls.seeing) as seeing
    from model_verdicts as models
    left join controls
        on controls.dataset = models.dataset
        and controls.architecture = models.architecture
        and controls.forget_set = models.forget_set
    left join compared
        on compared.dataset = models.dataset
        and compared.architecture = models.architecture
        and compared.forget_set = models.forget_set
    where models.role = 'audited'
    group by all
)
select
    dataset,
    architecture,
    forget_set,
    count(*) as places,
    count(*) filter (coalesce(seeing, 0) = 0) as blind,
    cast(sum(models) as bigint) as models,
    cast(sum(told_apart) as bigint) as told_apart,
    cast(sum(shown_equivalent) as bigint) as shown_equivalent,
    cast(sum(visible) as bigint) as visible,
    cast(sum(undecided) as bigint) as undecided,
    cast(sum(declared_after) as bigint) as declared_after,
    cast(sum(measures) as bigint) as measures,
    min(fewest_seeds) as fewest_seeds,
    max(most_seeds) as most_seeds,
    cast(sum(forgetting) as bigint) as forgetting,
    cast(sum(seeing) as bigint) as seeing
from by_place
group by grouping sets ((dataset, architecture, forget_set), ())
having count(*) > 0
order by dataset nulls last, architecture, forget_set;
