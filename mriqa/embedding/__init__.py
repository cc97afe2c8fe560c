"""From a trained encoder to embeddings of whole volumes, kept on disk: for all methods."""
