"""The methods of the workbench, by the way visitors may use them; ``workbench.py`` has those that are handled one by
one. Methods in neither place are not available to visitors."""

FREE = {
    "active_jobs", "asked", "at_other_radii", "at_other_seeds", "atlas_on", "bank", "bank_labels", "bank_with", "banks",
    "can_think", "catalogue", "check_bank_name", "circuits", "comparison", "comparison_of", "comparisons", "completion",
    "curve_on",
    "damaged", "disagreements", "evidence", "exploration", "explorations", "export_map", "finds", "generalities",
    "getting", "given_labels", "guidelines", "home", "is_absent", "job", "jobs", "judge_address", "judge_standing",
    "judgements", "keep_reading", "label", "label_readings", "labellers", "labels", "latest_atlas", "latest_curve",
    "latest_search", "layers", "llama_command", "model_state", "models", "newest_texts", "not_kept", "offered_models",
    "organism_names", "organism_recipes", "own_label", "radii", "readings_of",
    "runaways", "sample_comparison", "save_waiting", "search", "search_completions", "settled_label", "spread",
    "standings", "suggested_labels", "trigger_searches",
    "suggested_layers", "tags", "training_job", "unsaved_bank", "variants", "weights_hash", "why_not_kept",
    "asked_inputs", "reliabilities",
}  # fmt: skip
"""Lookups, too cheap to count."""

LOOKING = {"labelling_order", "median_norm", "ordered", "passage", "ranking", "similar_labels", "suggestion", "tokens"}
"""One pass of the model, or an embedding."""

OWN = {"delete_conversation", "rename_conversation", "show_branch"}
"""With a conversation's number as the first argument: only in the visitor's own."""

NAMED = {"label_trial", "next_pair", "prefer"}
"""With the visitor's name, whatever name is given."""

REFUSED = {
    "delete_bank": ("bank", "nothing is deleted on a public page", "Ask whoever runs it"),
    "rename_bank": ("bank", "banks keep their names on a public page", "Ask whoever runs it"),
    "import_bundle": ("bundle", "a public page does not merge libraries", "Import its banks one by one"),
    "import_labels": ("labels", "visitors label one vector after the other", "Ask whoever runs the page"),
    "settle_label": ("label", "visitors do not decide between each other's labels", "Ask whoever runs the page"),
    "save_guidelines": ("guidelines", "visitors do not change them", "Ask whoever runs the page"),
    "label_changes": ("history", "it names people's accounts", "Ask whoever runs the page"),
    "label_agreement": ("agreement", "visitors have no names here", "Ask whoever runs the page"),
    "audit": ("audit", "a public page makes none, as each makes a bank for every prompt", "Explore prompt by prompt"),
    "harden": ("harden", "a public page trains no models", "Use the command line of a computer of your own"),
    "hardened": ("harden", "a public page trains no models", "Use the command line of a computer of your own"),
    "audits": ("audit", "a public page makes none", "Explore prompt by prompt"),
    "export_audit_page": ("audit", "a public page makes none", "Explore prompt by prompt"),
    "removal": ("removal", "a public page loads no models beside its own", "Ask whoever runs the page"),
    "removals": ("removal", "a public page makes none", "Ask whoever runs the page"),
    "annotator_name": ("your name", "visitors have the names of their addresses", "Label without giving one"),
    "organisms_in": ("folder", "a public page reads no folders", "Ask whoever runs the page"),
    "export_bundle": ("bundle", "a public page does not export its whole library", "Export a bank instead"),
}
"""Not available to visitors: field, problem and remedy. A merge changes names and labels for everybody and cannot be
undone; the whole library may fill the disk, and holds what everybody wrote."""

OPERATORS = {
    "check_library", "copy_database", "do_what_is_due", "embed_texts", "export_adapters", "export_audit",
    "export_hardened", "export_removal", "export_triggers", "fetch_model", "hide_organism",
    "get_model", "guidelines_history", "kept_in",
    "label_history", "last_try", "look_after", "make_organism", "measure_organism", "pause_jobs",
    "prune_library", "put_in_samples", "rebuild_library", "repair_catalogue", "restore_library", "resume_jobs",
    "score_organisms",
    "warm_up", "warm_up_map", "watch_stream", "watched_prompts",
}  # fmt: skip
"""Only for the server and its commands. (The history of labels names people's accounts.)"""
