-- What is the verdict on each model, and what would settle those that are undecided?
-- shown: architecture, forget_set!, method!, scope, verdict!, told_apart, shown_equivalent, undecided
-- shown: primary_measures, settles, seeds, setting_label
-- grain: dataset, architecture, forget set, method, scope and setting of the model
-- param forget_set = null: only this forget set
-- The view `model_verdicts`: told apart if any primary measure tells the model apart (Holm over these, 5 %
-- by chance), shown equivalent if all of them show that, else undecided. discoveries: exploratory measures
-- that tell it apart (Benjamini-Hochberg at 5 %), of `explored`. The control, a further retraining, shows
-- what the audit says of a model that has forgotten. setting_label: what sets the model's setting apart from
-- others of its method, scope and place. The query verdict has one row per measure,
-- verdict_counts one per place.
select
    model_verdicts.*,
    setting_labels.label as setting_label
from model_verdicts
left join setting_labels on setting_labels.setting = model_verdicts.model_setting
where $forget_set is null or forget_set = $forget_set
order by
    dataset,
    architecture,
    forget_set,
    case role when 'control' then 0 when 'ceiling' then 1 else 2 end,
    method,
    scope,
    model_setting;
