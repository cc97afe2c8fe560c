"""Zero-shot rating by similarity to references (Ecker, Früh, Küstner et al., ISMRM 2024 #2653).

Contrastive pretraining of an encoder on slices without labels (`train`), embeddings of whole
volumes (`embed`), a bank of high- and low-quality references (`references`, `bank`), and a volume's
likeness to them (`score`).
"""
