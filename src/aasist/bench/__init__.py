"""How fast models run on the machine at hand, and how close that is to what it could do."""
