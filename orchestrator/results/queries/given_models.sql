-- Which models behind these answers were read from files, and from which?
-- grain: model
-- param architecture = null: only this architecture
-- param forget_set = null: only this forget set
-- param method = null: of the audited models only those of this method
select distinct
    models.kind,
    models.method,
    models.replicate,
    models.seed,
    json_extract_string(models.notes_json, '$.file') as file,
    json_extract_string(models.notes_json, '$.sha256') as sha256
from models
join asked_cells as cells on cells.model_id = models.model_id
where json_extract_string(models.notes_json, '$.sha256') is not null
    and ($architecture is null or cells.architecture = $architecture)
    and ($forget_set is null or cells.forget_set = $forget_set)
    and ($method is null or cells.role <> 'audited' or cells.method = $method)
order by models.kind, models.method, models.replicate, models.seed;
