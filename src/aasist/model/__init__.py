"""The countermeasure in PyTorch."""
