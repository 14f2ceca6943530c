"""Challenge files to trials and back: protocols, manifests, score files, and where a corpus keeps them."""
