-- Which models did a method make, and how?
-- grain: model
-- param forget_set
-- param architecture
-- param method
-- param scope
select distinct
    models.model_id,
    models.weights_digest,
    models.params_json,
    models.device,
    models.seed,
    models.trainable_parameters,
    models.num_parameters,
    models.finished_at
from models
join plan_cells as cells on cells.model_id = models.model_id
where cells.forget_set = $forget_set
    and cells.architecture = $architecture
    and cells.method = $method
    and cells.scope = $scope
order by models.seed;
