"""The mathematics in torch: models, prompts, slices, objectives, training, steering, generation."""
