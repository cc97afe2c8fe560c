"""Made-up references: embeddings without images, in which quality is one direction."""

import numpy as np
from embedding_pieces import no_metrics

from mriqa.config import ReferenceSection
from mriqa.embedding.volumes import VolumeEmbedding
from mriqa.methods.simclr.bank import Reference, StratumBank
from mriqa.references.person import Person
from mriqa.seeds import fixed_number

LENGTH = 12
N_FINAL = 9
"""Of the network's output, in which both families are seen; the rest of other stages."""
N_SLICES = 5
SECTION = ReferenceSection(per_class=4, min_references=2)
FAMILIES = ("noise", "ghosting")


def embedding(rng, anatomy, severity, family=None) -> VolumeEmbedding:
    """Slices (5, 12): a large common part, the subject's anatomy, the family's own direction."""
    slices = 5 + anatomy + rng.normal(0, 0.1, (N_SLICES, LENGTH))
    slices[:, 0] += np.linspace(0, 1, N_SLICES)
    if family is not None:
        slices[:, 3 + FAMILIES.index(family)] += 4 * severity
    body = np.ones(N_SLICES, dtype=bool)
    body[0] = False
    return VolumeEmbedding(slices.astype(np.float16), body, N_FINAL, no_metrics(len(slices)))


def made_bank(n_subjects=8, copies=3, seed=0, spread=0.3) -> StratumBank:
    """`n_subjects` HQ references and `copies` copies of each."""
    rng = np.random.default_rng(seed)
    references, embedded = [], []
    for number in range(n_subjects):
        anatomy = rng.normal(0, spread, LENGTH)
        anatomy[3:5] *= 0.1
        person = Person(f"{number:02d}", "FM"[number % 2], 160.0 + 3 * number, 60.0 + 2 * number)
        for copy in range(copies + 1):
            family = FAMILIES[(number + copy) % 2] if copy else None
            severity = copy / copies
            order = fixed_number(0, number, copy)
            references.append(
                Reference(f"s{number}", 0, person, order, family, severity, "{}" if copy else None)
            )
            embedded.append(embedding(rng, anatomy, severity, family))
    return bank_of(references, embedded)


def bank_of(references, embedded) -> StratumBank:
    """A stratum's bank of references and their embeddings."""
    return StratumBank(
        "T1w",
        tuple(references),
        np.stack([one.volume for one in embedded]),
        np.concatenate([one.slices[one.is_body] for one in embedded]),
        np.concatenate([one.places[one.is_body] for one in embedded]),
        np.array([one.is_body.sum() for one in embedded]),
        embedded[0].n_final,
    )


def reordered(bank: StratumBank, order) -> StratumBank:
    """The same references in another order."""
    first = np.cumsum(bank.counts) - bank.counts
    rows = np.concatenate([np.arange(first[i], first[i] + bank.counts[i]) for i in order])
    return StratumBank(
        bank.stratum, tuple(bank.references[i] for i in order), bank.volumes[list(order)],
        bank.slices[rows], bank.places[rows], bank.counts[list(order)],
        bank.n_final, bank.calibration,
    )  # fmt: skip
