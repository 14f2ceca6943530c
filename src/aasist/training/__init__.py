"""The training room: recipes, data, augmentation on the batch, and the loop."""
