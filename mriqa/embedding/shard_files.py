"""Where a job that rates one shard by one model finds what it reads and writes."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ShardFiles:
    """The files of `shard` (`shard-00007`) in the folder `results`, for a model of `method`."""

    results: Path
    shard: str
    method: str
    model_id: str

    @property
    def manifest(self) -> Path:
        """The shard's series."""
        return self.results / "shards" / f"{self.shard}.parquet"

    @property
    def store(self) -> Path:
        """Their images."""
        return self.results / "zarr" / f"{self.shard}.zarr"

    @property
    def metric_scores(self) -> Path:
        """Their metrics."""
        return self.results / "scores" / f"{self.shard}.parquet"

    @property
    def cohort(self) -> Path:
        """All series of the cohort, with whom they are of."""
        return self.results / "cohort.parquet"

    @property
    def model(self) -> Path:
        """The model's folder."""
        return self.results / "models" / self.method / self.model_id

    @property
    def bank(self) -> Path:
        """The model's references, where the method has some."""
        return self.model / "bank"

    @property
    def embeddings(self) -> Path:
        """The cache of what the model embeds, where the method has one."""
        name = f"{self.shard}.safetensors"
        return self.results / "embeddings" / self.method / self.model_id / name

    @property
    def output(self) -> Path:
        """The score file that is written."""
        return self.results / "scores" / self.method / f"{self.shard}.parquet"
