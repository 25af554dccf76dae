"""The methods of the workbench, by the way visitors may use them; ``workbench.py`` has those that are handled one by
one. Methods in neither place are not available to visitors."""

FREE = {
    "active_jobs", "asked", "at_other_radii", "atlas_on", "bank", "bank_labels", "bank_with", "banks", "catalogue",
    "check_bank_name", "comparison", "comparison_of", "comparisons", "completion", "curve_on", "damaged", "evidence",
    "exploration", "explorations", "export_map", "finds", "generalities", "getting", "home", "is_absent", "job", "jobs",
    "judge_address", "judge_standing", "judgements", "label", "labels", "latest_atlas", "latest_curve",
    "latest_search", "layers", "llama_command", "model_state", "models", "newest_texts", "not_kept", "offered_models",
    "radii", "runaways", "sample_comparison", "save_waiting", "search", "search_completions", "standings",
    "suggested_layers", "tags", "training_job", "unsaved_bank", "variants", "weights_hash", "why_not_kept",
}  # fmt: skip
"""Lookups, too cheap to count."""

LOOKING = {"labelling_order", "median_norm", "ordered", "passage", "ranking", "similar_labels", "suggestion", "tokens"}
"""One pass of the model, or an embedding."""

REFUSED = {
    "delete_bank": ("bank", "nothing is deleted on a public page", "Ask whoever runs it"),
    "rename_bank": ("bank", "banks keep their names on a public page", "Ask whoever runs it"),
    "import_bundle": ("bundle", "a public page does not merge libraries", "Import its banks one by one"),
    "export_bundle": ("bundle", "a public page does not export its whole library", "Export a bank instead"),
}
"""Not available to visitors: field, problem and remedy. A merge changes names and labels for everybody and cannot be
undone; the whole library may fill the disk, and holds what everybody wrote."""

OPERATORS = {
    "check_library", "copy_database", "do_what_is_due", "embed_texts", "fetch_model", "get_model", "kept_in",
    "label_history", "last_try", "look_after", "pause_jobs", "prune_library", "put_in_samples", "rebuild_library",
    "repair_catalogue", "restore_library", "resume_jobs", "warm_up", "warm_up_map",
}  # fmt: skip
"""Only for the server and its commands. (The history of labels names people's accounts.)"""
